"""The one format of caches: named arrays in one file, written once and mapped into memory by readers.

::

    magic, 16 bytes | arrays, each at a multiple of 64 bytes | index, JSON | its length, uint64 | its SHA-256 | magic

The index comes last because its offsets are known last; a file that was cut anywhere has no valid end. Unlike in
``.npz`` files arrays are aligned, so they can be mapped, and written piece by piece, so a video need not fit into
memory. All numbers are little-endian.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lightning_avsp.errors import InputError

_MAGIC = b"avsp-arrays-v2\n\n"
_ALIGNMENT = 64  # a cache line, and a multiple of the size of every number
_TAIL = struct.Struct("<Q32s16s")


class ArrayWriter:
    """Writes the arrays of one file to a stream, which the caller opens and closes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._arrays: dict[str, dict[str, Any]] = {}
        stream.write(_MAGIC)

    def array(self, name: str, values: np.ndarray) -> None:
        """Write one array."""
        self.pieces(name, [values])
        self._arrays[name]["shape"] = list(values.shape)

    def pieces(self, name: str, pieces: Iterable[np.ndarray]) -> int:
        """Write arrays of one shape and type as one array with a new first axis; returns their number."""
        self._start(name)
        count, shape, dtype = 0, (0,), np.dtype(np.uint8)
        for piece in pieces:
            if count and (piece.shape != shape or piece.dtype != dtype):
                raise ValueError(f"{name}: {dtype} of {shape} beside {piece.dtype} of {piece.shape}")
            count, shape, dtype = count + 1, piece.shape, piece.dtype
            self._stream.write(np.ascontiguousarray(piece).data)
        self._arrays[name] |= {"dtype": dtype.newbyteorder("<").str, "shape": [count, *shape]}
        return count

    def blobs(self, name: str, blobs: Iterable[bytes]) -> int:
        """Write byte strings end to end, and their ends as ``<name>_ends``; returns their number."""
        self._start(name)
        ends = [0]
        for blob in blobs:
            self._stream.write(blob)
            ends.append(ends[-1] + len(blob))
        self._arrays[name] |= {"dtype": "|u1", "shape": [ends[-1]]}
        self.array(f"{name}_ends", np.array(ends, dtype=np.int64))
        return len(ends) - 1

    def finish(self, facts: dict[str, Any]) -> None:
        """Write the index with further facts (JSON values); the file is complete after this."""
        index = json.dumps({**facts, "arrays": self._arrays}).encode()
        # the magic again at the very end, where a cut file has something else
        self._stream.write(index + _TAIL.pack(len(index), sha256(index).digest(), _MAGIC))

    def _start(self, name: str) -> None:
        self._stream.write(bytes(-self._stream.tell() % _ALIGNMENT))
        self._arrays[name] = {"offset": self._stream.tell()}


def read_index(path: Path) -> dict[str, Any] | None:
    """Read the index at the end of a file; None for a missing, truncated, foreign or altered file."""
    try:
        with path.open("rb") as stream:
            end = stream.seek(0, os.SEEK_END) - _TAIL.size
            stream.seek(max(0, end))
            length, digest, magic = _TAIL.unpack(stream.read(_TAIL.size))
            # a foreign file's length must not be seeked or read by
            if magic != _MAGIC or length > end - len(_MAGIC):
                return None
            stream.seek(end - length)
            index = stream.read(length)
    except (OSError, struct.error):
        return None
    # Readers trust the table of arrays, so it must be the one that was written
    return json.loads(index) if sha256(index).digest() == digest else None


class ArrayFile:
    """A file of arrays, mapped into memory: nothing is read before it is used.

    Args:
        path: File.

    Raises:
        InputError: If it is missing, truncated or of another format.
    """

    def __init__(self, path: Path) -> None:
        index = read_index(path)
        if index is None:
            raise InputError(f"{path} is missing, truncated or foreign; remove it and make it again")
        self.path = path
        self.index = index
        with path.open("rb") as stream:
            # a page is copied when it is written to: torch warns of arrays that may not be
            self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
        self._arrays: dict[str, np.ndarray] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.index["arrays"]

    def array(self, name: str) -> np.ndarray:
        """Return an array over the mapped file; writing to it does not change the file."""
        if name not in self._arrays:
            entry = self.index["arrays"][name]
            dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
            count = int(np.prod(shape, dtype=np.int64))
            flat = np.frombuffer(self._map, dtype, count, entry["offset"]) if count else np.zeros(0, dtype)
            self._arrays[name] = flat.reshape(shape)
        return self._arrays[name]

    def blob(self, name: str, index: int) -> memoryview:
        """Return one byte string of :meth:`ArrayWriter.blobs`, by index from 0."""
        ends = self.array(f"{name}_ends")
        return self.array(name)[ends[index] : ends[index + 1]].data
