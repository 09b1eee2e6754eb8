"""Sound before fusion: temporal refinement, and matching in time and space (Equations 3.5 to 3.8 and 3.24)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.layers.attention import FeedForward, multi_head_attention
from lightning_avsp.layers.normalization import LayerNorm
from lightning_avsp.layers.resampling import resample_time, resize_frames
from lightning_avsp.layers.video_convolution import VideoConvolution


class TemporalRefinement(nn.Module):
    """Learned position along time, then self-attention along time at each cell and a feed-forward part, post-norm.

    DiffSal's temporal enhancement differs: it is pre-norm and attends over all cells at once.

    Args:
        channels: Width C_a of the audio features.
        slices: Number of slices T_a; for another number the positions are interpolated linearly.
        heads: Attention heads (X32).
    """

    def __init__(self, channels: int, slices: int, heads: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.position = nn.Parameter(torch.zeros(1, slices, channels))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.out = nn.Linear(channels, channels)
        self.norm1 = LayerNorm(channels)
        self.feed_forward = FeedForward(channels, 2 * channels, nn.ReLU)
        self.norm2 = LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, h, w) to the same shape."""
        batch, _, slices, height, width = x.shape
        position: Tensor = self.position
        if position.shape[1] != slices:
            position = F.interpolate(position.transpose(1, 2), size=slices, mode="linear").transpose(1, 2)
        tokens = x.permute(0, 3, 4, 2, 1).flatten(0, 2) + position.to(x.dtype)  # (B h w, S, C)
        query, key, value = self.qkv(tokens).chunk(3, dim=-1)
        tokens = self.norm1(tokens + self.out(multi_head_attention(query, key, value, self.heads)))
        tokens = self.norm2(tokens + self.feed_forward(tokens))
        return tokens.unflatten(0, (batch, height, width)).permute(0, 4, 3, 1, 2)  # (B, C, S, h, w)


class SoundMatching(nn.Module):
    """Audio features on the grid of one scale: 1x1x1 convolution, then depthwise transposed convolution (X11).

    Nine slices become eight steps, and each cell becomes ``stride`` x ``stride``; what still differs from the
    visual grid, with frames or sound of other sizes, is interpolated.

    Args:
        audio_channels: Channels C_a of the audio features.
        channels: Channels C_i of the scale.
        stride: How much finer this scale's grid is than the audio features'.
    """

    def __init__(self, audio_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.project = VideoConvolution(audio_channels, channels, 1)
        self.enlarge = nn.ConvTranspose3d(
            channels, channels, (2, stride, stride), (1, stride, stride), padding=(1, 0, 0), groups=channels
        )

    def forward(self, audio: Tensor, size: tuple[int, int, int]) -> Tensor:
        """(B, C_a, S, h_a, w_a) to (B, C_i, T, h, w) with ``size = (T, h, w)``; S at least 2."""
        x = self.enlarge(self.project(audio))  # (B, C_i, S - 1, s h_a, s w_a)
        return resize_frames(resample_time(x, size[0]), size[1:])
