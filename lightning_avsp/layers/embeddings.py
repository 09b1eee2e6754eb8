"""Embeddings of the diffusion step."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def sinusoidal_embedding(t: Tensor, dim: int, max_period: float = 10_000.0) -> Tensor:
    """Sines and cosines of the diffusion step, frequencies from 1 down to ``1 / max_period``.

    Source: Ho et al., "Denoising Diffusion Probabilistic Models" (2020), after Vaswani et al. (2017).

    Args:
        t: Diffusion steps (B,), integers as they are, not scaled to [0, 1].
        dim: Width of the embedding, even.
        max_period: Longest period, in steps.

    Returns:
        (B, dim) float32: sines in the first half, cosines in the second.
    """
    half = dim // 2
    # float32 whatever the autocast type: bf16 cannot tell step 999 from 1000
    exponent = torch.arange(half, device=t.device, dtype=torch.float32) / (half - 1)
    angles = t.float()[:, None] * torch.exp(-math.log(max_period) * exponent)[None]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class TimeEmbedding(nn.Module):
    """Diffusion step to a vector: sinusoids, then two linear layers with swish between.

    Args:
        dim: Width of the sinusoids.
        out_dim: Width of the result; ``4 * dim`` if None.
    """

    def __init__(self, dim: int, out_dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim
        self.out_dim = out_dim or 4 * dim
        first = nn.Linear(dim, self.out_dim)
        self.layers = nn.Sequential(first, nn.SiLU(), nn.Linear(self.out_dim, self.out_dim))

    def forward(self, t: Tensor) -> Tensor:
        """Steps (B,) to vectors (B, out_dim)."""
        embedding = sinusoidal_embedding(t, self.dim)
        return self.layers(embedding.to(next(self.parameters()).dtype))
