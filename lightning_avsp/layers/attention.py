"""Attention over the tokens of a clip."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.layers.normalization import LayerNorm
from lightning_avsp.layers.video_convolution import VideoConvolution


class FeedForward(nn.Sequential):
    """Linear, activation, linear.

    Args:
        dim: Width of the tokens.
        hidden_dim: Width between the two layers.
        activation: Between the two layers.
    """

    def __init__(self, dim: int, hidden_dim: int, activation: type[nn.Module] = nn.GELU) -> None:
        super().__init__(nn.Linear(dim, hidden_dim), activation(), nn.Linear(hidden_dim, dim))


def multi_head_attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Scaled dot-product attention (Vaswani et al., 2017), scale by the head's width.

    Args:
        query: (B, N, C), already projected.
        key: (B, M, C), already projected.
        value: (B, M, C), already projected.
        heads: Number of heads; divides C.

    Returns:
        (B, N, C).
    """

    def split(tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (heads, -1)).transpose(1, 2)  # (B, heads, N, C / heads)

    return F.scaled_dot_product_attention(split(query), split(key), split(value)).transpose(1, 2).flatten(2)


class TransformerLayer(nn.Module):
    """Pre-norm self-attention and feed-forward, each with a residual.

    Args:
        dim: Width of the tokens.
        heads: Number of attention heads.
        head_dim: Width of each head; ``heads * head_dim`` may differ from ``dim``.
        hidden_dim: Width inside the feed-forward part.
    """

    def __init__(self, dim: int, heads: int, head_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * heads * head_dim, bias=False)
        self.out = nn.Linear(heads * head_dim, dim)
        self.norm2 = LayerNorm(dim)
        self.feed_forward = FeedForward(dim, hidden_dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, dim) to (B, N, dim)."""
        query, key, value = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        x = x + self.out(multi_head_attention(query, key, value, self.heads))
        return x + self.feed_forward(self.norm2(x))


class SpatialCompression(nn.Module):
    """Fewer tokens per frame: depthwise convolution with kernel and stride (1, k, k), then layer norm.

    Starts as the mean over each k x k cell. Source: DiffSal, Equation 8 (STC).

    Args:
        channels: Channels of the map.
        factor: k; 1 keeps every token (then there is no convolution, only the norm).
    """

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        kernel = (1, factor, factor)
        self.conv: nn.Module = nn.Identity()
        if factor > 1:
            self.conv = VideoConvolution(
                channels, channels, kernel, stride=kernel, groups=channels, bias=False
            )
            nn.init.constant_(self.conv.weight, 1.0 / factor**2)
        self.norm = LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, h, w) to tokens (B, T * (h // k) * (w // k), C)."""
        return self.norm(self.conv(x).flatten(2).transpose(1, 2))


def spatial_grid(tokens: Tensor, size: torch.Size) -> Tensor:
    """Tokens (B, T h w, C) back to a map (B, C, T, h, w)."""
    return tokens.transpose(1, 2).unflatten(2, size)
