"""Normalisation over the channels of a feature map."""

from __future__ import annotations

from torch import Tensor, nn


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over axis 1, whatever axes follow it."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) to the same shape."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def group_norm(channels: int, eps: float = 1e-6) -> nn.GroupNorm:
    """Group normalisation with the most groups, up to 32, that leave at least three channels in each.

    Small networks keep some channels per group: with one channel each, the norm would erase the level of every map.
    """
    groups = next(
        groups for groups in (32, 16, 8, 4, 2, 1) if channels % groups == 0 and channels // groups >= 3
    )
    return nn.GroupNorm(groups, channels, eps=eps)
