"""Predicted maps on disk: one npz file, or a folder of PNG images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal

import numpy as np

MapFormat = Literal["npz", "png", "png16"]


class MapSink(ABC):
    """Writer of the maps of a video, in order."""

    @abstractmethod
    def write(self, saliency: np.ndarray) -> None:
        """Add the next frame's map, float32 (H, W) in [0, 1]."""

    def close(self, times: np.ndarray) -> None:
        """Finish; ``times`` are the frames' seconds after the first frame, float64 (N,)."""
        self.abort()

    def abort(self) -> None:  # noqa: B027  # most sinks keep no file open
        """Close open files without finishing them."""


def open_maps(folder: Path, format: MapFormat) -> MapSink:
    """Open a sink in ``folder``: ``maps.npz``, or ``maps/000001.png`` and so on."""
    return (
        NpzMaps(folder / "maps.npz")
        if format == "npz"
        else PngMaps(folder / "maps", bits=16 if format == "png16" else 8)
    )


class NpzMaps(MapSink):
    """``maps.npz``: ``maps`` float16 (N, H, W) in [0, 1], ``times`` float64 (N,) seconds.

    Half precision keeps 11 significant bits, more than an 8-bit map at any brightness. Frames go to a file
    beside it first, because an array's shape stands before its data and the number of frames is known last.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.raw_path = path.with_suffix(".raw")
        self.raw = self.raw_path.open("wb")
        self.shape: tuple[int, ...] = (0, 0)
        self.count = 0

    def write(self, saliency: np.ndarray) -> None:
        """Add the next frame's map."""
        self.shape = saliency.shape
        self.raw.write(saliency.astype("<f2").tobytes())
        self.count += 1

    def close(self, times: np.ndarray) -> None:
        """Compress all maps into the npz file."""
        self.raw.close()
        # never in memory as a whole
        maps = np.memmap(self.raw_path, "<f2", "r", shape=(self.count, *self.shape))
        np.savez_compressed(self.path, maps=maps, times=times)
        self.raw_path.unlink()

    def abort(self) -> None:
        """Close the temporary file."""
        self.raw.close()


class PngMaps(MapSink):
    """``maps/%06d.png``, numbered from 1: grey, value = round(saliency * (2**bits - 1))."""

    def __init__(self, folder: Path, bits: Literal[8, 16] = 8) -> None:
        self.folder, self.bits, self.count = folder, bits, 0
        folder.mkdir()

    def write(self, saliency: np.ndarray) -> None:
        """Add the next frame's map."""
        from PIL import Image

        self.count += 1
        grey = np.round(saliency * (2**self.bits - 1)).astype(np.uint8 if self.bits == 8 else np.uint16)
        Image.fromarray(grey).save(self.folder / f"{self.count:06d}.png", compress_level=4)
