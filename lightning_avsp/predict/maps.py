"""Predicted maps on disk: a raw file while they are predicted, then one npz file or a folder of PNG images."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from threading import Condition
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
        growing: Other threads read the maps while they come: they wait for further ones until :meth:`end`.
    """

    def __init__(self, path: Path, format: MapFormat, shape: tuple[int, int], growing: bool = False) -> None:
        self.path, self.format, self.shape, self.growing = path, format, shape, growing
        self._changed, self._dropped = Condition(), False
        self.dtype, self.top = np.dtype(_STORED[format][0]), _STORED[format][1]
        self.bytes = self.bytes_of(format, shape)
        """Size of one map."""
        self._file = path.open("ab")  # appended to, so that a later start continues it
        self._count = self._file.tell() // self.bytes  # later on tell() is wrong while another thread flushes

    @staticmethod
    def bytes_of(format: MapFormat, shape: tuple[int, int]) -> int:
        """Return the size of one map."""
        return np.dtype(_STORED[format][0]).itemsize * shape[0] * shape[1]

    def __len__(self) -> int:
        return self._count

    def truncate(self, count: int) -> None:
        """Keep the first ``count`` maps, whole ones alone."""
        # a killed process leaves half a map at the end
        self._file.truncate(count * self.bytes)
        self._file.seek(0, 2)
        self._count = count

    def append(self, saliency: np.ndarray) -> None:
        """Add the next frame's map, float32 (H, W) in [0, 1]."""
        # rounded, not cut off: half a level of error instead of one
        scaled = saliency if self.top == 1 else np.round(saliency * self.top)
        with self._changed:
            self._file.write(scaled.astype(self.dtype).tobytes())
            self._count += 1
            self._changed.notify_all()

    def end(self, drop: bool = False) -> None:
        """Let readers stop at the last map that is there, or with ``drop`` before the next one."""
        with self._changed:
            self.growing, self._dropped = False, drop
            self._changed.notify_all()

    def __iter__(self) -> Iterator[np.ndarray]:
        """Read the maps as they are stored, (H, W), one at a time."""
        with self.path.open("rb") as file:
            for number in count():
                if not self._is_there(number):
                    return
                yield np.frombuffer(file.read(self.bytes), self.dtype).reshape(self.shape)

    def _is_there(self, number: int) -> bool:
        """Wait for a map, counted from 0; False if it does not come."""
        with self._changed:
            self._changed.wait_for(lambda: len(self) > number or not self.growing)
            if found := len(self) > number and not self._dropped:
                self._file.flush()  # the reader has a file of its own
        return found

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
        self.write_maps(folder, len(times))
        self.add_times(folder, times)

    def write_maps(self, folder: Path, total: int) -> None:
        """Write the first maps of :meth:`write_result`, each as soon as it is there.

        Args:
            folder: Folder to write into.
            total: Number of maps, which an npz file has before them: with fewer maps it is invalid.
        """
        first = islice(self, total)
        if self.format == "npz":
            # level 1 takes half the time of the usual 6, and half-precision maps are 1 % larger in it
            with (
                ZipFile(folder / "maps.npz", "w", ZIP_DEFLATED, compresslevel=1) as archive,
                archive.open("maps.npy", "w", force_zip64=True) as file,
            ):
                # np.savez would need all maps in memory; their header is known beforehand
                header = {"descr": self.dtype.str, "fortran_order": False, "shape": (total, *self.shape)}
                np.lib.format.write_array_header_1_0(file, header)
                file.writelines(stored.tobytes() for stored in first)
            return
        from PIL import Image

        (folder / "maps").mkdir()
        for number, stored in enumerate(first, start=1):
            Image.fromarray(stored).save(folder / "maps" / f"{number:06d}.png", compress_level=4)

    def add_times(self, folder: Path, times: np.ndarray) -> None:
        """Add the times of :meth:`write_result`, for which PNG images have no room."""
        if self.format == "npz":
            with (
                ZipFile(folder / "maps.npz", "a", ZIP_DEFLATED) as archive,
                archive.open("times.npy", "w") as file,
            ):
                np.save(file, times)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
