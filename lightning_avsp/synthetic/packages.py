"""Names, conditions, lists and files of a synthetic corpus, in the style of the corpus it stands in for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from lightning_avsp.curation.importing.writing import encode_image, encode_matrix
from lightning_avsp.data.catalogue import Part, find_corpus
from lightning_avsp.data.lists import list_path
from lightning_avsp.synthetic.films import write_avi_film, write_film, write_map_film
from lightning_avsp.synthetic.spec import CONDITIONS, Condition, SyntheticSpec

STAVIS_CORPORA = ("AVAD", "Coutrot_db1", "Coutrot_db2", "DIEM", "ETMD_av", "SumMe")
"""The six corpora of the STAViS package, which have fold lists."""
SOUNDLESS_CORPORA = ("DHF1K", "Hollywood2", "UCF")
"""Corpora without audio: their stand-ins are silent too, and observers follow the fastest object."""
SHORT_SHOT_FRAMES = 12  # shorter than a clip of 16 or 32, as many shots of Hollywood-2 are
SPLITS = 3
"""Splits of a corpus; each video is tested in exactly one of them."""

_FILMS = ("CHI", "CRA", "DEP", "FNE", "GLA", "LOR")
_ADJECTIVES = {"sound": "Sounding", "music": "Musical", "silent": "Silent"}


def assign_conditions(spec: SyntheticSpec, videos: int) -> list[Condition]:
    """Condition of each video, in the shares of the spec.

    Each video takes the condition furthest behind its share, so that a growing corpus keeps its videos.
    """
    counts = [0] * len(CONDITIONS)
    conditions: list[Condition] = []
    for k in range(1, videos + 1):
        # by what is furthest behind, not at random: a growing corpus keeps its videos
        behind = [share * k - count for share, count in zip(spec.shares, counts, strict=True)]
        chosen = max(range(len(CONDITIONS)), key=lambda c: (round(behind[c], 9), -c))
        counts[chosen] += 1
        conditions.append(CONDITIONS[chosen])
    return conditions


def video_name(corpus: str, index: int, condition: Condition, size: tuple[int, int]) -> str:
    """Name of the ``index``-th video (from 0), e.g. ``V1_Sound`` in AVAD."""
    number, part, kind = index + 1, part_of(index), _ADJECTIVES[condition]
    names = {
        "AVAD": f"V{number}_{condition.capitalize()}",
        "DIEM": f"{kind.lower()}_discs_{number}_{size[1]}x{size[0]}",
        "ETMD_av": f"{_FILMS[index % len(_FILMS)]}_{index // len(_FILMS) + 1}_color",
        "SumMe": f"{kind}_Discs_{number}",
        # papers test videos 601 to 700
        "DHF1K": f"{place_in_part(index) + (1 if part == 'train' else 601):04d}",
        "Hollywood2": f"actionclip{part}{index // 2 + 1:05d}_{index % 2 + 1}",
        "UCF": f"{kind}-Discs-{number:03d}",
        "CrowdSAL": f"{number:04d}",
    }
    return names.get(corpus, f"clip{number}")


def part_of(index: int) -> Literal["train", "test"]:
    """Part of the ``index``-th video where there are no fold lists: every third is tested, also when more follow."""
    # every third, also when more follow: parts are stable when a corpus grows
    return "test" if index % SPLITS == SPLITS - 1 else "train"


def place_in_part(index: int) -> int:
    """Count the videos before the ``index``-th that are in its part."""
    tests = (index + 1) // SPLITS  # among videos 0 to index - 1 or, for a test video, up to itself
    return tests - 1 if part_of(index) == "test" else index - tests


def video_spec(spec: SyntheticSpec, corpus: str, index: int) -> SyntheticSpec:
    """Spec of one video: that of its corpus, or shorter for some shots of Hollywood2."""
    if corpus == "Hollywood2" and index % 3 == 1 and spec.frames > SHORT_SHOT_FRAMES:
        return replace(spec, seconds=SHORT_SHOT_FRAMES / spec.fps)
    return spec


def partition(conditions: list[Condition], seed: int, corpus: str) -> list[int]:
    """Split in which each video is tested, 0 to 2: a partition with the same conditions in every part."""
    # crc32, since hash() of a text differs from process to process
    rng = np.random.default_rng([seed, crc32(corpus.encode())])
    tested = [0] * len(conditions)
    turn = 0
    # turn by turn through each condition, so that every part has them alike
    for condition in CONDITIONS:
        for index in rng.permutation([i for i, c in enumerate(conditions) if c == condition]):
            tested[int(index)] = turn % SPLITS
            turn += 1
    return tested


def write_fold_lists(root: Path, corpus: str, lines: list[str], tested: list[int], splits: int) -> None:
    """Write the training and the test list of every split.

    Each video has its line (name, frames, frames per second) and the split in which it is ``tested``, from 0.
    """
    parts: tuple[Part, ...] = ("train", "test")
    for split, part in product(range(splits), parts):
        chosen = [
            line for line, test in zip(lines, tested, strict=True) if (test == split) == (part == "test")
        ]
        path = list_path(root, find_corpus(corpus), part, split + 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in chosen))


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
            # two observers on one pixel are one fixated pixel, as in the true packages
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

    Folders have ``{0}``, ``{1}``, ... for the paths of the video, and are empty where a part is left out; names are
    format strings of ``number``, ``video`` and ``label``: the video with its last hyphen as ``_``.
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


def write_split_file(root: Path, corpus: str, names: list[str]) -> None:
    """Write ``TrainTestSplit.json`` of CrowdSAL: every other test video is public."""
    split: dict[str, list[str]] = {"train": [], "public_test": [], "private_test": []}
    for index, name in enumerate(names):
        # both challenge sets in every corpus of six videos
        test = ("public_test", "private_test")[place_in_part(index) % 2]
        split[test if part_of(index) == "test" else "train"].append(f"{name}.mp4")
    path = root / corpus / "TrainTestSplit.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(split, indent=1) + "\n")
