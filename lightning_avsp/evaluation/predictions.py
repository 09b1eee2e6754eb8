"""Search for the predicted maps of each video in a folder that any program may have written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from lightning_avsp.data.catalogue import Corpus
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.formatting import shorten
from lightning_avsp.evaluation.prediction_files import (
    IMAGES,
    VIDEOS,
    NumberedMaps,
    PredictedVideo,
    open_file,
)

SMALLEST_SIDE = 8
"""Least pixels of a saliency map's side."""
STRETCH = 1.5
"""Largest ratio of a map's aspect ratio to the frames' or the ground truth's; square maps always pass, since
networks of this field see square frames and their maps are stretched back when they are scored."""
NEARLY_SQUARE = 1.05


@dataclass(frozen=True)
class Missing:
    """Videos and frames without predictions that a protocol scores."""

    videos: list[str] = field(default_factory=list)
    """``<split>/<corpus>/<video>`` without any prediction."""
    frames: list[tuple[str, int, int]] = field(default_factory=list)
    """The same name, frames that lack a prediction, and the first of them, for videos with some."""

    @property
    def frame_count(self) -> int:
        """Frames missing in the videos that have predictions."""
        return sum(count for _, count, _ in self.frames)

    def __bool__(self) -> bool:
        return bool(self.videos or self.frames)

    def sentence(self) -> str:
        """Describe the missing predictions in one line."""
        parts = []
        if self.videos:
            parts.append(f"{len(self.videos)} videos have no predictions ({shorten(self.videos)})")
        if self.frames:
            named = [f"{name} lacks {count}, first {first}" for name, count, first in self.frames]
            parts.append(
                f"{self.frame_count} frames of {len(self.frames)} videos are missing ({shorten(named)})"
            )
        return "; ".join(parts)


def folder_of_split(predictions: Path, split: int) -> Path:
    """Find the predictions of one split: a folder ``split1_results``, ``split1`` or ``split_1`` if there is one.

    Models are trained per split; a folder without such parts holds one model's predictions for all.
    """
    names = (f"split{split}_results", f"split{split}", f"split_{split}")
    return next((predictions / name for name in names if (predictions / name).is_dir()), predictions)


def check_folder(predictions: Path) -> None:
    """Refuse a path that is no folder of predictions.

    Raises:
        InputError: If it does not exist, is a file, or is empty.
    """
    if not predictions.is_dir():
        found = f"{predictions} is a file" if predictions.exists() else f"no folder at {predictions}"
        raise InputError(f"{found}: give the folder that holds <corpus>/<video>/... or <video>/...")
    if all(path.name.startswith(".") for path in predictions.iterdir()):
        raise InputError(f"{predictions} is empty: predict first, or give another folder")


def candidates_of(folder: Path, corpus: Corpus, video: str) -> list[Path]:
    """List the possible paths of a video's predictions, without a suffix."""
    return list(dict.fromkeys((folder / corpus.name / video, folder / corpus.folder / video, folder / video)))


def find_video(folder: Path, corpus: Corpus, video: str, count_from: int = 1) -> PredictedVideo | None:
    """Find the predictions of a video, or None.

    Args:
        folder: Folder of predictions.
        corpus: Corpus of the video.
        video: Its name.
        count_from: Number of the first frame in file names, 0 or 1.

    Raises:
        InputError: If files cannot be predictions, or there are several predictions.
    """
    found: list[Path] = []
    for path in candidates_of(folder, corpus, video):
        files = [path.with_name(path.name + suffix) for suffix in (*VIDEOS, ".npz", ".npy")]
        found += [path] * path.is_dir() + [file for file in files if file.is_file()]
    if len(found) > 1:
        raise InputError(
            f"{corpus.name}/{video} is predicted twice, by {found[0]} and {found[1]}: remove one of them"
        )
    if not found:
        return None
    return open_folder(found[0], count_from) if found[0].is_dir() else open_file(found[0])


