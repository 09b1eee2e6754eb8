"""Preparation of a prediction by a protocol: levels, range, blur, size."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_avsp.errors import InputError
from lightning_avsp.metrics.functional import resize_bicubic
from lightning_avsp.metrics.functional.maps import Maps

Resize: TypeAlias = Literal["bicubic", "bilinear"]
"""MATLAB's bicubic ``imresize``, or OpenCV's default: bilinear, no antialiasing."""

Step: TypeAlias = Literal["levels", "range", "range_eps", "blur", "resize"]
"""One step of a protocol.

- ``levels``: scaled to 0..255 and rounded, as an 8-bit file holds it; nothing if it comes from such a file.
- ``range``: scaled to minimum 0 and maximum 1.
- ``range_eps``: the same with float32's eps added to the divisor, as the NTIRE 2026 scorer has it.
- ``blur``: Gaussian of the protocol.
- ``resize``: to the ground truth's size.
"""

_EPS = torch.finfo(torch.float32).eps


@torch.no_grad()
def prepare_maps(
    maps: Tensor,
    size: tuple[int, int],
    steps: tuple[Step, ...],
    *,
    resize: Resize = "bicubic",
    blur_sigma: float = 0.0,
    blur_size: int = 0,
    blur_border: Literal["symmetric", "reflect"] = "symmetric",
) -> Tensor:
    """Prepare predictions as a protocol scores them.

    A map that is constant as given stays constant, whatever rounding the steps would add, and one with a value that is
    not finite becomes NaN everywhere, so that both are counted as such.

    Args:
        maps: Predictions (B, H, W), any real type and range.
        size: (rows, columns) of the ground truth.
        steps: Steps in order.
        resize: Interpolation to ``size``.
        blur_sigma: Deviation of the Gaussian in pixels.
        blur_size: Width of its window in pixels.
        blur_border: Border that is mirrored with the edge pixel repeated, or without.

    Returns:
        Float64 (B, size[0], size[1]).
    """
    given = Maps(maps)
    levels_given = maps.dtype == torch.uint8
    values = maps.to(torch.float64)
    for step in steps:
        if step == "levels":
            values = values if levels_given else (scale_range(values) * 255).round()
        elif step == "range":
            values = scale_range(values)
        elif step == "range_eps":
            values = scale_range(values, eps=_EPS)
        elif step == "blur":
            values = blur(values, blur_sigma, blur_size, blur_border)
        elif tuple(values.shape[1:]) != tuple(size):
            values = resize_bicubic(values, size) if resize == "bicubic" else resize_bilinear(values, size)
        levels_given = False
    # Rounding of 1e-16 must not pass for a prediction. The challenge makes a constant map 0; others keep its level.
    level = given.maximum * ("range_eps" not in steps)
    values = torch.where(given.constant[:, None, None], level[:, None, None], values)
    return values.masked_fill(~given.finite[:, None, None], torch.nan)


def scale_range(maps: Tensor, eps: float = 0.0) -> Tensor:
    """Scale maps (B, H, W) to minimum 0 and, but for ``eps`` in the divisor, maximum 1; a constant one becomes 0."""
    low = maps.amin((1, 2), keepdim=True)  # (B, 1, 1)
    span = maps.amax((1, 2), keepdim=True) - low + eps
    return (maps - low) / torch.where(span > 0, span, 1.0)


def blur(maps: Tensor, sigma: float, size: int, border: Literal["symmetric", "reflect"]) -> Tensor:
    """Filter maps (B, H, W) with a Gaussian window of sum 1, with a mirrored border.

    Separable: MATLAB's ``fspecial`` window is the outer product of its profile, whose smallest values lie above the
    threshold below which it would be cut.
    """
    rows = blur_weights(maps.shape[1], sigma, size, border).to(maps)
    columns = blur_weights(maps.shape[2], sigma, size, border).to(maps)
    return rows @ maps @ columns.T  # (B, H, W)


@lru_cache(maxsize=32)
def blur_weights(length: int, sigma: float, size: int, border: str) -> Tensor:
    """Build the matrix that blurs one axis, mirrored border included: float64 (length, length). Do not write to it."""
    if size < 1 or size % 2 == 0 or sigma <= 0:
        raise InputError(f"a blur needs an odd window and a positive sigma, got {size} and {sigma}")
    if border == "reflect" and length < 2:
        raise InputError("a map of one pixel's width cannot be mirrored at its border")
    offsets = torch.arange(size, dtype=torch.float64) - size // 2
    profile = torch.exp(-(offsets**2) / (2 * sigma**2))
    profile = profile / profile.sum()
    position = torch.arange(length)[:, None] + offsets.to(torch.int64)  # (length, size)
    if border == "symmetric":  # ... 1 0 | 0 1 ... L-1 | L-1 ..., of period 2 L
        position = position % (2 * length)
        source = torch.minimum(position, 2 * length - 1 - position)
    else:  # ... 2 1 | 0 1 ... L-1 | L-2 ..., of period 2 L - 2
        position = position % (2 * length - 2)
        source = torch.minimum(position, 2 * length - 2 - position)
    weights = torch.zeros(length, length, dtype=torch.float64)
    return weights.scatter_add_(1, source, profile.expand(length, size).contiguous())


def resize_bilinear(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps (B, H, W) as OpenCV's default does: half-pixel centres, no antialiasing."""
    resized = F.interpolate(maps[:, None], size=tuple(size), mode="bilinear", align_corners=False)
    return resized[:, 0]
