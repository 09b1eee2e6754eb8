"""Saliency maps in images, arrays and videos that any program may have written, read frame by frame."""

from __future__ import annotations

import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from lightning_avsp.errors import InputError
from lightning_avsp.media.images import read_grey, reduce_channels
from lightning_avsp.media.video import VideoInfo, decode_video, open_video, set_upright

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
VIDEOS = (".mp4", ".mkv", ".webm", ".mov", ".avi")
_GREY_TOLERANCE_VIDEO = 8
"""Levels by which the channels of a grey frame may differ."""
_UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError)


class PredictedVideo(ABC):
    """Predicted maps of one video."""

    @property
    @abstractmethod
    def numbers(self) -> Sequence[int]:
        """Frames with a map, counted from 1, ascending."""

    @abstractmethod
    def frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Read number and map (H, W) of the wanted frames, ascending, one at a time; uint8 or floating point."""


@dataclass(frozen=True)
class NumberedMaps(PredictedVideo):
    """One file per frame: images, or arrays (H, W) in .npy."""

    files: dict[int, Path]

    @property
    def numbers(self) -> Sequence[int]:
        """Frames with a file."""
        return sorted(self.files)

    def frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Read the files of the wanted frames."""
        for number in wanted:
            path = self.files[number]
            yield number, read_map_array(path) if path.suffix.lower() == ".npy" else read_map_image(path)


@dataclass(frozen=True)
class StackedMaps(PredictedVideo):
    """All frames in one array (N, H, W): .npy, or .npz with an array ``maps`` or a single one."""

    path: Path
    count: int

    @property
    def numbers(self) -> Sequence[int]:
        """Frames in the order of the array."""
        return range(1, self.count + 1)

    def frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Read maps one by one; the array is never in memory as a whole."""
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
                        f"{self.path} ends within frame {number} of {self.count}: write it again"
                    )
                if number in chosen:
                    yield number, as_map(np.frombuffer(data, dtype).reshape(shape[1:]), self.path)


@dataclass(frozen=True)
class SaliencyVideo(PredictedVideo):
    """A video whose brightness is saliency."""

    info: VideoInfo

    @property
    def numbers(self) -> Sequence[int]:
        """Frames in the order of presentation."""
        return range(1, self.info.frames + 1)

    def frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Decode maps one by one in one pass, with more than 8 bits if the video has them."""
        path, chosen, number = self.info.path, set(wanted), 0
        for number, (_, frame) in enumerate(decode_video(self.info), start=1):
            if number in chosen:
                deep = frame.format.components[0].bits > 8
                pixels = frame.to_ndarray(format="rgb48le" if deep else "rgb24")
                pixels = set_upright(pixels, self.info)
                tolerance, name = _GREY_TOLERANCE_VIDEO * (257 if deep else 1), f"{path}, frame {number}"
                yield number, as_map(reduce_channels(pixels, tolerance, name), name)
        if number < self.info.frames:
            raise InputError(
                f"{path} announces {self.info.frames} frames but holds {number}: encode it again"
            )


def open_file(path: Path) -> PredictedVideo:
    """Open the maps of a video in one file: an array or a video. Its first frame is frame 1.

    Raises:
        InputError: If the file is broken or holds no stack of maps.
    """
    if path.suffix.lower() in VIDEOS:
        return SaliencyVideo(open_video(path))
    with _open_stack(path) as (_, shape, _):
        return StackedMaps(path, shape[0])


def read_map_image(path: Path) -> Tensor:
    """Read a map from an image: uint8 (H, W), or float32 for 16-bit images and for means of channels.

    Raises:
        InputError: If it cannot be read, or is a colour image.
    """
    return as_map(read_grey(path), path)


def read_map_array(path: Path) -> Tensor:
    """Read a map (H, W) from a .npy file.

    Raises:
        InputError: If it cannot be read or has another shape.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except _UNREADABLE as error:
        raise _broken(path, error) from error
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
    if kind.kind in "iu":
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
