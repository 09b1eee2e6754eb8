"""Layouts of a synthetic video's files: as in the STAViS package, or as its model corpus has them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightning_avsp.curation.importing.writing import encode_image, encode_matrix
from lightning_avsp.synthetic.films import write_avi_film, write_film, write_map_film
from lightning_avsp.synthetic.layout import STAVIS_CORPORA, part_of, place_in_part
from lightning_avsp.synthetic.spec import SyntheticSpec

SPORTS_NAME = "{label}_{number:03d}"
"""Files of UCF-Sports, e.g. ``Diving-Side_001_001``."""


@dataclass(frozen=True)
class Content:
    """Everything of a video that is written. ``T`` frames, ``O`` observers."""

    video: str
    spec: SyntheticSpec
    frames: NDArray[np.uint8]
    """RGB: (T, H, W, 3)."""
    audio: NDArray[np.int16]
    """Mono: (N,)."""
    maps: NDArray[np.uint8]
    """(T, Hm, Wm)."""
    fixations: NDArray[np.int64]
    """(row, column): (T, O, 2)."""

    def fixated(self, value: int = 1) -> Iterable[NDArray[np.uint8]]:
        """Yield the fixated pixels of each frame as ``value`` in a matrix of zeros: uint8 (Hm, Wm)."""
        for points in self.fixations:
            matrix = np.zeros(self.spec.map_size, np.uint8)
            matrix[points[:, 0], points[:, 1]] = value
            yield matrix

    def write_matrices(self, folder: Path, name: str, key: str) -> None:
        """Write the fixated pixels of each frame as ``<name>.mat`` with one matrix, named ``key``."""
        folder.mkdir(parents=True, exist_ok=True)
        for number, matrix in enumerate(self.fixated(), start=1):
            data = encode_matrix(matrix, key, "synthetic fixation map")
            (folder / f"{_format_name(name, self.video, number)}.mat").write_bytes(data)


Writer = Callable[[list[Path], Content], None]
"""Writes a video to the paths of its layout."""


@dataclass(frozen=True)
class Package:
    """One layout."""

    corpora: tuple[str, ...]
    """Folder names of the corpora that come in it."""
    patterns: tuple[str, ...]
    """Folders and files of a video below the root; each is moved into place as a whole."""
    write: Writer

    def paths(self, root: Path, corpus: str, video: str, index: int) -> list[Path]:
        """Return the folders and files of the ``index``-th video."""
        part = part_of(index)
        values = {"corpus": corpus, "video": video, "number": int(video) if video.isdigit() else 0}
        values |= {"part": part.capitalize(), "folder": {"train": "training", "test": "testing"}[part]}
        return [root / pattern.format(**values) for pattern in self.patterns]


def _write_stavis(paths: list[Path], content: Content) -> None:
    """Frames, audio and annotation folders of the STAViS package."""
    import soundfile  # an extra

    frames, audio, annotation = paths
    for folder, name, images in (
        (frames, "img", content.frames),
        (annotation / "maps", "eyeMap", content.maps),
    ):
        folder.mkdir(parents=True)
        for number, image in enumerate(images, start=1):
            data = encode_image(image, content.spec.jpeg_quality)
            (folder / f"{name}_{number:05d}.jpg").write_bytes(data)
    content.write_matrices(annotation, "fixMap_{number:05d}", "eyeMap")
    audio.mkdir(parents=True)
    soundfile.write(audio / f"{content.video}.wav", content.audio, content.spec.sample_rate, subtype="PCM_16")


def _images(
    frames: str, maps: str, fixations: str, name: str = "{number:04d}", frame_name: str | None = None
) -> Writer:
    """Build a writer of frames, maps and fixations as PNG, which loses nothing.

    Args:
        frames: Folder of frames, with ``{0}``, ``{1}``, ... for the paths of the video; empty leaves them out.
        maps: The same of maps.
        fixations: The same of fixations.
        name: Format string of ``number`` and ``video``, and of ``label``: the video with its last hyphen as ``_``.
        frame_name: That of frames where it differs.
    """

    def write(paths: list[Path], content: Content) -> None:
        from PIL import Image

        for pattern, images, file_name in (
            (frames, content.frames, frame_name or name),
            (maps, content.maps, name),
            (fixations, content.fixated(255), name),
        ):
            folder = Path(pattern.format(*paths))
            if pattern:
                folder.mkdir(parents=True, exist_ok=True)
                for number, image in enumerate(images, start=1):
                    path = folder / f"{_format_name(file_name, content.video, number)}.png"
                    Image.fromarray(image).save(path, compress_level=1)

    return write


def _format_name(name: str, video: str, number: int) -> str:
    return name.format(video=video, label="_".join(video.rpartition("-")[::2]), number=number)


def _write_avi(paths: list[Path], content: Content) -> None:
    """``video/001.AVI``, uncut, and ``annotation/0001/{maps,fixation}``."""
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    write_avi_film(paths[0], content.frames, fps=content.spec.fps)
    _images("", "{1}/maps", "{1}/fixation")(paths, content)


def _write_matrices(paths: list[Path], content: Content) -> None:
    """UCF's images with fixations as MATLAB files in ``fixation/maps``."""
    _images("{0}/images", "{0}/maps", "", SPORTS_NAME)(paths, content)
    content.write_matrices(paths[0] / "fixation" / "maps", SPORTS_NAME, "I")


