"""Sinusoidal positions of grids with any number of axes, in one unit for grids of different sizes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

EXTENT = 16.0
"""Length of every axis in the unit of the positions, whatever the number of cells along it."""


def grid_positions(
    size: tuple[int, ...], dim: int, device: torch.device | None = None, max_period: float = 100.0
) -> Tensor:
    """Sines and cosines of where each cell's centre lies; each axis has an equal share of the width.

    A cell's position is a share of the axis, not its index: two grids over the same frame, one coarse and one fine,
    agree where they overlap, so that tokens of one find those of the other.

    Args:
        size: Cells along each axis.
        dim: Width; what is left over when it is divided into sines and cosines of each axis stays 0.
        device: Where the result lies.
        max_period: Longest period, in radians, as a multiple of the shortest.

    Returns:
        float32 (cells, dim), the last axis running fastest.
    """
    half = dim // (2 * len(size))
    steps = torch.arange(half, device=device, dtype=torch.float32) / max(1, half - 1)
    frequencies = torch.exp(-math.log(max_period) * steps)
    parts = []
    for axis, cells in enumerate(size):
        centres = (torch.arange(cells, device=device, dtype=torch.float32) + 0.5) * (EXTENT / cells)
        angles = centres[:, None] * frequencies  # (cells, half)
        shape = [1] * len(size) + [2 * half]
        shape[axis] = cells
        waves = torch.cat([angles.sin(), angles.cos()], dim=1).view(shape)
        parts.append(waves.expand(*size, 2 * half))
    rest = dim - 2 * half * len(size)
    parts.append(torch.zeros(*size, rest, device=device))
    return torch.cat(parts, dim=-1).flatten(0, -2)
