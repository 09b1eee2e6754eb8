"""Pictures, maps and fixations from a prepared file."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lightning_avsp.data.cache.file import SUFFIXES, CacheFile, open_cache_file, read_index
from lightning_avsp.errors import InputError
from lightning_avsp.media.audio import Wave
from lightning_avsp.media.images import decode_jpeg

JPEG_START = b"\xff\xd8"
"""First bytes of a map that is kept as the JPEG it was."""


@dataclass(frozen=True)
class CachedSource:
    """One prepared file, by name; mapped when it is first used in a process."""

    path: Path
    """Prepared file."""
    built: str
    """Mark of its build: should another build take its place meanwhile, reading stops instead of mixing both."""

    @property
    def file(self) -> CacheFile:
        """The mapped file."""
        return open_cache_file(self.path, self.built)

    def check(self, numbers: Sequence[int]) -> None:
        """Refuse numbers that no frame has.

        Raises:
            InputError: With the numbers that there are.
        """
        held = self.file.index["n_frames"]
        if not all(1 <= number <= held for number in numbers):
            raise InputError(f"{self.path} has frames 1 to {held}, asked for {list(numbers)}")

    def name(self, number: int) -> str:
        """Where one frame is, for messages."""
        return f"{self.path}, frame {number}"


@dataclass(frozen=True)
class CachedFrames(CachedSource):
    """Pictures of one size, raw or as JPEG."""

    size: tuple[int, int]
    """(height, width) they were prepared at."""

    def pictures(self, numbers: Sequence[int], size: tuple[int, int]) -> list[np.ndarray]:
        """Frames by number, see :class:`~lightning_avsp.data.sources.FrameSource`."""
        return list(self.clip(numbers, size))

    def clip(
        self, numbers: Sequence[int], size: tuple[int, int], into: np.ndarray | None = None
    ) -> np.ndarray:
        """Frames by number in one array, uint8 (T, H, W, 3): one copy from the file, or one decoding into place.

        Args:
            numbers: Which, T of them.
            size: (height, width), the one they were prepared at.
            into: Array to fill; None for a new one.

        Raises:
            InputError: If another size is asked for, there is no such frame, or its bytes are damaged.
        """
        if size != self.size:
            raise InputError(
                f"{self.path} holds frames of {self.size[0]}x{self.size[1]}, but {size[0]}x{size[1]} are wanted; "
                f"run `avsp data prepare` with --size {size[0]}x{size[1]}"
            )
        file = self.file
        self.check(numbers)
        clip = np.empty((len(numbers), *size, 3), np.uint8) if into is None else into
        if file.index["format"] == "raw":
            self._copy(file.section("frames"), numbers, clip)
            return clip
        for picture, number in zip(clip, numbers, strict=True):
            try:
                decode_jpeg(file.blob("frames", number - 1), "RGB", into=picture)
            except ValueError as error:
                raise InputError(
                    f"{self.name(number)} is damaged: {error}; remove this file and run `avsp data prepare` again"
                ) from error
        return clip

    @staticmethod
    def _copy(frames: np.ndarray, numbers: Sequence[int], into: np.ndarray) -> None:
        first, last = numbers[0], numbers[-1]
        if list(numbers) == list(range(first, last + 1)):
            np.copyto(into, frames[first - 1 : last])  # the usual clip: one move of memory
        else:
            # numbers were checked; mode="raise" would go through a buffer
            np.take(frames, np.array(numbers) - 1, axis=0, out=into, mode="clip")


@dataclass(frozen=True)
class CachedMaps(CachedSource):
    """Continuous maps at their own size, without loss."""

    def map(self, number: int) -> Tensor:
        """Map of a frame, uint8 (Hg, Wg).

        Raises:
            InputError: If its bytes are damaged.
        """
        file = self.file
        if file.last_map is not None and file.last_map[0] == number:
            return torch.from_numpy(file.last_map[1].copy())
        self.check([number])
        try:
            file.last_map = number, unpack_map(file.blob("maps", number - 1), self.size(number))
            return torch.from_numpy(file.last_map[1].copy())
        except (ValueError, zlib.error) as error:
            raise InputError(
                f"{self.name(number)}: its map is damaged: {error}; remove this file and run `avsp data prepare` again"
            ) from error

    def size(self, number: int) -> tuple[int, int]:
        """(Hg, Wg) of a frame's map."""
        height, width = self.file.section("map_sizes")[number - 1]
        return int(height), int(width)


@dataclass(frozen=True)
class CachedFixations(CachedSource):
    """Fixated pixels, kept as points of 16 bit."""

    def points(self, number: int, size: tuple[int, int]) -> Tensor:
        """Fixations of a frame, int64 (N, 2), (row, column).

        Raises:
            InputError: If they were kept in the grid of a map of another size.
        """
        file = self.file
        self.check([number])
        height, width = file.section("map_sizes")[number - 1]
        if (height, width) != size:
            raise InputError(
                f"{self.name(number)}: fixations lie in a grid of {height} x {width}, asked for {size[0]} x {size[1]}"
            )
        ends = file.section("fixations_ends")
        points = file.section("fixations")[ends[number - 1] : ends[number]]
        return torch.from_numpy(points.astype(np.int64).reshape(-1, 2))


def pack_map(saliency: np.ndarray) -> bytes:
    """A map without loss: differences of neighbouring rows modulo 256, deflated; smooth maps shrink to a tenth."""
    rows = np.diff(saliency, axis=0, prepend=np.zeros((1, saliency.shape[1]), np.uint8))
    return zlib.compress(rows.tobytes(), 6)


def unpack_map(blob: memoryview, size: tuple[int, int]) -> np.ndarray:
    """The inverse of :func:`pack_map`, or the picture of a map that is kept as JPEG: uint8 (Hg, Wg), writable."""
    if blob[:2] == JPEG_START:
        return decode_jpeg(blob, "GRAY")
    rows = np.frombuffer(zlib.decompress(blob), np.uint8).reshape(size)
    return np.cumsum(rows, axis=0, dtype=np.uint8)


def is_prepared(path: Path) -> bool:
    """Whether a path names a prepared file, by its suffix."""
    return path.suffix in SUFFIXES


def prepared_wave(path: Path, rate: int | None) -> Wave | Path:
    """Sound from a prepared file at a rate; where that is not kept, the file it was made from.

    Args:
        path: Prepared file.
        rate: Samples per second; None for the rate of the original.

    Raises:
        InputError: If the file is damaged or has no sound.
    """
    index = read_index(path)
    if index is None or index.get("wave") is None:
        raise InputError(f"{path} is no whole prepared file with sound; run `avsp data prepare` again")
    file = open_cache_file(path, index["built"])
    name = f"sound_{rate}"
    if rate is None or name not in file:
        return Path(index["wave"])
    return Wave(torch.from_numpy(file.section(name).copy()), rate)
