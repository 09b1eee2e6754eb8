"""How the files of a synthetic video are laid out: as in the STAViS package, or as its model corpus has them."""

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


def write_stavis(paths: list[Path], content: Content) -> None:
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


def write_pictures(
    frames: Path | None, maps: Path, fixations: Path, content: Content, name: str, frame_name: str = ""
) -> None:
    """Frames, maps and fixations as PNG, which loses nothing; names are format strings of the number."""
    if frames is not None:
        _write_pngs(frames, frame_name or name, content.frames)
    _write_pngs(maps, name, content.maps)
    fixated = (_fixated(points, content.spec.map_size) * np.uint8(255) for points in content.fixations)
    _write_pngs(fixations, name, fixated)


def write_unisal(paths: list[Path], content: Content) -> None:
    """``annotation/0001/{images,maps,fixation}``."""
    (folder,) = paths
    write_pictures(folder / "images", folder / "maps", folder / "fixation", content, "{:04d}.png")


def write_tased(paths: list[Path], content: Content) -> None:
    """``video/0001`` and ``annotation/0001/{maps,fixation}``."""
    frames, folder = paths
    write_pictures(frames, folder / "maps", folder / "fixation", content, "{:04d}.png")


def write_vinet(paths: list[Path], content: Content) -> None:
    """``0001/{images,maps,fixations}``."""
    (folder,) = paths
    write_pictures(folder / "images", folder / "maps", folder / "fixations", content, "{:04d}.png")


def write_diffsal(paths: list[Path], content: Content) -> None:
    """``frames/1/1.png`` and ``maps/1/0001.png``; fixations where its scoring looks for them."""
    frames, maps, notes = paths
    write_pictures(frames, maps, notes / "fixation", content, "{:04d}.png", frame_name="{}.png")


def write_avi(paths: list[Path], content: Content) -> None:
    """``video/001.AVI``, uncut, and ``annotation/0001/{maps,fixation}``."""
    from lightning_avsp.synthetic.films import write_avi_film

    film, folder = paths
    film.parent.mkdir(parents=True, exist_ok=True)
    write_avi_film(film, content.frames, fps=content.spec.fps)
    write_pictures(None, folder / "maps", folder / "fixation", content, "{:04d}.png")


def write_shot(paths: list[Path], content: Content) -> None:
    """``<video>/{images,maps,fixation}/<video>_00001.png``."""
    (folder,) = paths
    write_pictures(
        folder / "images", folder / "maps", folder / "fixation", content, content.video + "_{:05d}.png"
    )


def write_sports(paths: list[Path], content: Content) -> None:
    """``<class>-<number>/{images,maps,fixation}/<class>_<number>_001.png``."""
    (folder,) = paths
    label, _, number = content.video.rpartition("-")
    name = f"{label}_{number}_{{:03d}}.png"
    write_pictures(folder / "images", folder / "maps", folder / "fixation", content, name)


def write_sports_matrices(paths: list[Path], content: Content) -> None:
    """The same with fixations as MATLAB files in ``fixation/maps``."""
    (folder,) = paths
    label, _, number = content.video.rpartition("-")
    name = f"{label}_{number}_{{:03d}}"
    _write_pngs(folder / "images", name + ".png", content.frames)
    _write_pngs(folder / "maps", name + ".png", content.maps)
    matrices = folder / "fixation" / "maps"
    matrices.mkdir(parents=True)
    for count, points in enumerate(content.fixations, start=1):
        data = fixation_file(points, content.spec.map_size, "I")
        (matrices / f"{name.format(count)}.mat").write_bytes(data)


def write_ntire(paths: list[Path], content: Content) -> None:
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
    _write_pngs(folder / "fixations_maps", "{:05d}.png", fixated)


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
        ("AVAD", "Coutrot_db1", "Coutrot_db2", "DIEM", "ETMD_av", "SumMe"), _stavis_paths, write_stavis
    ),
    "unisal": Package(("DHF1K",), _dhf1k_paths("annotation/{:04d}"), write_unisal),
    "tased": Package(("DHF1K",), _dhf1k_paths("video/{:04d}", "annotation/{:04d}"), write_tased),
    "vinet": Package(("DHF1K",), _dhf1k_paths("{:04d}"), write_vinet),
    "diffsal": Package(("DHF1K",), _dhf1k_paths("frames/{}", "maps/{}", "annotation/{:04d}"), write_diffsal),
    "avi": Package(("DHF1K",), _dhf1k_paths("video/{:03d}.AVI", "annotation/{:04d}"), write_avi),
    "shots": Package(("Hollywood2",), _part_paths, write_shot),
    "pictures": Package(("UCF",), _part_paths, write_sports),
    "matrices": Package(("UCF",), _part_paths, write_sports_matrices),
    "ntire": Package(("CrowdSAL",), _ntire_paths, write_ntire),
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


def _write_pngs(folder: Path, name: str, pictures: Iterable[NDArray[np.uint8]]) -> None:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures, start=1):
        Image.fromarray(picture).save(folder / name.format(number), compress_level=1)


def _write_wav(path: Path, sound: NDArray[np.int16], sample_rate: int) -> None:
    """Write mono 16-bit PCM."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(sound.astype("<i2").tobytes())
