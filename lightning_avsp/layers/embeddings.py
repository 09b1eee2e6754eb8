"""Embeddings of the diffusion step, of positions and of patches, and the modulation of a block by a vector."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sinusoidal_embedding(t: Tensor, dim: int) -> Tensor:
    """Compute sines and cosines of the diffusion step, frequencies from 1 down to 1e-4.

    Source: Ho et al., "Denoising Diffusion Probabilistic Models" (2020), after Vaswani et al. (2017). Steps (B,) are
    integers as they are, not scaled to [0, 1]; the result is (B, dim) float32, sines in the first half, cosines in the
    second.
    """
    half = dim // 2
    # float32 whatever the autocast type: bf16 rounds step 999 to 1000
    exponent = torch.arange(half, device=t.device, dtype=torch.float32) / (half - 1)
    angles = t.float()[:, None] * torch.exp(-math.log(10_000.0) * exponent)[None]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class TimeEmbedding(nn.Module):
    """Embedding of the diffusion step: sinusoids of width ``dim``, then two linear layers with swish between."""

    def __init__(self, dim: int, out_dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim
        self.out_dim = out_dim or 4 * dim
        first = nn.Linear(dim, self.out_dim)
        self.layers = nn.Sequential(first, nn.SiLU(), nn.Linear(self.out_dim, self.out_dim))

    def forward(self, t: Tensor) -> Tensor:
        """Embed steps (B,) as vectors (B, out_dim)."""
        embedding = sinusoidal_embedding(t, self.dim)
        return self.layers(embedding.to(next(self.parameters()).dtype))


def grid_positions(
    size: tuple[int, ...],
    dim: int,
    device: torch.device | None = None,
    extent: float = 32.0,
    max_period: float = 10.0,
) -> Tensor:
    """Compute sines and cosines of the position of each cell's centre; each axis has an equal share of the width.

    A cell's position is a share of the axis, not its index: two grids over the same frame, one coarse and one fine,
    agree where they overlap, so that tokens of one find those of the other. What is left over when ``dim`` is divided
    into sines and cosines of each axis stays 0. The shortest period is 2 pi where an axis is ``extent`` long, here a
    fifth of it, the longest ``max_period`` times that: much longer ones make all places alike.

    Returns:
        float32 (cells, dim), the last axis running fastest.
    """
    half = dim // (2 * len(size))
    steps = torch.arange(half, device=device, dtype=torch.float32) / max(1, half - 1)
    frequencies = torch.exp(-math.log(max_period) * steps)
    parts = []
    for axis, cells in enumerate(size):
        centres = (torch.arange(cells, device=device, dtype=torch.float32) + 0.5) * (extent / cells)
        angles = centres[:, None] * frequencies  # (cells, half)
        shape = [1] * len(size) + [2 * half]
        shape[axis] = cells
        waves = torch.cat([angles.sin(), angles.cos()], dim=1).view(shape)
        parts.append(waves.expand(*size, 2 * half))
    rest = dim - 2 * half * len(size)
    parts.append(torch.zeros(*size, rest, device=device))
    return torch.cat(parts, dim=-1).flatten(0, -2)


class PatchEmbedding(nn.Module):
    """One token per patch of so many pixels, which divide height and width: a convolution, its kernel its stride."""

    def __init__(self, channels: int, dim: int, patch: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, dim, patch, stride=patch)
        # as the linear layer that it is: a convolution's own start would take the fan of its kernel twice
        nn.init.xavier_uniform_(self.conv.weight.view(dim, -1))
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, maps: Tensor) -> Tensor:
        """Embed (B, channels, H, W) as (B, H W / patch^2, dim), row by row."""
        return self.conv(maps).flatten(2).transpose(1, 2)


def unpatchify(tokens: Tensor, grid: tuple[int, int], patch: int) -> Tensor:
    """Arrange tokens (B, h w, C patch^2) to a map (B, C, h patch, w patch) with ``grid = (h, w)``."""
    x = tokens.unflatten(1, grid).unflatten(-1, (-1, patch, patch))  # (B, h, w, C, patch, patch)
    return x.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)


def modulate(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Compute ``(1 + scale) * x + shift``: tokens (B, N, C) with vectors (B, 1, C)."""
    return (1 + scale) * x + shift


class Modulation(nn.Module):
    """Swish and one linear layer that turn a vector into several vectors of ``width``, one set per sample.

    ``starts`` are the values of the results before training, whatever the vector.
    """

    def __init__(self, dim: int, width: int, starts: tuple[float, ...]) -> None:
        super().__init__()
        self.count = len(starts)
        self.linear = nn.Linear(dim, self.count * width)
        nn.init.zeros_(self.linear.weight)
        with torch.no_grad():
            self.linear.bias.copy_(torch.tensor(starts).repeat_interleave(width))

    def forward(self, vector: Tensor) -> tuple[Tensor, ...]:
        """Map (B, dim) to ``count`` tensors (B, 1, width)."""
        return self.linear(F.silu(vector))[:, None].chunk(self.count, dim=-1)
