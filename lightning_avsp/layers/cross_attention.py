"""Cross-attention between feature maps, with keys and values compressed in space."""

from __future__ import annotations

from torch import Tensor, nn

from lightning_avsp.layers.attention import SpatialCompression, multi_head_attention


def attention_heads(channels: int, head_dim: int) -> int:
    """Most heads that divide the channels evenly and are at least ``head_dim`` wide; one if there are none."""
    return next(heads for heads in range(max(1, channels // head_dim), 0, -1) if channels % heads == 0)


class EfficientCrossAttention(nn.Module):
    """Efficient cross-attention (ECA): every token of one map asks the compressed tokens of another.

    Source: DiffSal, Equations 7 and 8, and MUBiC, Equations 3.28 to 3.35. This is the attention alone: norms, residuals
    and feed-forward parts belong to the block around it.

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
        """Attend.

        Args:
            query: Tokens (B, N, C_q).
            context: Map of keys, and of values unless those are given: (B, C, T, h, w).
            values: Map of values (B, C, T, h, w), only with ``values_apart``.

        Returns:
            Tokens (B, N, C).
        """
        key = self.compress(context)  # (B, M, C), M = T (h // k) (w // k)
        value = key if self.compress_value is None else self.compress_value(values)
        attended = multi_head_attention(self.query(query), self.key(key), self.value(value), self.heads)
        return self.out(attended)
