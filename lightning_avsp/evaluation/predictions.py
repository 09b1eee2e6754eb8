"""Predicted maps of any program: found in a folder, read frame by frame from images, arrays and videos."""

from __future__ import annotations

import re
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import torch
from torch import Tensor

from lightning_avsp.data.catalogue import Corpus
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.formatting import shorten
from lightning_avsp.media.images import read_grey, reduce_channels
from lightning_avsp.media.video import VideoInfo, decode_video, open_video, set_upright

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
VIDEOS = (".mp4", ".mkv", ".webm", ".mov", ".avi")
_GREY_TOLERANCE_VIDEO = 8  # levels: grey frames are rounded on the way to YUV and back
# whatever numpy and zipfile raise for damaged bytes
_UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError)


class PredictedVideo(Protocol):
    """Predicted maps of one video."""

    def frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Read number and map (H, W) of the wanted frames, ascending, one at a time; uint8 or floating point."""


@dataclass(frozen=True)
class PredictedFiles(ABC):
    """Predicted maps of one video on disk."""

    numbers: Sequence[int]
    """Frames with a map, counted from 1, ascending."""

    @abstractmethod
    def frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Read maps, see :class:`PredictedVideo`."""


@dataclass(frozen=True)
class NumberedMaps(PredictedFiles):
    """One file per frame: images, or arrays (H, W) in .npy."""

    files: dict[int, Path]

    def frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Read the files of the wanted frames."""
        for number in wanted:
            path = self.files[number]
            is_array = path.suffix.lower() == ".npy"
            yield number, read_map_array(path) if is_array else as_map(read_grey(path), path)


@dataclass(frozen=True)
class StackedMaps(PredictedFiles):
    """All frames in one array (N, H, W): .npy, or .npz with an array ``maps`` or a single one."""

    path: Path

    def frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Read maps one by one; the array is never in memory as a whole."""
        # an archive can only be read forwards: frames that nobody wants are read and dropped
        chosen = set(wanted)
        with _open_stack(self.path) as (file, shape, dtype):
            size = dtype.itemsize * shape[1] * shape[2]
            for number in self.numbers:
                try:
                    data = file.read(size)
                except _UNREADABLE as error:
                    raise _broken(self.path, error) from error
                if len(data) < size:
                    raise InputError(
                        f"{self.path} ends within frame {number} of {len(self.numbers)}: write it again"
                    )
                if number in chosen:
                    yield number, as_map(np.frombuffer(data, dtype).reshape(shape[1:]), self.path)


@dataclass(frozen=True)
class SaliencyVideo(PredictedFiles):
    """A video whose brightness is saliency."""

    info: VideoInfo

    def frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Decode maps one by one in one pass, with more than 8 bits if the video has them."""
        # in one pass: seeking would decode from a key frame for each map
        path, chosen, number = self.info.path, set(wanted), 0
        for number, (_, frame) in enumerate(decode_video(self.info), start=1):
            if number in chosen:
                deep = frame.format.components[0].bits > 8  # 8 bits of a deep video would merge its levels
                pixels = frame.to_ndarray(format="rgb48le" if deep else "rgb24")
                pixels = set_upright(pixels, self.info)
                tolerance, name = _GREY_TOLERANCE_VIDEO * (257 if deep else 1), f"{path}, frame {number}"
                yield number, as_map(reduce_channels(pixels, tolerance, name), name)
        if number < self.info.frames:  # a cut file would pass for a shorter video
            raise InputError(
                f"{path} announces {self.info.frames} frames but holds {number}: encode it again"
            )


def open_file(path: Path) -> PredictedFiles:
    """Open the maps of a video in one file: an array or a video. Its first frame is frame 1.

    Raises:
        InputError: If the file is broken or holds no stack of maps.
    """
    if path.suffix.lower() in VIDEOS:
        info = open_video(path)
        return SaliencyVideo(range(1, info.frames + 1), info)
    with _open_stack(path) as (_, shape, _):
        return StackedMaps(range(1, shape[0] + 1), path)


def read_map_array(path: Path) -> Tensor:
    """Read a map (H, W) from a .npy file.

    Raises:
        InputError: If it cannot be read or has another shape.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except _UNREADABLE as error:
        raise _broken(path, error) from error
    # (H, W, 1) and (1, H, W) are refused too: nobody can tell a batch from channels
    if values.ndim != 2:
        raise InputError(
            f"{path} has shape {values.shape}, but a file that carries a frame number holds one map (H, W)"
        )
    return as_map(values, path)


def as_map(values: np.ndarray, path: Path | str) -> Tensor:
    """Convert an array to a type that metrics accept: uint8 and floats stay, others become float64."""
    kind = values.dtype
    if kind == np.uint8 or kind in (np.float32, np.float64):
        return torch.from_numpy(values.astype(kind.newbyteorder("="), copy=True))
    if kind in (np.float16, np.uint16, np.bool_):
        return torch.from_numpy(values.astype(np.float32))  # exact
    if kind.kind in "iu":  # 32 bits of an integer fit no float32
        return torch.from_numpy(values.astype(np.float64))
    raise InputError(f"{path} holds values of type {kind}, but a map is made of real numbers")


