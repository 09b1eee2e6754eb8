"""Layouts of a synthetic video's files: as in the STAViS package, or as its model corpus has them."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightning_avsp.synthetic.layout import part_of, place_in_part
from lightning_avsp.synthetic.spec import SyntheticSpec

MAT_HEADER = b"MATLAB 5.0 MAT-file, synthetic fixation map".ljust(116)
"""Replaces SciPy's header text, whose date and hour would make equal corpora differ."""

SPORTS_NAME = "{label}_{number:03d}"
"""Files of UCF-Sports, e.g. ``Diving-Side_001_001``."""


@dataclass(frozen=True)
class Content:
    """Everything of a video that is written. ``T`` frames, ``O`` observers."""

    video: str
    spec: SyntheticSpec
    frames: NDArray[np.uint8]
    """RGB: (T, H, W, 3)."""
    sound: NDArray[np.int16]
    """Mono: (N,)."""
    maps: NDArray[np.uint8]
    """(T, Hm, Wm)."""
    fixations: NDArray[np.int64]
    """(row, column): (T, O, 2)."""


@dataclass(frozen=True)
class Package:
    """One layout."""

    corpora: tuple[str, ...]
    """Folder names of the corpora that come in it."""
    paths: Callable[[Path, str, str, int], list[Path]]
    """Folders and files of a video, by root, corpus, name and index; each is moved into place as a whole."""
    write: Callable[[list[Path], Content], None]
    """Writes a video to such paths."""


def _write_stavis(paths: list[Path], content: Content) -> None:
    """Frames, sound and annotation folders of the STAViS package."""
    import simplejpeg

    frames_folder, sound_folder, notes_folder = paths
    for folder in (frames_folder, sound_folder, notes_folder / "maps"):
        folder.mkdir(parents=True)
    quality = content.spec.jpeg_quality
    for number, frame in enumerate(content.frames, start=1):
        data = simplejpeg.encode_jpeg(frame, quality=quality, colorspace="RGB", colorsubsampling="444")
        (frames_folder / f"img_{number:05d}.jpg").write_bytes(data)
    for number, saliency in enumerate(content.maps, start=1):
        data = simplejpeg.encode_jpeg(saliency[..., None], quality=quality, colorspace="GRAY")
        (notes_folder / "maps" / f"eyeMap_{number:05d}.jpg").write_bytes(data)
    for number, points in enumerate(content.fixations, start=1):
        matrix = fixation_file(points, content.spec.map_size, "eyeMap")
        (notes_folder / f"fixMap_{number:05d}.mat").write_bytes(matrix)
    _write_wav(sound_folder / f"{content.video}.wav", content.sound, content.spec.sample_rate)


def _images(
    folders: Callable[[list[Path]], tuple[Path | None, Path, Path]],
    name: str = "{number:04d}.png",
    frame_name: str | None = None,
) -> Callable[[list[Path], Content], None]:
    """Build a writer of frames, maps and fixations as PNG, which loses nothing.

    Args:
        folders: Folders of frames, maps and fixations, from the paths of the video; None leaves frames out.
        name: Format string of ``number`` and ``video``, and of ``label``: the video with its last hyphen as ``_``.
        frame_name: That of frames where it differs.
    """

    def write(paths: list[Path], content: Content) -> None:
        frames, maps, fixations = folders(paths)
        if frames is not None:
            _write_pngs(frames, frame_name or name, content.video, content.frames)
        _write_pngs(maps, name, content.video, content.maps)
        fixated = (_fixated(points, content.spec.map_size) * np.uint8(255) for points in content.fixations)
        _write_pngs(fixations, name, content.video, fixated)

    return write


def _write_avi(paths: list[Path], content: Content) -> None:
    """``video/001.AVI``, uncut, and ``annotation/0001/{maps,fixation}``."""
    from lightning_avsp.synthetic.films import write_avi_film

    paths[0].parent.mkdir(parents=True, exist_ok=True)
    write_avi_film(paths[0], content.frames, fps=content.spec.fps)
    _images(lambda paths: (None, paths[1] / "maps", paths[1] / "fixation"))(paths, content)


def _write_matrices(paths: list[Path], content: Content) -> None:
    """UCF's images with fixations as MATLAB files in ``fixation/maps``."""
    (folder,) = paths
    _write_pngs(folder / "images", SPORTS_NAME + ".png", content.video, content.frames)
    _write_pngs(folder / "maps", SPORTS_NAME + ".png", content.video, content.maps)
    matrices = folder / "fixation" / "maps"
    matrices.mkdir(parents=True)
    for number, points in enumerate(content.fixations, start=1):
        data = fixation_file(points, content.spec.map_size, "I")
        (matrices / f"{_named(SPORTS_NAME, content.video, number)}.mat").write_bytes(data)


def _write_ntire(paths: list[Path], content: Content) -> None:
    """Film with sound, maps as a 10-bit film, ``fixations.json`` with repeats, and pictures of fixated pixels."""
    from lightning_avsp.synthetic.films import write_film, write_map_film

    film, maps, folder = paths
    for parent in (film.parent, maps.parent, folder / "fixations_maps"):
        parent.mkdir(parents=True, exist_ok=True)
    write_film(
        film, content.frames, content.sound, fps=content.spec.fps, sample_rate=content.spec.sample_rate
    )
    write_map_film(maps, content.maps, fps=content.spec.fps)
    (folder / "fixations.json").write_text(json.dumps(content.fixations.tolist()))
    fixated = (_fixated(points, content.spec.map_size) * np.uint8(255) for points in content.fixations)
    _write_pngs(folder / "fixations_maps", "{number:05d}.png", content.video, fixated)


