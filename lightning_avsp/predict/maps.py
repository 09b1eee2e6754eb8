"""Predicted maps on disk: a raw file while they are predicted, then one npz file or a folder of PNG images."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

MapFormat = Literal["npz", "png", "png16"]
_STORED = {"npz": ("<f2", 1), "png": ("|u1", 255), "png16": ("<u2", 65535)}
"""Number type of a format, and the number that means 1.0. Half precision keeps 11 significant bits."""


class MapSpool:
    """Maps of a video in order, rounded as their format stores them, in one raw file that a later start continues.

    Args:
        path: The file.
        format: Format that the maps end in.
        shape: Height and width.
    """

    def __init__(self, path: Path, format: MapFormat, shape: tuple[int, int]) -> None:
        self.path, self.format, self.shape = path, format, shape
        self.dtype, self.top = np.dtype(_STORED[format][0]), _STORED[format][1]
        self.bytes = self.dtype.itemsize * shape[0] * shape[1]
        """Size of one map."""
        self._file = path.open("ab")

    def __len__(self) -> int:
        return self._file.tell() // self.bytes

    def truncate(self, count: int) -> None:
        """Keep the first ``count`` maps, whole ones alone."""
        self._file.truncate(count * self.bytes)
        self._file.seek(0, 2)

    def append(self, saliency: np.ndarray) -> None:
        """Add the next frame's map, float32 (H, W) in [0, 1]."""
        scaled = saliency if self.top == 1 else np.round(saliency * self.top)
        self._file.write(scaled.astype(self.dtype).tobytes())

    def read(self) -> np.ndarray:
        """Map all maps into memory as they are stored, (N, H, W)."""
        self._file.flush()
        return np.memmap(self.path, self.dtype, "r", shape=(len(self), *self.shape))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def write_maps(folder: Path, format: MapFormat, maps: np.ndarray, times: np.ndarray) -> None:
    """Write ``maps.npz`` (``maps`` float16 (N, H, W), ``times`` float64 (N,) in seconds) or ``maps/000001.png`` etc.

    Args:
        folder: Folder to write into.
        format: Format; grey levels of PNG images are round(saliency * (2**bits - 1)).
        maps: Maps of :meth:`MapSpool.read`, which are never in memory as a whole.
        times: Seconds after the first frame.
    """
    if format == "npz":
        np.savez_compressed(folder / "maps.npz", maps=maps, times=times)
        return
    from PIL import Image

    (folder / "maps").mkdir()
    for number, stored in enumerate(maps, start=1):
        Image.fromarray(stored).save(folder / "maps" / f"{number:06d}.png", compress_level=4)
