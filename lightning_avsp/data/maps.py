"""Ground truth from disk: continuous saliency maps and fixated pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lightning_avsp.data.frames import read_image, resize
from lightning_avsp.errors import InputError

FIXATION_KEY = "eyeMap"
"""Name of the matrix inside a fixMap file."""


def read_map(path: Path) -> Tensor:
    """Continuous map at its own size: uint8 (Hg, Wg), grey, 255 at most."""
    return torch.from_numpy(np.array(read_image(path, mode="GRAY")))


def resize_map(saliency: Tensor, size: tuple[int, int]) -> Tensor:
    """Training target from a map: uint8 (Hg, Wg) to (H, W), antialiased bilinear. Never for fixations."""
    return torch.from_numpy(np.array(resize(saliency.numpy(), size)))


def read_fixations(path: Path, size: tuple[int, int]) -> Tensor:
    """Fixated pixels of one frame as points, never as a picture that a resize could blur.

    Args:
        path: MATLAB file with a matrix ``eyeMap``, non-zero where somebody looked. Its type is not stated
            anywhere (logical, uint8 and double are all met), so only zero or not counts.
        size: (height, width) of the frame's continuous map, which the matrix must have too.

    Returns:
        int64 (N, 2), (row, column), in reading order; N is 0 when nobody was recorded.

    Raises:
        InputError: If the file is missing, broken, has another key or another size.
    """
    matrix = _load_matrix(path)
    if matrix.shape != size:
        raise InputError(
            f"{path}: {FIXATION_KEY} is {' x '.join(map(str, matrix.shape))}, but the map of this frame is "
            f"{size[0]} x {size[1]}; both must have one size: unpack the annotations again"
        )
    return torch.from_numpy(np.argwhere(matrix != 0).astype(np.int64))  # (N, 2)


def _load_matrix(path: Path) -> np.ndarray:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    if not path.is_file():
        raise InputError(f"{path} is missing; unpack the annotations again")
    try:
        content = loadmat(path)
    # ValueError and TypeError: what scipy raises for garbage; NotImplementedError: version 7.3 (HDF5)
    except (MatReadError, ValueError, TypeError, NotImplementedError, OSError) as error:
        raise InputError(f"{path} cannot be read as a MATLAB file: {error}; replace this file") from error
    if FIXATION_KEY not in content:
        keys = ", ".join(key for key in content if not key.startswith("__")) or "none"
        raise InputError(f"{path} has no matrix {FIXATION_KEY!r}; its matrices: {keys}")
    return np.asarray(content[FIXATION_KEY])