def _in_folder(folder: Path, fixations: str) -> tuple[Path, Path, Path]:
    return folder / "images", folder / "maps", folder / fixations


def _stavis_paths(root: Path, corpus: str, video: str, index: int) -> list[Path]:
    return [root / kind / corpus / video for kind in ("video_frames", "video_audio", "annotations")]


def _dhf1k_paths(*patterns: str) -> Callable[[Path, str, str, int], list[Path]]:
    def paths(root: Path, corpus: str, video: str, index: int) -> list[Path]:
        return [root / corpus / pattern.format(int(video)) for pattern in patterns]

    return paths


def _part_paths(root: Path, corpus: str, video: str, index: int) -> list[Path]:
    return [root / corpus / {"train": "training", "test": "testing"}[part_of(index)] / video]


def _ntire_paths(root: Path, corpus: str, video: str, index: int) -> list[Path]:
    part, base = part_of(index).capitalize(), root / corpus
    return [
        base / "Videos" / f"{video}.mp4",
        base / f"Saliency{part}" / part / f"{video}.mp4",
        base / f"Fixations{part}" / part / video,
    ]


PACKAGES: dict[str, Package] = {
    "stavis": Package(
        ("AVAD", "Coutrot_db1", "Coutrot_db2", "DIEM", "ETMD_av", "SumMe"), _stavis_paths, _write_stavis
    ),
    "unisal": Package(
        ("DHF1K",), _dhf1k_paths("annotation/{:04d}"), _images(lambda p: _in_folder(p[0], "fixation"))
    ),
    "tased": Package(
        ("DHF1K",),
        _dhf1k_paths("video/{:04d}", "annotation/{:04d}"),
        _images(lambda p: (p[0], p[1] / "maps", p[1] / "fixation")),
    ),
    "vinet": Package(("DHF1K",), _dhf1k_paths("{:04d}"), _images(lambda p: _in_folder(p[0], "fixations"))),
    "diffsal": Package(
        ("DHF1K",),
        _dhf1k_paths("frames/{}", "maps/{}", "annotation/{:04d}"),
        _images(lambda p: (p[0], p[1], p[2] / "fixation"), frame_name="{number}.png"),
    ),
    "avi": Package(("DHF1K",), _dhf1k_paths("video/{:03d}.AVI", "annotation/{:04d}"), _write_avi),
    "shots": Package(
        ("Hollywood2",),
        _part_paths,
        _images(lambda p: _in_folder(p[0], "fixation"), "{video}_{number:05d}.png"),
    ),
    "pictures": Package(
        ("UCF",), _part_paths, _images(lambda p: _in_folder(p[0], "fixation"), SPORTS_NAME + ".png")
    ),
    "matrices": Package(("UCF",), _part_paths, _write_matrices),
    "ntire": Package(("CrowdSAL",), _ntire_paths, _write_ntire),
}
"""Every layout by its name; the first that names a corpus is its default."""

FILM_PACKAGES = ("ntire", "avi")
"""Layouts that hold films, for which sizes must be even."""


def layouts_of(corpus: str) -> list[str]:
    """Layouts in which a corpus can be synthesised, its default first; empty for an unknown corpus."""
    return [name for name, package in PACKAGES.items() if corpus in package.corpora]


def write_split_file(root: Path, corpus: str, names: list[str]) -> Path:
    """``TrainTestSplit.json`` of CrowdSAL: every other test video is public."""
    split: dict[str, list[str]] = {"train": [], "public_test": [], "private_test": []}
    for index, name in enumerate(names):
        subset = (
            ("public_test", "private_test")[place_in_part(index) % 2] if part_of(index) == "test" else "train"
        )
        split[subset].append(f"{name}.mp4")
    path = root / corpus / "TrainTestSplit.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(split, indent=1) + "\n")
    return path


def fixation_file(points: NDArray[np.int64], size: tuple[int, int], key: str) -> bytes:
    """MATLAB file with one matrix: uint8 (Hm, Wm), 1 at fixated pixels; the same bytes on every day."""
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, {key: _fixated(points, size)}, do_compression=True)
    return MAT_HEADER + buffer.getvalue()[len(MAT_HEADER) :]


def _fixated(points: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.uint8]:
    fixated = np.zeros(size, np.uint8)
    fixated[points[:, 0], points[:, 1]] = 1
    return fixated


def _named(name: str, video: str, number: int) -> str:
    return name.format(video=video, label="_".join(video.rpartition("-")[::2]), number=number)


def _write_pngs(folder: Path, name: str, video: str, images: Iterable[NDArray[np.uint8]]) -> None:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images, start=1):
        Image.fromarray(image).save(folder / _named(name, video, number), compress_level=1)


def _write_wav(path: Path, sound: NDArray[np.int16], sample_rate: int) -> None:
    """Write mono 16-bit PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(sound.astype("<i2").tobytes())
