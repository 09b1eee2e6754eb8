"""MATLAB's bicubic ``imresize``, with which the field brings predictions to the ground truth's size."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from lightning_avsp.errors import InputError
from lightning_avsp.metrics.functional.inputs import check_maps


@torch.no_grad()
def resize_bicubic(maps: Tensor, size: tuple[int, int]) -> Tensor:
    r"""Maps at another size, as MATLAB's ``imresize(map, size)`` gives them.

    Keys's cubic convolution with a = -0.5 (Keys, *Cubic convolution interpolation for digital image
    processing*, 1981); an axis that shrinks has its kernel widened against aliasing; the border is mirrored
    with the edge pixel repeated; weights sum to 1. Both axes are small matrices: :math:`W_y P W_x^T`. It is
    not what ``torch.nn.functional.interpolate`` does, at borders (antialias=True) or anywhere
    (antialias=False, a = -0.75). Negative values and a changed maximum are normal.

    Args:
        maps: (B, H, W), any real type.
        size: Rows and columns wanted.

    Returns:
        Float64 (B, size[0], size[1]).

    Raises:
        InputError: If the shape is not (B, H, W) or a size is not positive.

    Example:
        >>> import torch
        >>> resize_bicubic(torch.tensor([[[0.0, 1.0], [0.0, 1.0]]]), (1, 4)).round(decimals=4)
        tensor([[[-0.0938,  0.2031,  0.7969,  1.0938]]], dtype=torch.float64)
    """
    check_maps("maps", maps)
    rows, columns = (int(length) for length in size)
    if rows < 1 or columns < 1:
        raise InputError(f"size is {tuple(size)}, but both rows and columns must be at least 1.")
    values = maps.detach().to(torch.float64)  # (B, H, W)
    # Columns first: it keeps the intermediate small for maps wider than tall, which frames are.
    if columns != maps.shape[2]:
        values = values @ resize_weights(maps.shape[2], columns, maps.device).T  # (B, H, columns)
    if rows != maps.shape[1]:
        values = resize_weights(maps.shape[1], rows, maps.device) @ values  # (B, rows, columns)
    return values


@lru_cache(maxsize=64)
def resize_weights(length: int, wanted: int, device: torch.device) -> Tensor:
    """Matrix that resizes one axis: float64 (wanted, length), rows of sum 1. Cached: do not write to it."""
    scale = wanted / length
    shrink = min(scale, 1.0)  # < 1 widens the kernel
    support = 4 / shrink
    # Centres of the new pixels in the old grid, both counted from 0 at a pixel's centre.
    centre = (torch.arange(wanted, dtype=torch.float64) + 0.5) / scale - 0.5  # (wanted,)
    first = torch.floor(centre - support / 2)
    taps = first[:, None] + torch.arange(int(support) + 3, dtype=torch.float64)  # (wanted, taps)
    weights = cubic_kernel(shrink * (centre[:, None] - taps))
    weights = weights / weights.sum(dim=1, keepdim=True)
    # Mirror with the edge repeated: ... 1 0 | 0 1 ... L-1 | L-1 L-2 ..., of period 2 L.
    position = taps.to(torch.int64) % (2 * length)
    source = torch.minimum(position, 2 * length - 1 - position)
    return torch.zeros(wanted, length, dtype=torch.float64).scatter_add_(1, source, weights).to(device)


def cubic_kernel(x: Tensor) -> Tensor:
    """Keys's cubic with a = -0.5: 1 at 0, 0 from 2 on."""
    x = x.abs()
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