@contextmanager
def _open_stack(path: Path) -> Iterator[tuple[IO[bytes], tuple[int, ...], np.dtype]]:
    """Open a stack of maps at its first value: file, shape and type."""
    with ExitStack() as opened:
        try:
            if path.suffix.lower() == ".npz":
                archive = opened.enter_context(zipfile.ZipFile(path))
                names = [name for name in archive.namelist() if name.endswith(".npy")]
                if "maps.npy" not in names and len(names) != 1:
                    held = ", ".join(name[:-4] for name in names) or "none"
                    raise InputError(f"{path} has no array 'maps'; its arrays: {held}")
                file = opened.enter_context(archive.open("maps.npy" if "maps.npy" in names else names[0]))
            else:
                file = opened.enter_context(path.open("rb"))
            # numpy offers no reader of a header for both versions
            old = np.lib.format.read_magic(file) == (1, 0)
            read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
        except InputError:
            raise
        except _UNREADABLE as error:
            raise _broken(path, error) from error
        if len(shape) != 3 or fortran or dtype.hasobject:
            order = " in Fortran order" if fortran else ""
            raise InputError(
                f"{path} holds an array of shape {shape}{order} and type {dtype}, but maps of a video are "
                "(frames, rows, columns) of numbers in C order"
            )
        yield file, shape, dtype


def _broken(path: Path, error: BaseException) -> InputError:
    if not path.exists():
        return InputError(f"{path} has disappeared since the folder was listed")
    size = path.stat().st_size
    return InputError(f"{path} ({size} bytes) cannot be read as saliency maps: {error}; write it again")


SMALLEST_SIDE = 8
"""Least pixels of a saliency map's side."""
# a map's aspect ratio over the frames', at most: 16:9 over 4:3 is 1.33, 4:3 turned by 90 degrees over itself 1.78
STRETCH = 1.5
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


def find_video(folder: Path, corpus: Corpus, video: str, count_from: int = 1) -> PredictedFiles | None:
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
    # maps.npz beside a folder of images: only the user knows which is the newer
    if len(found) > 1:
        raise InputError(
            f"{corpus.name}/{video} is predicted twice, by {found[0]} and {found[1]}: remove one of them"
        )
    if not found:
        return None
    return open_folder(found[0], count_from) if found[0].is_dir() else open_file(found[0])


def open_folder(folder: Path, count_from: int = 1) -> PredictedFiles:
    """Open the maps of a video in its folder: numbered files, or one array or video (``maps.npz``, ``saliency.mp4``).

    Raises:
        InputError: If the folder holds no predictions, or names carry no number.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    numbered = [path for path in files if path.suffix.lower() in IMAGES]
    numbered += [path for path in files if path.suffix.lower() == ".npy" and re.search(r"\d", path.stem)]
    if numbered:
        by_number = _by_number(numbered, count_from)
        return NumberedMaps(sorted(by_number), by_number)
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
            if min(rows, columns) < SMALLEST_SIDE:
                raise InputError(
                    f"{name}: maps are {rows} x {columns} (rows x columns): too small to be saliency maps"
                )
            (height, width), (high, wide) = entry.size, truth_size
            # square maps pass: networks of this field see square frames, and their maps are stretched back
            aspects = [columns / rows / other for other in (1.0, width / height, wide / high)]
            square, *fits = (max(aspect, 1 / aspect) for aspect in aspects)
            if square > NEARLY_SQUARE and min(fits) > STRETCH:
                raise InputError(
                    f"{name}: maps are {rows} x {columns} (rows x columns), but frames are {height} x {width} and the "
                    f"ground truth {high} x {wide}: they are of another video, or rotated"
                )
        elif (rows, columns) != first[1]:
            raise InputError(
                f"{name}: the map of frame {number} is {rows} x {columns} (rows x columns), that of frame {first[0]} "
                f"is {first[1][0]} x {first[1][1]}: maps of a video must have one size"
            )
        # an empty map is legal and counted; logarithms are not, and would score as a map turned over
        highest = float(saliency.max())
        if highest <= 0 and float(saliency.min()) < 0:
            raise InputError(
                f"{name}: no value of frame {number} is above {highest:g}, as in logarithms of a density: give the "
                "density itself"
            )
        yield number, saliency


def _by_number(files: Sequence[Path], count_from: int) -> dict[int, Path]:
    """Name files by the last number in their names; refuse missing, repeated and impossible ones."""
    numbered: dict[int, Path] = {}
    for path in files:
        digits = re.findall(r"\d+", path.stem)
        if not digits:
            raise InputError(f"{path} carries no frame number in its name: name predictions like 00001.png")
        # the last number: names may begin with that of the video
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