def _write_ntire(paths: list[Path], content: Content) -> None:
    """Video with audio, maps as a 10-bit video, ``fixations.json`` with repeats, and images of fixated pixels."""
    film, maps, folder = paths
    for parent in (film.parent, maps.parent, folder):
        parent.mkdir(parents=True, exist_ok=True)
    spec = content.spec
    write_film(film, content.frames, content.audio, fps=spec.fps, sample_rate=spec.sample_rate)
    write_map_film(maps, content.maps, fps=spec.fps)
    (folder / "fixations.json").write_text(json.dumps(content.fixations.tolist()))
    _images("", "", "{2}/fixations_maps", "{number:05d}")(paths, content)


_SHOTS = ("{corpus}/{folder}/{video}",)
_IN_FOLDER = ("{0}/images", "{0}/maps", "{0}/fixation")

PACKAGES: dict[str, Package] = {
    "stavis": Package(
        STAVIS_CORPORA,
        ("video_frames/{corpus}/{video}", "video_audio/{corpus}/{video}", "annotations/{corpus}/{video}"),
        _write_stavis,
    ),
    "unisal": Package(("DHF1K",), ("{corpus}/annotation/{number:04d}",), _images(*_IN_FOLDER)),
    "tased": Package(
        ("DHF1K",),
        ("{corpus}/video/{number:04d}", "{corpus}/annotation/{number:04d}"),
        _images("{0}", "{1}/maps", "{1}/fixation"),
    ),
    "vinet": Package(
        ("DHF1K",), ("{corpus}/{number:04d}",), _images("{0}/images", "{0}/maps", "{0}/fixations")
    ),
    "diffsal": Package(
        ("DHF1K",),
        ("{corpus}/frames/{number}", "{corpus}/maps/{number}", "{corpus}/annotation/{number:04d}"),
        _images("{0}", "{1}", "{2}/fixation", frame_name="{number}"),
    ),
    "avi": Package(
        ("DHF1K",), ("{corpus}/video/{number:03d}.AVI", "{corpus}/annotation/{number:04d}"), _write_avi
    ),
    "shots": Package(("Hollywood2",), _SHOTS, _images(*_IN_FOLDER, "{video}_{number:05d}")),
    "pictures": Package(("UCF",), _SHOTS, _images(*_IN_FOLDER, SPORTS_NAME)),
    "matrices": Package(("UCF",), _SHOTS, _write_matrices),
    "ntire": Package(
        ("CrowdSAL",),
        (
            "{corpus}/Videos/{video}.mp4",
            "{corpus}/Saliency{part}/{part}/{video}.mp4",
            "{corpus}/Fixations{part}/{part}/{video}",
        ),
        _write_ntire,
    ),
}
"""Every layout by its name; the first that names a corpus is its default."""

SYNTHETIC_CORPORA = tuple(dict.fromkeys(name for package in PACKAGES.values() for name in package.corpora))
"""Corpora that a synthetic one can stand in for."""
FILM_PACKAGES = ("ntire", "avi")
"""Layouts that hold videos, for which sizes must be even."""


def layouts_of(corpus: str) -> list[str]:
    """Layouts in which a corpus can be synthesised, its default first; empty for an unknown corpus."""
    return [name for name, package in PACKAGES.items() if corpus in package.corpora]


def write_split_file(root: Path, corpus: str, names: list[str]) -> Path:
    """Write ``TrainTestSplit.json`` of CrowdSAL: every other test video is public."""
    split: dict[str, list[str]] = {"train": [], "public_test": [], "private_test": []}
    for index, name in enumerate(names):
        test = ("public_test", "private_test")[place_in_part(index) % 2]
        split[test if part_of(index) == "test" else "train"].append(f"{name}.mp4")
    path = root / corpus / "TrainTestSplit.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(split, indent=1) + "\n")
    return path
