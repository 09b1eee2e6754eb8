"""Resampling of features of different lengths and sizes to one grid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def resample_time(x: Tensor, steps: int) -> Tensor:
    """Interpolate (B, C, T, h, w) linearly along time; whole-number reductions are means of groups of steps."""
    length = x.shape[2]
    if length == steps:
        return x
    if length % steps == 0:
        # interpolation would skip steps; the mean uses all of them
        return x.unflatten(2, (steps, length // steps)).mean(dim=3)
    flat = x.permute(0, 3, 4, 1, 2).flatten(0, 2)  # (B h w, C, T)
    flat = F.interpolate(flat, size=steps, mode="linear", align_corners=False)
    return flat.unflatten(0, (x.shape[0], x.shape[3], x.shape[4])).permute(0, 3, 4, 1, 2)


def resize_frames(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize every step of (B, C, T, h, w) to ``size = (H, W)`` by nearest neighbours."""
    if tuple(x.shape[-2:]) == size:
        return x
    frames = x.transpose(1, 2).flatten(0, 1)  # (B T, C, h, w)
    return F.interpolate(frames, size=size, mode="nearest").unflatten(0, (x.shape[0], -1)).transpose(1, 2)


def interpolate_bilinear(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (N, C, H, W) to ``size = (H', W')`` bilinearly, in the type of ``x`` whatever autocast is set."""
    if tuple(x.shape[-2:]) == size:
        return x
    if x.dtype == torch.float32:
        return F.interpolate(x, size=size, mode="bilinear")
    with torch.autocast(x.device.type, enabled=False):
        return resize_by_products(x, size) if x.is_cuda else F.interpolate(x, size=size, mode="bilinear")


def resize_by_products(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize bilinearly as a matrix product along each axis, on channels-last memory.

    On a GPU in half precision the gradient of an interpolation is a race of atomic additions; that of a product is a
    product, and the same in every run.
    """
    rows, columns = (
        F.interpolate(torch.eye(old, device=x.device)[None], size=new, mode="linear")[0].T.to(x.dtype)
        for old, new in zip(x.shape[-2:], size, strict=True)
    )  # (H', H), (W', W)
    cells = x.movedim(1, -1).flatten(2)  # (N, H, W C)
    cells = torch.bmm(rows.expand(len(x), -1, -1), cells).view(-1, x.shape[3], x.shape[1])  # (N H', W, C)
    cells = torch.bmm(columns.expand(len(cells), -1, -1), cells)  # (N H', W', C)
    return cells.unflatten(0, (len(x), size[0])).movedim(-1, 1)


class DoubleSize(nn.Upsample):
    """Bilinear enlargement of (N, C, H, W) to twice the height and width."""

    def __init__(self) -> None:
        super().__init__(scale_factor=2, mode="bilinear", align_corners=False)

    def forward(self, input: Tensor) -> Tensor:
        """Enlarge (N, C, H, W) to (N, C, 2 H, 2 W)."""
        return interpolate_bilinear(input, (2 * input.shape[2], 2 * input.shape[3]))
