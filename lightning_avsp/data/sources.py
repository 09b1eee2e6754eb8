"""Sources of a video's frames, maps and fixations: their interfaces, numbered files, and files of a whole video.

Frames count from 1. Sources are small, hashable and picklable: dataloader workers get copies, and open files
themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from lightning_avsp.data.numbered_files import NumberedFiles
from lightning_avsp.data.text_files import read_json
from lightning_avsp.errors import InputError
from lightning_avsp.media.images import image_size, read_grey, read_image
from lightning_avsp.media.matrices import read_matrix
from lightning_avsp.media.random_access import (
    Backend,
    PyAVReader,
    check_seekable,
    decode_in_order,
    reader,
    video_info,
)
from lightning_avsp.media.video import VideoInfo, set_upright, to_rgb


class FrameSource(Protocol):
    """Frames of one video."""

    def read(self, numbers: Sequence[int], size: tuple[int, int]) -> np.ndarray:
        """Read distinct frames by number, in the given order: uint8 (T, H, W, 3), RGB, at (height, width) ``size``.

        Raises:
            InputError: If a frame cannot be read; the message names file and frame.
        """

    def name(self, number: int) -> str:
        """Name one frame, for messages."""


class MapSource(Protocol):
    """Continuous saliency maps of one video."""

    def map(self, number: int, deep: bool = False) -> Tensor:
        """Read the map of a frame at its own size: uint8 (Hg, Wg), or of its own depth, in proportion, if ``deep``."""

    def size(self, number: int) -> tuple[int, int]:
        """Return (Hg, Wg) of a frame's map."""

    def name(self, number: int) -> str:
        """Name one map, for messages."""


class FixationSource(Protocol):
    """Fixated pixels of one video."""

    def points(self, number: int, size: tuple[int, int]) -> Tensor:
        """Read the fixations of a frame as points int64 (N, 2), (row, column), in the grid of its map of this size.

        In reading order, never as an image that a resize could blur; N is 0 without fixations.

        Raises:
            InputError: If a file is missing, broken, or of another size than the map.
        """

    def name(self, number: int) -> str:
        """Name the fixations of one frame, for messages."""


@dataclass(frozen=True)
class PictureFrames(NumberedFiles):
    """Frames in numbered image files, e.g. ``img_00001.jpg``."""

    def read(self, numbers: Sequence[int], size: tuple[int, int]) -> np.ndarray:
        """Read frames, see :class:`FrameSource`."""
        return np.stack([read_image(self.path(number), size) for number in numbers])


@dataclass(frozen=True)
class PictureMaps(NumberedFiles):
    """Maps in numbered grey images, e.g. ``eyeMap_00001.jpg``."""

    def map(self, number: int, deep: bool = False) -> Tensor:
        """Read the map of a frame: uint8, scaled over its type; float32 as stored if ``deep`` and of more bits."""
        values = read_grey(self.path(number), deep)
        return torch.from_numpy(values.astype(np.uint8 if values.dtype == np.uint8 else np.float32))

    def size(self, number: int) -> tuple[int, int]:
        """Read the size of a frame's map, from its header alone."""
        return image_size(self.path(number))


@dataclass(frozen=True)
class MatFixations(NumberedFiles):
    """Fixated pixels as numbered MATLAB matrices, non-zero at fixations, e.g. ``fixMap_00001.mat``."""

    key: str = "eyeMap"
    """Name of the matrix (``I`` in DHF1K)."""

    def points(self, number: int, size: tuple[int, int]) -> Tensor:
        """Read the fixations of a frame, see :class:`FixationSource`."""
        path = self.path(number)
        return _points(read_matrix(path, self.key), size, f"{path}: {self.key}")


@dataclass(frozen=True)
class PictureFixations(NumberedFiles):
    """Fixated pixels as numbered lossless images, e.g. ``0001.png``: all that are not black."""

    def points(self, number: int, size: tuple[int, int]) -> Tensor:
        """Read the fixations of a frame, see :class:`FixationSource`."""
        path = self.path(number)
        return _points(read_grey(path), size, f"{path}: the image of fixations")


def _points(matrix: np.ndarray, size: tuple[int, int], what: str) -> Tensor:
    if matrix.shape != size:
        raise InputError(
            f"{what} is {' x '.join(map(str, matrix.shape))}, but the map of this frame is "
            f"{size[0]} x {size[1]}; both must have one size: unpack the annotations again"
        )
    # their type is not stated anywhere (logical, uint8 and double occur), so only zero or not counts
    return torch.from_numpy(np.argwhere(matrix != 0).astype(np.int64))  # (N, 2)


@dataclass(frozen=True)
class WholeFile:
    """One file of all frames."""

    path: Path

    def name(self, number: int) -> str:
        """Name one frame, for messages."""
        return f"{self.path}, frame {number}"


@dataclass(frozen=True)
class JsonFixations(WholeFile):
    """Fixations in one file of ``[row, column]`` pairs; a pixel fixated twice is there twice."""

    def count(self) -> int:
        """Return the number of frames with a list."""
        return len(read_fixation_lists(self.path))

    def points(self, number: int, size: tuple[int, int]) -> Tensor:
        """Read the fixations of a frame, repeats included.

        Raises:
            InputError: If there is no such frame, or a point lies outside the map.
        """
        lists = read_fixation_lists(self.path)
        _check_numbers(self.path, [number], len(lists))
        points = lists[number - 1]
        outside = points[((points < 0) | (points >= np.array(size))).any(axis=1)]
        if len(outside):
            raise InputError(
                f"{self.name(number)}: fixation {outside[0].tolist()} (row, column) lies outside the map of "
                f"{size[0]} x {size[1]}; unpack the annotations again"
            )
        # the remembered array is not to be changed by a batch
        return torch.from_numpy(points.copy())


