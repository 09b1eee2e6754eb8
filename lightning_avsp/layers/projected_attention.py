"""Multi-head attention with its projections, from one sequence to itself or to another with padding."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class MultiHeadAttention(nn.Module):
    """Query, key, value and output projections around scaled dot-product attention (Vaswani et al., 2017).

    Args:
        dim: Width of the tokens that ask, and of the result.
        heads: Number of heads; divides ``dim``.
        source_dim: Width of the tokens that are read; ``dim`` if None.
    """

    def __init__(self, dim: int, heads: int, source_dim: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(source_dim or dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, source: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            x: Tokens that ask (B, N, dim).
            source: Tokens that are read (B, M, source_dim); ``x`` itself if None.
            mask: Which of them exist: bool (B, M), at least one per sample; all if None.

        Returns:
            (B, N, dim).
        """

        def split(tokens: Tensor) -> Tensor:
            return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, dim / heads)

        key, value = self.key_value(x if source is None else source).chunk(2, dim=-1)
        allowed = None if mask is None else mask[:, None, None]
        attended = F.scaled_dot_product_attention(split(self.query(x)), split(key), split(value), allowed)
        return self.out(attended.transpose(1, 2).flatten(2))
