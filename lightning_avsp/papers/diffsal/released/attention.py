"""Per-frame cross-attention of the released DiffSal: compressed (ECA, Eqs. 7 and 8) and standard."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.layers.normalization import LayerNorm
from lightning_avsp.layers.video_convolution import VideoConvolution

Attention = Literal["eca", "standard"]
"""``eca``: keys and values compressed by strided convolution. ``standard``: none; the SCA row of Table 4."""

Grid = tuple[int, int]


class CompressedProjection(nn.Module):
    """Depthwise convolution over one frame's tokens, LayerNorm, linear projection.

    Args:
        width: Channels.
        kernel: Kernel of the convolution (time, height, width), or None for the linear projection alone.
        stride: Its stride.
        padding: Its padding.
    """

    def __init__(
        self, width: int, kernel: tuple[int, int, int] | None, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.conv: nn.Conv3d | None = None
        self.norm: nn.LayerNorm | None = None
        if kernel is not None:
            self.conv = VideoConvolution(
                width, width, kernel, (1, stride, stride), padding=padding, groups=width, bias=False
            )
            self.norm = LayerNorm(width)
        self.linear = nn.Linear(width, width)

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Tokens (N, HW, C) of frames with ``grid`` rows and columns to projected tokens (N, H'W', C)."""
        if self.conv is not None and self.norm is not None:
            # A 3-D convolution on a time axis of length 1: frames do not see each other.
            volume = tokens.transpose(1, 2).unflatten(2, (1, *grid))  # (N, C, 1, H, W)
            tokens = self.norm(self.conv(volume).flatten(2).transpose(1, 2))  # (N, H'W', C)
        return self.linear(tokens)


class FrameCrossAttention(nn.Module):
    """Two-headed attention within each frame; keys come from another tensor than queries and values.

    Args:
        width: Channels C.
        compression: Side of the window that becomes one key and one value (2, 4, 8, 16 from the deepest stage
            on).
        attention: ``eca`` or ``standard``.
        heads: Number of heads.
    """

    def __init__(self, width: int, compression: int, attention: Attention = "eca", heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        # The released network scales by the full width, not by the width of a head.
        self.scale = width**-0.5
        compressed = attention == "eca"
        window = (1, compression, compression) if compressed else None
        self.query = CompressedProjection(width, (3, 3, 3) if compressed else None, padding=1)
        self.key = CompressedProjection(width, window, stride=compression)
        self.value = CompressedProjection(width, window, stride=compression)
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor, keys: Tensor, grid: Grid) -> Tensor:
        """Attend within each frame.

        Args:
            tokens: Source of queries and values (N, HW, C).
            keys: Source of keys (N, HW, C).
            grid: Rows H and columns W.

        Returns:
            Tokens (N, HW, C).
        """
        q = self.query(tokens, grid).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (N, heads, HW, C)
        k = self.key(keys, grid).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (N, heads, K, C)
        v = self.value(tokens, grid).unflatten(2, (self.heads, -1)).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, scale=self.scale)  # (N, heads, HW, C)
        return self.output(y.transpose(1, 2).flatten(2))  # (N, HW, C)