def read_fixation_lists(path: Path) -> tuple[np.ndarray, ...]:
    """Read the fixations of every frame of a video from JSON: a list per frame of ``[row, column]`` pairs.

    Returns:
        One int64 (N, 2) for each frame.

    Raises:
        InputError: If the file is missing or contains anything else.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"{path} is missing; unpack the annotations again") from error
    return _fixation_lists(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=16)  # about a megabyte for a video of 18 seconds and 70 observers
def _fixation_lists(path: Path, size: int, changed_ns: int) -> tuple[np.ndarray, ...]:
    try:
        frames = read_json(path)
        if not isinstance(frames, list):
            raise TypeError(f"expected a list with one list for each frame, found {type(frames).__name__}")
        lists = []
        for number, pairs in enumerate(frames, start=1):
            # repeats stay: several observers looked at one pixel
            points = np.asarray(pairs, dtype=np.float64).reshape(-1, 2) if pairs else np.zeros((0, 2))
            if len(points) != len(pairs) or not np.isfinite(points).all():
                raise ValueError(f"frame {number} is not a list of [row, column] pairs")
            lists.append(np.floor(points).astype(np.int64))  # the pixel in which a point lies
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"{path} ({size} bytes) contains no lists of fixations: {error}; replace this file"
        ) from error
    return tuple(lists)


@dataclass(frozen=True)
class NoFixations:
    """Missing fixations: frames are trained on, and scored by what needs none (CC, SIM, KL divergence)."""

    tried: Path
    """Path at which they were looked for."""

    def points(self, number: int, size: tuple[int, int]) -> Tensor:
        """Return no point: metrics of fixations leave the frame out and count it."""
        return torch.zeros(0, 2, dtype=torch.int64)

    def name(self, number: int) -> str:
        """Name the path, for messages."""
        return str(self.tried)


@dataclass(frozen=True)
class VideoFrames(WholeFile):
    """Frames of a video file."""

    backend: Backend = "pyav"
    """Decoder for single clips; :meth:`in_order` always uses PyAV."""

    def read(self, numbers: Sequence[int], size: tuple[int, int]) -> np.ndarray:
        """Read frames, see :class:`FrameSource`.

        Raises:
            InputError: If the file is damaged, has no such frame, or cannot be read by number (.avi, .mpg).
            MissingDependencyError: If the decoder is not installed.
        """
        _check_seekable(self.path, numbers)
        wanted = sorted(set(numbers))  # forwards, so that one pass from a key frame serves a clip
        frames = np.stack(reader(self.path, self.backend, size).read([n - 1 for n in wanted], size))
        return frames if list(numbers) == wanted else frames[[wanted.index(number) for number in numbers]]

    def in_order(self, size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
        """Yield every frame from the first to the last, in any container that can be decoded.

        Raises:
            InputError: If the file is damaged; the message names file and frame.
        """
        for frame, info in decode_in_order(self.path):
            # decoding in order needs no key frames, times or seeking: it works in every container
            yield to_rgb(frame, info, size)


@dataclass(frozen=True)
class VideoMaps(WholeFile):
    """Saliency maps stored as a video: luma of any bit depth, brought to 0 .. 255.

    Luma of the limited range (16 .. 235 in 8 bit) is stretched to the full one as the stream says.
    """

    def map(self, number: int, deep: bool = False) -> Tensor:
        """Read the map of a frame at its own size, uint8 (Hg, Wg), or float32 of its own depth if ``deep``.

        Raises:
            InputError: If the file is damaged, has no such frame, or cannot be read by number (.avi, .mpg).
        """
        _check_seekable(self.path, [number])
        # the others decode to RGB of 8 bits
        decoder = reader(self.path, "pyav", None)
        assert isinstance(decoder, PyAVReader)
        return torch.from_numpy(_grey(decoder.frame(number - 1), decoder.info, deep))

    def in_order(self) -> Iterator[np.ndarray]:
        """Yield every map from the first to the last, uint8 (Hg, Wg)."""
        for frame, info in decode_in_order(self.path):
            yield _grey(frame, info)

    def size(self, number: int) -> tuple[int, int]:
        """Return (Hg, Wg), the same for every frame."""
        info = video_info(self.path)
        return info.height, info.width


def _grey(frame: Any, info: VideoInfo, deep: bool = False) -> np.ndarray:
    """Luma of an ``av.VideoFrame`` as uint8 (H, W), rounded from 16 bit; as float32 if ``deep``."""
    # One thread: with several, swscale left garbage in 15 of 16000 frames (PyAV 18.1), and with one in none.
    luma = set_upright(frame.reformat(format="gray16le", threads=1).to_ndarray(), info)
    return luma.astype(np.float32) if deep else ((luma.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _check_seekable(path: Path, numbers: Sequence[int]) -> None:
    info = video_info(path)
    check_seekable(info)
    _check_numbers(path, numbers, info.frames)


def _check_numbers(path: Path, numbers: Sequence[int], count: int) -> None:
    bad = [number for number in numbers if not 1 <= number <= count]
    if bad:
        raise InputError(f"{path} has no frame {bad[0]}; its frames are 1 to {count}")
