"""Bringing features of different lengths and sizes to one grid."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def resample_time(x: Tensor, steps: int) -> Tensor:
    """Linear interpolation along time; whole-number reductions are the mean of each group of steps.

    Args:
        x: (B, C, T, h, w).
        steps: Wanted number of time steps.

    Returns:
        (B, C, steps, h, w).
    """
    length = x.shape[2]
    if length == steps:
        return x
    if length % steps == 0:
        # interpolation would skip steps; the mean hears and sees all of them
        return x.unflatten(2, (steps, length // steps)).mean(dim=3)
    flat = x.permute(0, 3, 4, 1, 2).flatten(0, 2)  # (B h w, C, T)
    flat = F.interpolate(flat, size=steps, mode="linear", align_corners=False)
    return flat.unflatten(0, (x.shape[0], x.shape[3], x.shape[4])).permute(0, 3, 4, 1, 2)


def resize_frames(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Nearest-neighbour resizing of every step of (B, C, T, h, w) to ``size = (H, W)``."""
    if tuple(x.shape[-2:]) == size:
        return x
    return F.interpolate(x, size=(x.shape[2], *size), mode="nearest")