def open_folder(folder: Path, count_from: int = 1) -> PredictedVideo:
    """Open the maps of a video in its folder: numbered files, or one array or video (``maps.npz``, ``saliency.mp4``).

    Raises:
        InputError: If the folder holds no predictions, or names carry no number.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    numbered = [path for path in files if path.suffix.lower() in IMAGES]
    numbered += [path for path in files if path.suffix.lower() == ".npy" and re.search(r"\d", path.stem)]
    if numbered:
        return NumberedMaps(_by_number(numbered, count_from))
    if (folder / "maps").is_dir():
        return open_folder(folder / "maps", count_from)
    # what `avsp predict` writes beside other files
    usual = [folder / name for name in ("maps.npz", "maps.npy", "saliency.mp4") if (folder / name).is_file()]
    single = [path for path in files if path.suffix.lower() in (*VIDEOS, ".npz", ".npy")]
    if usual or len(single) == 1:
        return open_file((usual or single)[0])
    raise InputError(
        f"{folder} holds no predictions that can be read ({shorten([path.name for path in files]) or 'nothing'}): put "
        "numbered images or arrays, one array of all frames, or one video there"
    )


def checked_frames(
    source: PredictedVideo, wanted: Sequence[int], entry: VideoEntry, truth_size: tuple[int, int]
) -> Iterator[tuple[int, Tensor]]:
    """Read the maps of the wanted frames, and check their size.

    Args:
        source: Predictions of the video.
        wanted: Frame numbers, ascending.
        entry: The video, for its frames' size.
        truth_size: (rows, columns) of its ground truth.

    Raises:
        InputError: If the size changes within the video, or the shape fits neither frames nor ground truth.
    """
    name = f"{entry.corpus}/{entry.video}"
    first: tuple[int, tuple[int, int]] | None = None
    for number, saliency in source.frames(wanted):
        rows, columns = saliency.shape
        if first is None:
            first = number, (rows, columns)
            _check_size(name, (rows, columns), entry.size, truth_size)
        elif (rows, columns) != first[1]:
            raise InputError(
                f"{name}: the map of frame {number} is {rows} x {columns} (rows x columns), that of frame {first[0]} "
                f"is {first[1][0]} x {first[1][1]}: maps of a video must have one size"
            )
        highest = float(saliency.max())
        if highest <= 0 and float(saliency.min()) < 0:
            raise InputError(
                f"{name}: no value of frame {number} is above {highest:g}, as in logarithms of a density: give the "
                "density itself"
            )
        yield number, saliency


def _check_size(name: str, size: tuple[int, int], frames: tuple[int, int], truth: tuple[int, int]) -> None:
    rows, columns = size
    if min(size) < SMALLEST_SIDE:
        raise InputError(
            f"{name}: maps are {rows} x {columns} (rows x columns): too small to be saliency maps"
        )
    aspect = columns / rows
    square, *fits = (
        max(aspect / other, other / aspect) for other in (1.0, frames[1] / frames[0], truth[1] / truth[0])
    )
    if square > NEARLY_SQUARE and min(fits) > STRETCH:
        raise InputError(
            f"{name}: maps are {rows} x {columns} (rows x columns), but frames are {frames[0]} x {frames[1]} and the "
            f"ground truth {truth[0]} x {truth[1]}: they are of another video, or rotated"
        )


def _by_number(files: Sequence[Path], count_from: int) -> dict[int, Path]:
    """Name files by the last number in their names; refuse missing, repeated and impossible ones."""
    numbered: dict[int, Path] = {}
    for path in files:
        digits = re.findall(r"\d+", path.stem)
        if not digits:
            raise InputError(f"{path} carries no frame number in its name: name predictions like 00001.png")
        number = int(digits[-1]) + 1 - count_from
        if number < 1:
            raise InputError(
                f"{path} is numbered 0, but frames count from 1: pass --count_from=0 if that is the first"
            )
        if number in numbered:
            raise InputError(
                f"{numbered[number]} and {path.name} are both of frame {number}: remove one of them"
            )
        numbered[number] = path
    return numbered
