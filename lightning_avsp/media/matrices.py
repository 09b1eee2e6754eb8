"""Matrices from MATLAB files of level 5 (``save -v6`` and ``-v7``), for fixations.

Read here and not by SciPy, whose reader takes every length in a file at its word: of 300 damaged files several ended
the process, others in errors of any kind, and the checksum of compressed matrices went unread. Format: MathWorks,
MAT-File Format (level 5), 2019.
"""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path

import numpy as np

from lightning_avsp.errors import InputError
from lightning_avsp.media.images import MOST_PIXELS

_MATRIX, _COMPRESSED = 14, 15
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_SPARSE = 5
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_OTHERS = {1: "a cell array", 2: "a structure", 3: "an object", 4: "text", 16: "a function", 17: "an object"}
_COMPLEX = 0x0800


def read_matrix(path: Path, key: str) -> np.ndarray:
    """Read a matrix of real, finite numbers: (H, W) of its type, sparse ones filled with zeros.

    Raises:
        InputError: If the file is missing, damaged or of another version, has no such matrix, or one of something else.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing; unpack the annotations again")
    data = path.read_bytes()
    if data[124:128] in (b"\0\2IM", b"\2\0MI"):
        raise InputError(
            f"{path} cannot be read as a MATLAB file: it has version 7.3 (HDF5); save it with `save -v7`"
        )
    try:
        content = _read_variables(data)
    except (ValueError, struct.error, zlib.error) as error:
        raise InputError(f"{path} cannot be read as a MATLAB file: {error}; replace this file") from error
    if key not in content:
        raise InputError(f"{path} has no matrix {key!r}; its matrices: {', '.join(content) or 'none'}")
    matrix = content[key]
    if isinstance(matrix, str):
        raise InputError(
            f"{path}: {key} holds {matrix}, not a matrix of real numbers; save the matrix itself"
        )
    if matrix.ndim != 2 or not matrix.size:
        raise InputError(
            f"{path}: {key} has size {' x '.join(map(str, matrix.shape))}, a matrix of rows and columns is needed"
        )
    bad = 0 if matrix.dtype.kind != "f" else int((~np.isfinite(matrix)).sum())
    if bad:
        raise InputError(f"{path}: {key} holds {bad} values that are NaN or infinite; replace this file")
    return matrix


def _read_variables(data: bytes) -> dict[str, np.ndarray | str]:
    """Matrices of a file by name; of what is none, its kind."""
    orders = {b"\0\1IM": "<", b"\1\0MI": ">"}
    order = orders.get(data[124:128])
    if order is None:
        raise ValueError("its header is not one of level 5, as `save -v7` writes it")
    found: dict[str, np.ndarray | str] = {}
    position = 128
    while position + 8 <= len(data):
        kind, body, position = _read_element(data, position, order)
        if kind == _COMPRESSED:
            stream = zlib.decompressobj()
            inner = stream.decompress(body, 16 * MOST_PIXELS)  # limited: zlib packs zeros a thousandfold
            if not stream.eof:
                raise ValueError("a compressed matrix is cut off")
            kind, body, _ = _read_element(inner, 0, order)
        if kind == _MATRIX:
            name, matrix = _read_array(body, order)
            found[name] = matrix
    return found


def _read_element(data: bytes, position: int, order: str) -> tuple[int, bytes, int]:
    """Type and bytes of the element at a position, and the position of the next."""
    (tag,) = struct.unpack_from(f"{order}I", data, position)
    if tag >> 16:  # up to four bytes lie beside their tag
        kind, length, begin = tag & 0xFFFF, tag >> 16, position + 4
        following = position + 8
    else:
        kind, begin = tag, position + 8
        (length,) = struct.unpack_from(f"{order}I", data, position + 4)
        following = begin + (length if kind == _COMPRESSED else -(-length // 8) * 8)
    if begin + length > len(data):
        raise ValueError(f"an element of {length} bytes reaches beyond its end")
    return kind, data[begin : begin + length], following


def _read_array(body: bytes, order: str) -> tuple[str, np.ndarray | str]:
    """Name of a variable, and its matrix or what else it is."""
    _, flags, position = _read_element(body, 0, order)
    (flag,) = struct.unpack_from(f"{order}I", flags)
    kind = flag & 0xFF
    _, sizes, position = _read_element(body, position, order)
    shape = tuple(int(size) for size in np.frombuffer(sizes, f"{order}i4"))
    _, name, position = _read_element(body, position, order)
    label = "".join(each if each.isprintable() else "?" for each in name.decode("latin-1"))
    if kind in _OTHERS or flag & _COMPLEX:
        return label, _OTHERS.get(kind, "complex numbers")
    if min(shape, default=0) < 0 or math.prod(shape) > MOST_PIXELS:  # before anything is allocated
        raise ValueError(f"{label} has the size {shape}")
    parts = []
    for _ in range(3 if kind == _SPARSE else 1):
        stored, values, position = _read_element(body, position, order)
        if stored not in _TYPES:
            raise ValueError(f"{label} has values of type {stored}")
        parts.append(np.frombuffer(values, f"{order}{_TYPES[stored]}"))
    if kind == _SPARSE:
        return label, _fill_sparse(label, shape, *parts)
    if kind not in _CLASSES or parts[0].size != math.prod(shape):
        raise ValueError(f"{label} has {parts[0].size} values for the size {shape}")
    # MATLAB stores whole numbers of a double matrix as small integers, columns first
    return label, parts[0].astype(_CLASSES[kind]).reshape(shape, order="F")


def _fill_sparse(
    label: str, shape: tuple[int, ...], rows: np.ndarray, starts: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Matrix of values by their rows and the first of each column, float64."""
    dense = np.zeros(shape)
    counts = np.diff(starts)
    used = int(starts[-1]) if starts.size else -1
    fits = dense.ndim == 2 and starts.size == shape[1] + 1 and starts[0] == 0 and (counts >= 0).all()
    fits = fits and used <= min(rows.size, values.size)
    if not fits or ((rows[:used] < 0) | (rows[:used] >= shape[0])).any():
        raise ValueError(f"{label} has places outside the size {shape}")
    dense[rows[:used], np.repeat(np.arange(shape[1]), counts)] = values[:used]
    return dense
