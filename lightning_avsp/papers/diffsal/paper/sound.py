"""Temporal enhancement of the audio features (Section 4.1, Equations 4 and 5)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.layers.attention import TransformerLayer
from lightning_avsp.layers.normalization import LayerNorm


class TemporalEnhancement(nn.Module):
    """Patch embedding, learnable position along time, one transformer layer over all tokens of the sound.

    Args:
        channels: Width C_a of the audio features.
        slices: Number of slices T_a; for another number the positions are interpolated linearly.
    """

    def __init__(self, channels: int, slices: int = 9) -> None:
        super().__init__()
        # Per token: the encoder's grid is coarse already, so a patch is one cell (D9)
        self.patch_embedding = nn.Sequential(
            LayerNorm(channels), nn.Linear(channels, channels), LayerNorm(channels)
        )
        self.position = nn.Parameter(torch.zeros(1, slices, channels))
        nn.init.trunc_normal_(self.position, std=0.02)
        # widths of attention and MLP: a quarter and a half of the tokens', as in the released configuration
        self.transformer = TransformerLayer(channels, 2, channels // 8, channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, h, w) to (B, C, S, h, w)."""
        size = x.shape[2:]
        tokens = self.patch_embedding(x.movedim(1, -1))  # (B, S, h, w, C)
        position: Tensor = self.position
        if position.shape[1] != size[0]:
            position = F.interpolate(position.transpose(1, 2), size=size[0], mode="linear").transpose(1, 2)
        tokens = tokens + position[:, :, None, None].to(tokens.dtype)  # Equation 4
        tokens = self.transformer(tokens.flatten(1, 3))  # (B, S h w, C), Equation 5
        return tokens.transpose(1, 2).unflatten(2, size)
