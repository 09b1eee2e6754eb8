"""Normalisation layers; under autocast they stay in the type of their input, with statistics in float32."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDEST = 1024
"""Longest rows that our kernel normalises."""


@torch.library.custom_op("lightning_avsp::layer_norm", mutates_args=())
def normalise_rows(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise rows (N, C) on a GPU, up to :data:`WIDEST` values each, and return mean and 1 / deviation of each."""
    from lightning_avsp.layers import (
        layer_norm_kernels,
    )  # needs Triton, which machines without a GPU may lack

    return layer_norm_kernels.normalise(x, weight, bias, eps)


@torch.library.custom_op("lightning_avsp::layer_norm_backward", mutates_args=())
def normalise_rows_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, means: Tensor, scales: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the gradients of rows, weight and bias."""
    from lightning_avsp.layers import layer_norm_kernels

    return layer_norm_kernels.differentiate(gradient.contiguous(), x, weight, means, scales)


@normalise_rows.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    statistics = x.new_empty(x.shape[0], dtype=torch.float32)
    return torch.empty_like(x), statistics, torch.empty_like(statistics)


@normalise_rows_backward.register_fake
def _(
    gradient: Tensor, x: Tensor, weight: Tensor, means: Tensor, scales: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(inputs[0], inputs[1], *output[1:])
    ctx.mark_non_differentiable(*output[1:])


def _differentiate(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    return *normalise_rows_backward(gradient, *ctx.saved_tensors), None


normalise_rows.register_autograd(_differentiate, setup_context=_remember)


def _in_type_of(parameter: Tensor | None, x: Tensor) -> Tensor | None:
    return None if parameter is None else parameter.to(x.dtype)


class LayerNorm(nn.LayerNorm):
    """``nn.LayerNorm`` that autocast does not move to float32: the kernels take their statistics in float32 anyway."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise the last axes."""
        if input.dtype == torch.float32:
            return super().forward(input)
        # compiled code fuses the library's norm with its neighbours
        if input.is_cuda and not torch.compiler.is_compiling() and self._has_short_rows():
            rows = input.reshape(-1, input.shape[-1])
            y: Tensor = normalise_rows(rows, self.weight, self.bias, self.eps)[0]
            return y.view(input.shape)
        with torch.autocast(input.device.type, enabled=False):
            weight, bias = _in_type_of(self.weight, input), _in_type_of(self.bias, input)
            return F.layer_norm(input, self.normalized_shape, weight, bias, self.eps)

    def _has_short_rows(self) -> bool:
        whole = self.weight is not None and self.bias is not None and len(self.normalized_shape) == 1
        return whole and self.normalized_shape[0] <= WIDEST


class GroupNorm(nn.GroupNorm):
    """``nn.GroupNorm`` that autocast does not move to float32."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, ...)."""
        if input.dtype == torch.float32:
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            weight, bias = _in_type_of(self.weight, input), _in_type_of(self.bias, input)
            return F.group_norm(input, self.num_groups, weight, bias, self.eps)


class ClipNorm(nn.InstanceNorm3d):
    """Instance normalisation of clips with a learned scale and shift, in float32, without a change of memory layout."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=True)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, T, h, w), to float32."""
        x = input.float()
        variance, mean = torch.var_mean(x, dim=(2, 3, 4), correction=0, keepdim=True)
        scale = self.weight[:, None, None, None] * torch.rsqrt(variance + self.eps)
        return torch.addcmul(self.bias[:, None, None, None] - mean * scale, x, scale)


class ChannelNorm(LayerNorm):
    """Layer normalisation over axis 1, whatever axes follow it."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, ...)."""
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


def group_norm(channels: int, eps: float = 1e-6) -> GroupNorm:
    """Build a group normalisation with the most groups, up to 32, that leave at least three channels in each.

    Small networks keep some channels per group: with one channel each, the norm would erase the level of every map.
    """
    groups = next(
        groups for groups in (32, 16, 8, 4, 2, 1) if channels % groups == 0 and channels // groups >= 3
    )
    return GroupNorm(groups, channels, eps=eps)
