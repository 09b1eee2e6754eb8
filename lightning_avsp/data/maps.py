"""Ground truth from disk: continuous saliency maps and fixated pixels."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lightning_avsp.data.text_files import read_json
from lightning_avsp.errors import InputError
from lightning_avsp.media.images import read_grey, resize
from lightning_avsp.media.matrices import read_matrix

FIXATION_KEY = "eyeMap"
"""Name of the matrix inside a fixMap file."""


def read_map(path: Path, deep: bool = False) -> Tensor:
    """Read a continuous map at its own size: uint8 (Hg, Wg), scaled over its type; as stored if ``deep``."""
    values = read_grey(path, deep)
    return torch.from_numpy(values.astype(np.uint8 if values.dtype == np.uint8 else np.float32))


def resize_map(saliency: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a map to a training target: uint8 (Hg, Wg) to (H, W), antialiased bilinear. Never for fixations."""
    return torch.from_numpy(np.array(resize(saliency.numpy(), size)))


def read_fixations(path: Path, size: tuple[int, int], key: str = FIXATION_KEY) -> Tensor:
    """Read the fixated pixels of one frame as points, never as an image that a resize could blur.

    Args:
        path: MATLAB file with a matrix ``eyeMap``, non-zero at fixations. Its type is not stated anywhere
            (logical, uint8 and double occur), so only zero or not counts.
        size: (height, width) of the frame's continuous map, which the matrix must have too.
        key: Name of the matrix, where it is not ``eyeMap`` (``I`` in DHF1K).

    Returns:
        int64 (N, 2), (row, column), in reading order; N is 0 without fixations.

    Raises:
        InputError: If the file is missing, broken, has another key or another size.
    """
    return _points(read_matrix(path, key), size, f"{path}: {key}")


def read_fixation_picture(path: Path, size: tuple[int, int]) -> Tensor:
    """Read the fixated pixels of one frame from a black and white image: all that are not black.

    Args:
        path: Lossless image, as a rule PNG.
        size: (height, width) of the frame's continuous map, which the image must have too.

    Returns:
        int64 (N, 2), (row, column), in reading order; N is 0 without fixations.

    Raises:
        InputError: If the file is missing, broken or has another size.
    """
    return _points(read_grey(path), size, f"{path}: the image of fixations")


def read_fixation_lists(path: Path) -> tuple[np.ndarray, ...]:
    """Read the fixations of every frame of a video from JSON: a list per frame of ``[row, column]`` pairs.

    Repeats are kept: several observers looked at one pixel. The last few files are remembered.

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
            points = np.asarray(pairs, dtype=np.float64).reshape(-1, 2) if pairs else np.zeros((0, 2))
            if len(points) != len(pairs) or not np.isfinite(points).all():
                raise ValueError(f"frame {number} is not a list of [row, column] pairs")
            lists.append(np.floor(points).astype(np.int64))  # the pixel in which a point lies
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"{path} ({size} bytes) contains no lists of fixations: {error}; replace this file"
        ) from error
    return tuple(lists)


def _points(matrix: np.ndarray, size: tuple[int, int], what: str) -> Tensor:
    if matrix.shape != size:
        raise InputError(
            f"{what} is {' x '.join(map(str, matrix.shape))}, but the map of this frame is "
            f"{size[0]} x {size[1]}; both must have one size: unpack the annotations again"
        )
    return torch.from_numpy(np.argwhere(matrix != 0).astype(np.int64))  # (N, 2)
