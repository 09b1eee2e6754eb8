"""Adaptive layer normalisation: a vector sets scale, shift and gate of a block.

Source: Peebles and Xie, "Scalable Diffusion Models with Transformers" (ICCV 2023), adaLN-Zero.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def modulate(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``(1 + scale) * x + shift``: tokens (B, N, C) with vectors (B, 1, C)."""
    return (1 + scale) * x + shift


class Modulation(nn.Module):
    """Swish and one linear layer that turn a vector into several vectors, one set per sample.

    Args:
        dim: Width of the vector.
        width: Width of each result.
        starts: What each result is before training, whatever the vector: its length is the number of results.
    """

    def __init__(self, dim: int, width: int, starts: tuple[float, ...]) -> None:
        super().__init__()
        self.count = len(starts)
        self.linear = nn.Linear(dim, self.count * width)
        nn.init.zeros_(self.linear.weight)
        with torch.no_grad():
            self.linear.bias.copy_(torch.tensor(starts).repeat_interleave(width))

    def forward(self, vector: Tensor) -> tuple[Tensor, ...]:
        """(B, dim) to ``count`` tensors (B, 1, width)."""
        return self.linear(F.silu(vector))[:, None].chunk(self.count, dim=-1)
