# mypy: ignore-errors
# ruff: noqa: ANN001, ANN202
"""Triton kernels of layer normalisation: many short rows in each program, where the library takes one row a block."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

VALUES = 4096
"""Values of a program."""
MOST_PARTS = 512
"""Partial sums of the gradients of weight and bias, at most."""


@triton.jit(do_not_specialize=["rows"])
def _forward(x, weight, bias, y, means, scales, rows, eps, C: tl.constexpr,
             BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr):  # fmt: skip
    row, column = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R), tl.arange(0, BLOCK_C)
    mask = (row < rows)[:, None] & (column < C)[None, :]
    place = row.to(tl.int64)[:, None] * C + column[None, :]
    values = tl.load(x + place, mask=mask, other=0.0).to(tl.float32)
    mean = tl.sum(values, axis=1) / C
    apart = tl.where(mask, values - mean[:, None], 0.0)
    scale = tl.rsqrt(tl.sum(apart * apart, axis=1) / C + eps)
    factor = tl.load(weight + column, mask=column < C, other=0.0).to(tl.float32)
    shift = tl.load(bias + column, mask=column < C, other=0.0).to(tl.float32)
    result = apart * scale[:, None] * factor[None, :] + shift[None, :]
    tl.store(y + place, result.to(y.dtype.element_ty), mask=mask)
    tl.store(means + row, mean, mask=row < rows)
    tl.store(scales + row, scale, mask=row < rows)


@triton.jit(do_not_specialize=["rows"])
def _gradients(gy, x, weight, means, scales, gx, weight_parts, bias_parts, rows, C: tl.constexpr,
               LENGTH: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr):  # fmt: skip
    part, column = tl.program_id(0), tl.arange(0, BLOCK_C)
    factor = tl.load(weight + column, mask=column < C, other=0.0).to(tl.float32)
    weight_total = tl.zeros((BLOCK_R, BLOCK_C), dtype=tl.float32)
    bias_total = tl.zeros((BLOCK_R, BLOCK_C), dtype=tl.float32)
    for start in range(0, LENGTH, BLOCK_R):
        row = part * LENGTH + start + tl.arange(0, BLOCK_R)
        mask = (row < rows)[:, None] & (column < C)[None, :]
        place = row.to(tl.int64)[:, None] * C + column[None, :]
        values = tl.load(x + place, mask=mask, other=0.0).to(tl.float32)
        slope = tl.load(gy + place, mask=mask, other=0.0).to(tl.float32)
        mean = tl.load(means + row, mask=row < rows, other=0.0)
        scale = tl.load(scales + row, mask=row < rows, other=0.0)
        unit = tl.where(mask, (values - mean[:, None]) * scale[:, None], 0.0)
        inner = slope * factor[None, :]
        along = tl.sum(unit * inner, axis=1) / C
        level = tl.sum(inner, axis=1) / C
        result = scale[:, None] * (inner - unit * along[:, None] - level[:, None])
        tl.store(gx + place, result.to(gx.dtype.element_ty), mask=mask)
        weight_total += slope * unit
        bias_total += slope
    tl.store(weight_parts + part * C + column, tl.sum(weight_total, axis=0), mask=column < C)
    tl.store(bias_parts + part * C + column, tl.sum(bias_total, axis=0), mask=column < C)


def normalise(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise rows (N, C); return them, and mean and 1 / deviation of each, float32 (N,)."""
    rows, width = x.shape
    y = torch.empty_like(x)
    means, scales = (torch.empty(rows, dtype=torch.float32, device=x.device) for _ in range(2))
    block = triton.next_power_of_2(width)
    at_once = VALUES // block
    _forward[(triton.cdiv(rows, at_once),)](
        x, weight, bias, y, means, scales, rows, eps, width, at_once, block
    )
    return y, means, scales


def differentiate(
    gradient: Tensor, x: Tensor, weight: Tensor, means: Tensor, scales: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of rows (N, C), weight and bias (C,), the latter two in float32 and in a fixed order."""
    rows, width = x.shape
    block = triton.next_power_of_2(width)
    at_once = VALUES // block
    # a power of two: the kernel is compiled for each length
    length = max(at_once, triton.next_power_of_2(triton.cdiv(rows, MOST_PARTS)))
    parts = triton.cdiv(rows, length)
    x_gradient = torch.empty_like(x)
    weight_sums, bias_sums = (
        torch.empty(parts, width, dtype=torch.float32, device=x.device) for _ in range(2)
    )
    _gradients[(parts,)](
        gradient, x, weight, means, scales, x_gradient, weight_sums, bias_sums, rows, width, length, at_once, block
    )  # fmt: skip
    return x_gradient, weight_sums.sum(dim=0), bias_sums.sum(dim=0)
