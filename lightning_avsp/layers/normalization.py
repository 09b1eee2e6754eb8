"""Normalisation layers; under autocast they stay in the type of their input, with statistics in float32."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _in_type_of(parameter: Tensor | None, x: Tensor) -> Tensor | None:
    return None if parameter is None else parameter.to(x.dtype)


class LayerNorm(nn.LayerNorm):
    """``nn.LayerNorm`` that autocast does not move to float32: the kernels take their statistics in float32 anyway."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise the last axes."""
        if input.dtype == torch.float32:
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            weight, bias = _in_type_of(self.weight, input), _in_type_of(self.bias, input)
            return F.layer_norm(input, self.normalized_shape, weight, bias, self.eps)


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
