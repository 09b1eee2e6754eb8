"""Predicted maps on disk: a raw file while they are predicted, then one npz file or a folder of PNG images."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal
from zipfile import ZIP_DEFLATED, ZipFile

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
        self.bytes = self.bytes_of(format, shape)
        """Size of one map."""
        self._file = path.open("ab")  # appended to, so that a later start continues it

    @staticmethod
    def bytes_of(format: MapFormat, shape: tuple[int, int]) -> int:
        """Return the size of one map."""
        return np.dtype(_STORED[format][0]).itemsize * shape[0] * shape[1]

    def __len__(self) -> int:
        return self._file.tell() // self.bytes

    def truncate(self, count: int) -> None:
        """Keep the first ``count`` maps, whole ones alone."""
        # a killed process leaves half a map at the end
        self._file.truncate(count * self.bytes)
        self._file.seek(0, 2)

    def append(self, saliency: np.ndarray) -> None:
        """Add the next frame's map, float32 (H, W) in [0, 1]."""
        # rounded, not cut off: half a level of error instead of one
        scaled = saliency if self.top == 1 else np.round(saliency * self.top)
        self._file.write(scaled.astype(self.dtype).tobytes())

    def __iter__(self) -> Iterator[np.ndarray]:
        """Read the maps as they are stored, (H, W), one at a time."""
        self._file.flush()
        with self.path.open("rb") as file:
            for _ in range(len(self)):
                yield np.frombuffer(file.read(self.bytes), self.dtype).reshape(self.shape)

    def mapped(self) -> np.ndarray:
        """Map all maps into memory as they are stored, (N, H, W)."""
        self._file.flush()
        return np.memmap(self.path, self.dtype, "r", shape=(len(self), *self.shape))

    def write_result(self, folder: Path, times: np.ndarray) -> None:
        """Write ``maps.npz`` (``maps`` float16 (N, H, W), ``times`` float64 (N,)) or ``maps/000001.png`` etc.

        Grey levels of PNG images are round(saliency * (2**bits - 1)). One map is in memory at a time.

        Args:
            folder: Folder to write into.
            times: Seconds after the first frame (N,), for the first N maps.
        """
        first = islice(self, len(times))
        if self.format == "npz":
            with ZipFile(folder / "maps.npz", "w", ZIP_DEFLATED) as archive:
                # np.savez would need all maps in memory; their header is known beforehand
                with archive.open("maps.npy", "w", force_zip64=True) as file:
                    header = {"descr": self.dtype.str, "fortran_order": False}
                    np.lib.format.write_array_header_1_0(file, {**header, "shape": (len(times), *self.shape)})
                    file.writelines(stored.tobytes() for stored in first)
                with archive.open("times.npy", "w") as file:
                    np.save(file, times)
            return
        from PIL import Image

        (folder / "maps").mkdir()
        for number, stored in enumerate(first, start=1):
            Image.fromarray(stored).save(folder / "maps" / f"{number:06d}.png", compress_level=4)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
