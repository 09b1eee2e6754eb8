"""Audio side of the released DiffSal: one transformer layer over all slices' VGGish cells."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_avsp.layers.attention import FeedForward
from lightning_avsp.layers.normalization import LayerNorm

HEADS = 2


class AudioTransformer(nn.Module):
    """One pre-norm transformer layer over (slice, time, mel) tokens, with a final norm that the paper omits.

    The released network computes the paper's patch embedding (Eq. 4) and throws it away, so the layer reads
    the raw VGGish features and knows no order of slices. It is computed here too: the published parameter and
    multiply-accumulate counts include it. It takes no gradient, as it has no effect.

    Args:
        width: Channels of the audio features; each of the two heads is an eighth of it wide, the MLP half of
            it.
    """

    def __init__(self, width: int = 512) -> None:
        super().__init__()
        head_width = width // 8
        self.scale = head_width**-0.5
        self.patch_embedding = nn.Sequential(
            LayerNorm(width), nn.Linear(width, width), LayerNorm(width)
        ).requires_grad_(False)
        self.norm1 = LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * HEADS * head_width, bias=False)
        # A module, not a fused kernel: the published multiply-accumulates include this one softmax of the
        # network.
        self.softmax = nn.Softmax(dim=-1)
        self.out = nn.Linear(HEADS * head_width, width)
        self.norm2 = LayerNorm(width)
        self.feed_forward = FeedForward(width, width // 2)
        self.norm = LayerNorm(width)

    def forward(self, features: Tensor) -> Tensor:
        """Mix audio features over slices and cells.

        Args:
            features: VGGish features (B, C, S, h, w).

        Returns:
            Features of the same shape, normed over channels.
        """
        x = features.flatten(2).transpose(1, 2)  # (B, Shw, C)
        with torch.no_grad():
            self.patch_embedding(x)  # discarded, see the class
        x = x + self._attend(self.norm1(x))
        x = x + self.feed_forward(self.norm2(x))
        return self.norm(x).transpose(1, 2).unflatten(2, features.shape[2:])  # (B, C, S, h, w)

    def _attend(self, x: Tensor) -> Tensor:
        """Self-attention over tokens (B, N, C)."""
        q, k, v = self.qkv(x).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)  # (B, heads, N, C/8) each
        weights = self.softmax(q @ k.transpose(2, 3) * self.scale)  # (B, heads, N, N)
        return self.out((weights @ v).transpose(1, 2).flatten(2))  # (B, N, C)
