"""The file of one prepared video: sections of bytes, and an index at its end that says where they are.

::

    magic, 16 bytes | sections, each at a multiple of 64 bytes | index, JSON | length of the index, uint64 | magic

The index comes last because its offsets are known last; a file that was cut anywhere has no valid end and is never
taken for a whole one. All numbers are little-endian.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lightning_avsp.errors import InputError

VERSION = 1
"""Of the format and of how pictures are decoded and shrunk; files of another version are made anew."""
SUFFIXES = (".raw", ".packed")
"""File names by how frames are kept, the faster one first."""

_MAGIC = b"avsp-prepared-v\n"
_ALIGNMENT = 64
_TAIL = struct.Struct("<Q16s")


class CacheWriter:
    """Writes one file, section after section; whoever opened the stream closes and renames it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._sections: dict[str, dict[str, Any]] = {}
        self._stream.write(_MAGIC)

    def array(self, name: str, values: np.ndarray) -> None:
        """One section from an array."""
        self._start(name)
        values = np.ascontiguousarray(values)
        self._stream.write(values.data)
        self._describe(name, values.dtype.newbyteorder("<").str, values.shape)

    def arrays(self, name: str, pictures: Iterable[np.ndarray]) -> int:
        """One section from equal uint8 arrays, written as they come; returns how many there were."""
        self._start(name)
        count, shape = 0, (0,)
        for picture in pictures:
            if count and picture.shape != shape:
                raise ValueError(f"{name}: arrays of {shape} and {picture.shape}")
            count, shape = count + 1, picture.shape
            self._stream.write(np.ascontiguousarray(picture).data)
        self._describe(name, "|u1", (count, *shape))
        return count

    def blobs(self, name: str, blobs: Iterable[bytes]) -> int:
        """Two sections: byte strings end to end, written as they come, and ``<name>_ends``; returns their number."""
        self._start(name)
        ends = [0]
        for blob in blobs:
            self._stream.write(blob)
            ends.append(ends[-1] + len(blob))
        self._describe(name, "|u1", (ends[-1],))
        self.array(f"{name}_ends", np.array(ends, dtype=np.int64))
        return len(ends) - 1

    def finish(self, facts: dict[str, Any]) -> None:
        """Write the index; the file is whole after this."""
        index = json.dumps({"version": VERSION, **facts, "sections": self._sections}).encode()
        self._stream.write(index)
        self._stream.write(_TAIL.pack(len(index), _MAGIC))

    def _start(self, name: str) -> None:
        self._stream.write(bytes(-self._stream.tell() % _ALIGNMENT))
        self._sections[name] = {"offset": self._stream.tell()}

    def _describe(self, name: str, dtype: str, shape: tuple[int, ...]) -> None:
        self._sections[name] |= {"dtype": dtype, "shape": list(shape)}


def read_index(path: Path) -> dict[str, Any] | None:
    """Index of a prepared file, from its last bytes; None if there is no whole file of ours."""
    try:
        with path.open("rb") as stream:
            end = stream.seek(0, os.SEEK_END)
            if end < len(_MAGIC) + _TAIL.size:
                return None
            stream.seek(end - _TAIL.size)
            length, magic = _TAIL.unpack(stream.read(_TAIL.size))
            if magic != _MAGIC or length > end - _TAIL.size - len(_MAGIC):
                return None
            stream.seek(end - _TAIL.size - length)
            index = json.loads(stream.read(length))
    except (OSError, ValueError):
        return None
    return index if isinstance(index, dict) else None


class CacheFile:
    """A prepared file, mapped into memory: reading a section copies nothing until it is used."""

    def __init__(self, path: Path, built: str) -> None:
        index = read_index(path)
        if index is None or index.get("built") != built:
            raise InputError(
                f"{path} is gone or was made anew while it was in use; start again, after `avsp data prepare` is done"
            )
        self.path = path
        self.index = index
        with path.open("rb") as stream:
            self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        self._arrays: dict[str, np.ndarray] = {}
        self.last_map: tuple[int, np.ndarray] | None = None
        """Number and pixels of the map that was read last: training asks whether it is blank, then for the map."""

    def __contains__(self, name: str) -> bool:
        return name in self.index["sections"]

    def section(self, name: str) -> np.ndarray:
        """A section as a read-only array over the file."""
        if name not in self._arrays:
            place = self.index["sections"][name]
            dtype, shape = np.dtype(place["dtype"]), tuple(place["shape"])
            count = int(np.prod(shape, dtype=np.int64))
            array = np.frombuffer(self._map, dtype, count, place["offset"]) if count else np.zeros(0, dtype)
            self._arrays[name] = array.reshape(shape)
        return self._arrays[name]

    def blob(self, name: str, place: int) -> memoryview:
        """One byte string of a section of them, by place from 0."""
        ends = self.section(f"{name}_ends")
        return self.section(name)[ends[place] : ends[place + 1]].data


@lru_cache(maxsize=256)  # each keeps a file descriptor
def open_cache_file(path: Path, built: str) -> CacheFile:
    """The mapped file, opened when first used in a process.

    A mapping that a forked process inherits is as good as its own: it is only read, and has no position and no thread.

    Args:
        path: Prepared file.
        built: Mark of the build that is meant (``built`` in its index).

    Raises:
        InputError: If it is gone, or another build has taken its place.
    """
    return CacheFile(path, built)
