"""Attention over the tokens of a clip: transformer layers, and cross-attention with compressed or masked keys."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.layers.normalization import LayerNorm
from lightning_avsp.layers.video_convolution import VideoConvolution


class FeedForward(nn.Sequential):
    """Linear layer, activation, linear layer."""

    def __init__(self, dim: int, hidden_dim: int, activation: type[nn.Module] = nn.GELU) -> None:
        super().__init__(nn.Linear(dim, hidden_dim), activation(), nn.Linear(hidden_dim, dim))


def multi_head_attention(
    query: Tensor, key: Tensor, value: Tensor, heads: int, mask: Tensor | None = None
) -> Tensor:
    """Compute scaled dot-product attention (Vaswani et al., 2017), scaled by the head's width: (B, N, C).

    Projected queries (B, N, C), keys and values (B, M, C); ``mask`` is True for keys that exist, bool (B, 1, 1, M);
    all if None.
    """

    def split(tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (heads, -1)).transpose(1, 2)  # (B, heads, N, C / heads)

    attended = F.scaled_dot_product_attention(split(query), split(key), split(value), mask)
    return attended.transpose(1, 2).flatten(2)


class TransformerLayer(nn.Module):
    """Pre-norm self-attention and feed-forward, each with a residual.

    ``head_dim`` is the width of each head; ``heads * head_dim`` may differ from ``dim``.
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
        """Transform tokens (B, N, dim)."""
        query, key, value = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        x = x + self.out(multi_head_attention(query, key, value, self.heads))
        return x + self.feed_forward(self.norm2(x))


class SpatialCompression(nn.Module):
    """Fewer tokens per frame: depthwise convolution with kernel and stride (1, k, k), then layer norm.

    Starts as the mean over each k x k cell, k of ``factor``; 1 keeps every token (then there is no convolution, only
    the norm). Source: DiffSal, Equation 8 (STC).
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
        """Compress (B, C, T, h, w) to tokens (B, T * (h // k) * (w // k), C)."""
        return self.norm(self.conv(x).flatten(2).transpose(1, 2))


def spatial_grid(tokens: Tensor, size: torch.Size) -> Tensor:
    """Reshape tokens (B, T h w, C) to a map (B, C, T, h, w)."""
    return tokens.transpose(1, 2).unflatten(2, size)


def attention_heads(channels: int, head_dim: int) -> int:
    """Return the most heads that divide the channels and are at least ``head_dim`` wide; one if there are none."""
    return next(heads for heads in range(max(1, channels // head_dim), 0, -1) if channels % heads == 0)


class EfficientCrossAttention(nn.Module):
    """Efficient cross-attention (ECA): every token of one map attends to the compressed tokens of another.

    Source: DiffSal, Equations 7 and 8, and MUBiC, Equations 3.28 to 3.35. This is the attention alone: norms,
    residuals and feed-forward parts belong to the block around it.

    Args:
        channels: Width of keys, values and result.
        factor: Height and width of keys and values are compressed by it; 1 keeps every token.
        heads: Number of attention heads; divides ``channels``.
        query_channels: Width of the queries; ``channels`` if None.
        values_apart: Values are compressed from a third map instead of the one that gives the keys.
    """

    def __init__(
        self,
        channels: int,
        factor: int,
        heads: int,
        query_channels: int | None = None,
        values_apart: bool = False,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.compress = SpatialCompression(channels, factor)
        self.compress_value = SpatialCompression(channels, factor) if values_apart else None
        self.query = nn.Linear(query_channels or channels, channels)
        # no bias: it would shift all of a query's scores alike, which softmax ignores
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, query: Tensor, context: Tensor, values: Tensor | None = None) -> Tensor:
        """Attend from tokens (B, N, C_q) to a map of keys (B, C, T, h, w): (B, N, C).

        Values come from that map too, or with ``values_apart`` from another of the same shape.
        """
        key = self.compress(context)  # (B, M, C), M = T (h // k) (w // k)
        value = key if self.compress_value is None else self.compress_value(values)
        attended = multi_head_attention(self.query(query), self.key(key), self.value(value), self.heads)
        return self.out(attended)


class MultiHeadAttention(nn.Module):
    """Query, key, value and output projections around scaled dot-product attention (Vaswani et al., 2017).

    ``source_dim`` is the width of the tokens of keys and values; ``dim`` if None.
    """

    def __init__(self, dim: int, heads: int, source_dim: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(source_dim or dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self,
        x: Tensor,
        source: Tensor | None = None,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            x: Tokens of the queries (B, N, dim).
            source: Tokens of keys and values (B, M, source_dim); ``x`` itself if None.
            mask: True for those that exist: bool (B, M), at least one per sample; all if None.
            positions: Position of each query's token (N, source_dim), on the scale of those in ``source``. It is
                projected as the keys are and added to the queries, so that tokens find those of their own position.

        Returns:
            (B, N, dim).
        """
        query = self.query(x)
        if positions is not None:
            query = query + F.linear(positions.to(x.dtype), self.key_value.weight[: query.shape[-1]])
        key, value = self.key_value(x if source is None else source).chunk(2, dim=-1)
        allowed = None if mask is None else mask[:, None, None]
        return self.out(multi_head_attention(query, key, value, self.heads, allowed))

    def attend_in_place(self, heads: int) -> None:
        """Start the first heads so that they attend to the tokens of the query's own position, whatever their content.

        Cross-attention that starts at random has to learn positions before it can learn content; on small budgets it
        never does.

        Args:
            heads: Number of heads; the others keep their start.
        """
        width = self.query.out_features // self.heads
        rows = heads * width
        sharpness = 30.0  # score of a token in the very same position
        # positions of width d have a squared length of d / 2, of which a head of orthogonal rows sees its share
        gain = (2 * sharpness / width**0.5) ** 0.5
        with torch.no_grad():
            nn.init.orthogonal_(self.key_value.weight[:rows], gain)
            self.key_value.bias[:rows].zero_()
            self.query.weight[:rows].zero_()
            self.query.bias[:rows].zero_()
