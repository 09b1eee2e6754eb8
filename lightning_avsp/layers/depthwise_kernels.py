# mypy: ignore-errors
# ruff: noqa: ANN001, ANN202
"""Triton kernels of the depthwise 3-D convolution: result, gradient of the input, gradient of the weight.

A program handles a block of positions and a block of channels, which lie next to each other in memory, so that every
load is a row of adjacent values; sums are taken in float32. Programs of neighbouring positions share what they read
through the caches.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_Sizes = list[int]

POSITIONS, CHANNELS = 32, 32
"""Positions and channels of a program."""
SIZES = ["positions", "rows", "T", "H", "W", "To", "Ho", "Wo"]
SIZES += ["PT", "PH", "PW", "DT", "DH", "DW", "ST", "SH", "SW"]
"""Arguments whose values the compiler does not look at: it would compile a kernel anew for nearly every layer."""
CHUNK = 256
"""Positions that one program sums the gradient of the weight over, at least."""
MOST_CHUNKS = 64
"""Partial sums of the gradient of the weight, at most."""


@triton.jit(do_not_specialize=SIZES)
def _forward(x, w, y, positions, channels, rows, T, H, W, To, Ho, Wo, sb, st, sh, sw, PT, PH, PW, DT, DH, DW,
             ST, SH, SW, KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr,
             BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr):  # fmt: skip
    position = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside, exists = position < positions, channel < channels
    wo, rest = position % Wo, position // Wo
    ho, rest = rest % Ho, rest // Ho
    to, b = rest % To, rest // To
    clip = x + b.to(tl.int64)[:, None] * sb + channel[None, :]
    total = tl.zeros((BLOCK_P, BLOCK_C), dtype=tl.float32)
    for kt in range(KT):
        t = to * ST - PT + kt * DT
        for kh in range(KH):
            h = ho * SH - PH + kh * DH
            for kw in tl.static_range(KW):
                c = wo * SW - PW + kw * DW
                valid = inside & (t >= 0) & (t < T) & (h >= 0) & (h < H) & (c >= 0) & (c < W)
                values = tl.load(
                    clip + (t * st + h * sh + c * sw)[:, None],
                    mask=valid[:, None] & exists[None, :],
                    other=0.0,
                )
                factor = tl.load(
                    w + ((kt * KH + kh) * KW + kw) * rows + channel % rows, mask=exists, other=0.0
                )
                total += values.to(tl.float32) * factor.to(tl.float32)[None, :]
    out = y + position.to(tl.int64)[:, None] * channels + channel[None, :]
    tl.store(out, total.to(y.dtype.element_ty), mask=inside[:, None] & exists[None, :])


@triton.jit(do_not_specialize=SIZES)
def _input_gradient(gy, w, gx, positions, channels, rows, T, H, W, To, Ho, Wo, PT, PH, PW, DT, DH, DW,
                    ST, SH, SW, KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr,
                    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr):  # fmt: skip
    position = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside, exists = position < positions, channel < channels
    wi, rest = position % W, position // W
    hi, rest = rest % H, rest // H
    ti, b = rest % T, rest // T
    total = tl.zeros((BLOCK_P, BLOCK_C), dtype=tl.float32)
    clip = gy + b.to(tl.int64)[:, None] * (To * Ho * Wo * channels)
    for kt in range(KT):
        t = ti + PT - kt * DT
        for kh in range(KH):
            h = hi + PH - kh * DH
            for kw in tl.static_range(KW):
                c = wi + PW - kw * DW
                valid = inside & (t >= 0) & (h >= 0) & (c >= 0)
                valid = valid & (t % ST == 0) & (h % SH == 0) & (c % SW == 0)
                valid = valid & (t // ST < To) & (h // SH < Ho) & (c // SW < Wo)
                cell = ((t // ST) * Ho + h // SH) * Wo + c // SW
                values = tl.load(
                    clip + cell[:, None] * channels + channel[None, :],
                    mask=valid[:, None] & exists[None, :],
                    other=0.0,
                )
                factor = tl.load(
                    w + ((kt * KH + kh) * KW + kw) * rows + channel % rows, mask=exists, other=0.0
                )
                total += values.to(tl.float32) * factor.to(tl.float32)[None, :]
    to = gx + position.to(tl.int64)[:, None] * channels + channel[None, :]
    tl.store(to, total.to(gx.dtype.element_ty), mask=inside[:, None] & exists[None, :])


@triton.jit(do_not_specialize=[name for name in SIZES if name != "rows"])
def _weight_gradient(gy, x, parts, positions, channels, T, H, W, To, Ho, Wo, sb, st, sh, sw, PT, PH, PW, DT, DH, DW,
                     ST, SH, SW, LENGTH: tl.constexpr, KT: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr,
                     BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr):  # fmt: skip
    # the kernel's taps are neighbours in the launch, so that what they read of the same chunk is in the cache
    tap = tl.program_id(0)
    chunk = tl.program_id(1)
    channel = tl.program_id(2) * BLOCK_C + tl.arange(0, BLOCK_C)
    exists = channel < channels
    kt, kh, kw = tap // (KH * KW), tap // KW % KH, tap % KW
    total = tl.zeros((BLOCK_P, BLOCK_C), dtype=tl.float32)
    for start in range(0, LENGTH, BLOCK_P):
        position = chunk * LENGTH + start + tl.arange(0, BLOCK_P)
        wo, rest = position % Wo, position // Wo
        ho, rest = rest % Ho, rest // Ho
        to, b = rest % To, rest // To
        t, h, c = to * ST - PT + kt * DT, ho * SH - PH + kh * DH, wo * SW - PW + kw * DW
        valid = (position < positions) & (t >= 0) & (t < T) & (h >= 0) & (h < H) & (c >= 0) & (c < W)
        mask = valid[:, None] & exists[None, :]
        clip = x + b.to(tl.int64)[:, None] * sb + channel[None, :]
        values = tl.load(clip + (t * st + h * sh + c * sw)[:, None], mask=mask, other=0.0)
        slope = tl.load(
            gy + position.to(tl.int64)[:, None] * channels + channel[None, :], mask=mask, other=0.0
        )
        total += values.to(tl.float32) * slope.to(tl.float32)
    tl.store(parts + (chunk * KT * KH * KW + tap) * channels + channel, tl.sum(total, axis=0), mask=exists)


def launch_forward(
    x: Tensor, weight: Tensor, y: Tensor, stride: _Sizes, padding: _Sizes, dilation: _Sizes
) -> None:
    """Fill ``y`` (B, C', T', H', W'), channels last, with the convolution of ``x``, whose channels are adjacent."""
    positions = y.numel() // y.shape[1]
    grid = (triton.cdiv(positions, POSITIONS), triton.cdiv(y.shape[1], CHANNELS))
    _forward[grid](
        x, _by_tap(weight), y, positions, y.shape[1], weight.shape[0], *x.shape[2:], *y.shape[2:],
        x.stride(0), *x.stride()[2:], *padding, *dilation, *stride, *weight.shape[2:],
        POSITIONS, CHANNELS,
    )  # fmt: skip


def launch_input_gradient(
    gradient: Tensor, weight: Tensor, out: Tensor, stride: _Sizes, padding: _Sizes, dilation: _Sizes
) -> None:
    """Fill ``out``, shaped as the input, channels last, from the gradient of the result, channels last."""
    positions = out.numel() // out.shape[1]
    grid = (triton.cdiv(positions, POSITIONS), triton.cdiv(out.shape[1], CHANNELS))
    _input_gradient[grid](
        gradient, _by_tap(weight), out, positions, out.shape[1], weight.shape[0], *out.shape[2:],
        *gradient.shape[2:], *padding, *dilation, *stride, *weight.shape[2:],
        POSITIONS, CHANNELS,
    )  # fmt: skip


def launch_weight_gradient(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: _Sizes, padding: _Sizes, dilation: _Sizes
) -> Tensor:
    """Return partial sums of the weight's gradient: float32 (chunks, taps, R, C)."""
    channels, rows = gradient.shape[1], weight.shape[0]
    positions, taps = gradient.numel() // channels, weight[0, 0].numel()
    # a power of two: the kernel is compiled for each length
    length = max(CHUNK, triton.next_power_of_2(triton.cdiv(positions, MOST_CHUNKS)))
    chunks = triton.cdiv(positions, length)
    parts = torch.empty(chunks, taps, channels // rows, rows, dtype=torch.float32, device=x.device)
    _weight_gradient[(taps, chunks, triton.cdiv(channels, CHANNELS))](
        gradient, x, parts, positions, channels, *x.shape[2:], *gradient.shape[2:], x.stride(0),
        *x.stride()[2:], *padding, *dilation, *stride, length, *weight.shape[2:],
        POSITIONS, CHANNELS,
    )  # fmt: skip
    return parts


def _by_tap(weight: Tensor) -> Tensor:
    """Weight (C, 1, kt, kh, kw) as (taps, C), so that the channels of a tap are adjacent."""
    return weight.flatten(1).t().contiguous()
