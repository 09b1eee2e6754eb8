"""Saliency-DiT, the denoiser (Section III-D), and the other transformers of Tables III and IV."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from lightning_avsp.errors import InputError
from lightning_avsp.layers.attention import FeedForward, MultiHeadAttention
from lightning_avsp.layers.embeddings import (
    Modulation,
    PatchEmbedding,
    TimeEmbedding,
    grid_positions,
    modulate,
    unpatchify,
)
from lightning_avsp.layers.normalization import LayerNorm
from lightning_avsp.papers.tavdiff.condition import Tokens

ConditionPath = Literal["cross", "sum", "concat", "in_context", "in_context_sum", "in_context_concat"]
"""Path of the condition. ``cross``: cross-attention (Saliency-DiT); ``sum``: its mean, projected, plus the time
vector (DiT's way with a label); ``concat``: its mean beside the time vector, through an MLP; ``in_context``: its
tokens are appended to the map's, without which no place of the frame reaches a place of the map (X7)."""

EMPTY_MAP = -3.5
"""Start of the last bias: its sigmoid, .03, is about the mean of a saliency map. From a higher start the first steps
drive the map into the flat end of the sigmoid."""


class SaliencyDiTBlock(nn.Module):
    """Self-attention, cross-attention to the condition, MLP; the step modulates the first and the last (Eqs. 3-7).

    ``residual``: around each part, as DiT has it; without, the equations as they are printed (X4).
    """

    def __init__(
        self, width: int, heads: int, cross: bool = True, residual: bool = True, mlp_ratio: int = 4
    ) -> None:
        super().__init__()
        self.residual = residual
        # Gates of 0 make a residual block start as the identity; without residuals they would let nothing through
        gate = 0.0 if residual else 1.0
        self.modulation = Modulation(width, width, (0.0, 0.0, gate, 0.0, 0.0, gate))
        self.norm1 = LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.self_attention = MultiHeadAttention(width, heads)
        self.norm2 = LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.feed_forward = FeedForward(width, mlp_ratio * width)
        self.cross_attention: MultiHeadAttention | None = None
        if cross:
            self.cross_norm_in = LayerNorm(width)
            self.cross_attention = MultiHeadAttention(width, heads)
            self.cross_attention.attend_in_place((heads + 1) // 2)  # X21
            self.cross_norm_out = LayerNorm(width)

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        tokens: Tokens,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Run one block on the map's tokens (B, N, width), whose positions are (N, width).

        ``time`` is the time vector (B, width), ``tokens`` the condition's (B, M, width), ``mask`` True for those of
        ``x`` that exist, bool (B, N), all if None.
        """
        keep = 1.0 if self.residual else 0.0
        scale1, shift1, gate1, scale2, shift2, gate2 = self.modulation(time)
        attended = self.self_attention(modulate(self.norm1(x), scale1, shift1), mask=mask)  # Equation 3
        x = keep * x + gate1 * attended  # Equation 4
        if self.cross_attention is not None:
            met = self.cross_attention(self.cross_norm_in(x), tokens.values, tokens.mask, positions)
            x = keep * x + self.cross_norm_out(met)  # Equation 5
        hidden = self.feed_forward(modulate(self.norm2(x), scale2, shift2))  # Equation 6
        return keep * x + gate2 * hidden  # Equation 7, with the MLP that it leaves out (X5)


class MapTransformer(nn.Module):
    """Transformer over the patches of the noisy map: Saliency-DiT, or DiT, by the path of the condition.

    ``width`` is that of its tokens and of the condition's, ``patch`` the side of a patch of the map in pixels.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        heads: int,
        patch: int,
        path: ConditionPath = "cross",
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.patch = patch
        self.path = path
        self.embedding = PatchEmbedding(1, width, patch)
        self.time = TimeEmbedding(min(256, width), width)  # 256 sinusoids as in DiT
        self.blocks = nn.ModuleList(
            SaliencyDiTBlock(width, heads, path == "cross", residual) for _ in range(depth)
        )
        if path.endswith("sum"):
            self.pooled: nn.Module = nn.Linear(width, width)
        elif path.endswith("concat"):
            self.pooled = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width))
        self.modulation = Modulation(width, width, (0.0, 0.0))
        self.norm = LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.out = nn.Linear(width, patch * patch)
        nn.init.normal_(self.out.weight, std=0.02)
        nn.init.constant_(self.out.bias, EMPTY_MAP)

    def forward(self, noisy_map: Tensor, t: Tensor, tokens: Tokens) -> Tensor:
        """Predict logits (B, 1, H, W) of the clean map from the noisy one, steps (B,) and the condition.

        Raises:
            InputError: If the map cannot be cut into patches.
        """
        height, breadth = noisy_map.shape[-2:]
        if height % self.patch or breadth % self.patch:
            raise InputError(
                f"a noisy map of {height}x{breadth} cannot be cut into patches of {self.patch}; choose another "
                "data.map_size, e.g. [112,192], or patch"
            )
        grid = (height // self.patch, breadth // self.patch)
        x = self.embedding(noisy_map)  # (B, N, width)
        positions = grid_positions(grid, x.shape[-1], x.device)  # (N, width)
        x = x + positions.to(x.dtype)
        count, mask = x.shape[1], None
        time = self.time(t)  # (B, width)
        if self.path.endswith("sum"):
            time = time + self.pooled(tokens.mean())
        elif self.path.endswith("concat"):
            time = self.pooled(torch.cat([time, tokens.mean()], dim=-1))
        if self.path.startswith("in_context"):
            x = torch.cat([x, tokens.values.to(x.dtype)], dim=1)  # X7
            if tokens.mask is not None:
                mask = torch.cat([tokens.mask.new_ones(len(x), count), tokens.mask], dim=1)
        for block in self.blocks:
            x = block(x, time, tokens, positions, mask)
        scale, shift = self.modulation(time)
        x = self.out(modulate(self.norm(x[:, :count]), scale, shift))  # (B, N, patch^2)
        return unpatchify(x, grid, self.patch)
