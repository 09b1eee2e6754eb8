"""Multi-head attention with its projections, from one sequence to itself or to another with padding."""

from __future__ import annotations

import torch
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

    def forward(
        self,
        x: Tensor,
        source: Tensor | None = None,
        mask: Tensor | None = None,
        places: Tensor | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            x: Tokens that ask (B, N, dim).
            source: Tokens that are read (B, M, source_dim); ``x`` itself if None.
            mask: Which of them exist: bool (B, M), at least one per sample; all if None.
            places: Where each asking token lies (N, source_dim), on the scale of the positions in ``source``. It is
                projected as the keys are and added to the queries, so that tokens find those of their own place.

        Returns:
            (B, N, dim).
        """

        def split(tokens: Tensor) -> Tensor:
            return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, dim / heads)

        query = self.query(x)
        if places is not None:
            query = query + F.linear(places.to(x.dtype), self.key_value.weight[: query.shape[-1]])
        key, value = self.key_value(x if source is None else source).chunk(2, dim=-1)
        allowed = None if mask is None else mask[:, None, None]
        attended = F.scaled_dot_product_attention(split(query), split(key), split(value), allowed)
        return self.out(attended.transpose(1, 2).flatten(2))

    def look_in_place(self, heads: int, sharpness: float = 30.0) -> None:
        """Let the first heads start by reading the tokens of the asking token's own place, whatever they hold.

        Cross-attention that starts at random has to find out which tokens lie where before it can learn what they
        mean; on small budgets it never does.

        Args:
            heads: How many heads; the others keep their start.
            sharpness: Attention score of a token in the very same place.
        """
        width = self.query.out_features // self.heads
        rows = heads * width
        # positions of width d have a squared length of d / 2, of which a head of orthogonal rows sees its share
        gain = (2 * sharpness / width**0.5) ** 0.5
        with torch.no_grad():
            nn.init.orthogonal_(self.key_value.weight[:rows], gain)
            self.key_value.bias[:rows].zero_()
            self.query.weight[:rows].zero_()
            self.query.bias[:rows].zero_()
