"""Per-frame attention of the released DiffSal (Eqs. 7 and 8), and its interaction of audio and video (Eq. 9)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.layers.normalization import LayerNorm
from lightning_avsp.layers.video_convolution import VideoConvolution

ReleasedAttention = Literal["eca", "standard"]
"""``eca``: keys and values compressed by strided convolution. ``standard``: none; the SCA row of Table 4."""

FrameGrid = tuple[int, int]


class CompressedProjection(nn.Module):
    """Depthwise convolution over one frame's tokens, LayerNorm, linear projection.

    Without a kernel (time, height, width) the linear projection alone; stride is in space.
    """

    def __init__(
        self, width: int, kernel: tuple[int, int, int] | None, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.conv: nn.Conv3d | None = None
        self.norm: nn.LayerNorm | None = None
        if kernel is not None:
            self.conv = VideoConvolution(
                width, width, kernel, (1, stride, stride), padding=padding, groups=width, bias=False
            )
            self.norm = LayerNorm(width)
        self.linear = nn.Linear(width, width)

    def forward(self, tokens: Tensor, grid: FrameGrid) -> Tensor:
        """Project tokens (N, HW, C) of frames with ``grid`` rows and columns to projected tokens (N, H'W', C)."""
        if self.conv is not None and self.norm is not None:
            # A 3-D convolution on a time axis of length 1: frames do not see each other.
            volume = tokens.transpose(1, 2).unflatten(2, (1, *grid))  # (N, C, 1, H, W)
            tokens = self.norm(self.conv(volume).flatten(2).transpose(1, 2))  # (N, H'W', C)
        return self.linear(tokens)


class FrameCrossAttention(nn.Module):
    """Two-headed attention within each frame; keys come from another tensor than queries and values.

    ``compression`` is the side of the window that becomes one key and one value (2, 4, 8, 16 from the deepest stage
    on).
    """

    def __init__(
        self, width: int, compression: int, attention: ReleasedAttention = "eca", heads: int = 2
    ) -> None:
        super().__init__()
        self.heads = heads
        # The released network scales by the full width, not by the width of a head.
        self.scale = width**-0.5
        compressed = attention == "eca"
        window = (1, compression, compression) if compressed else None
        self.query = CompressedProjection(width, (3, 3, 3) if compressed else None, padding=1)
        self.key = CompressedProjection(width, window, stride=compression)
        self.value = CompressedProjection(width, window, stride=compression)
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor, keys: Tensor, grid: FrameGrid) -> Tensor:
        """Attend from tokens (N, HW, C), also the values, to keys (N, HW, C), within each frame of ``grid`` (H, W)."""
        q = self.query(tokens, grid).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (N, heads, HW, C)
        k = self.key(keys, grid).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (N, heads, K, C)
        v = self.value(tokens, grid).unflatten(2, (self.heads, -1)).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, scale=self.scale)  # (N, heads, HW, C)
        return self.output(y.transpose(1, 2).flatten(2))  # (N, HW, C)


ReleasedInteraction = Literal["mim", "mim_residual"]
"""``mim``: as released. ``mim_residual``: audio also multiplies the features; :class:`AudioModulation`."""


class ReleasedMIM(nn.Module):
    """Audio weighted by its agreement with the video; used as the attention's keys."""

    def __init__(self, audio_width: int, width: int) -> None:
        super().__init__()
        self.align = nn.Conv2d(audio_width, width, kernel_size=1)

    def align_audio(self, audio: Tensor) -> Tensor:
        """Project audio features (B, Ca, S, h, w) to this stage's width: (B, S, C, h, w)."""
        batch = audio.shape[0]
        slices = audio.transpose(1, 2).flatten(0, 1)  # (B·S, Ca, h, w)
        return self.align(slices).unflatten(0, (batch, -1))  # (B, S, C, h, w)

    def forward(self, x: Tensor, aligned: Tensor) -> Tensor:
        """Compute key tokens (B·T, HW, C) from audio and video.

        Args:
            x: Video and noise features, frame by frame (B, T, C, H, W).
            aligned: Audio at this stage's width (B, T, C, h, w), one slice per step.
        """
        size = x.shape[-2:]
        sound, mask = self.enlarge_and_mask(x, aligned)
        fused = (sound * mask).transpose(1, 2).contiguous()  # (B, C, T, H, W)
        # The memory is read anew as (frame, position, channel) without moving the axes, as the released
        # network does: channel, time and space are scrambled. Its weights were trained with exactly this
        # order.
        return fused.view(x.shape[0] * x.shape[1], size[0] * size[1], x.shape[2])

    @staticmethod
    def enlarge_and_mask(x: Tensor, aligned: Tensor) -> tuple[Tensor, Tensor]:
        """Enlarge the audio to (B, T, C, H, W), and compute the mask of its agreement (B, 1, C, H, W)."""
        sound = F.interpolate(aligned.flatten(0, 1), size=x.shape[-2:], mode="nearest").view_as(x)
        # Softmax along the width only: every row of the mask sums to one.
        return sound, (sound * x).mean(dim=1, keepdim=True).softmax(dim=-1)

    def mask(self, x: Tensor, aligned: Tensor) -> Tensor:
        """Compute the mask of agreement with mean 1, channels averaged (B, H, W), to be shown (figure 7)."""
        return self.enlarge_and_mask(x, aligned)[1].mean(dim=(1, 2)) * x.shape[-1]


class AudioModulation(nn.Module):
    """Product of audio and video, added to the features that queries and values are made of.

    ``x <- x + x * r`` with one vector r per audio slice: the aligned audio, averaged over the slice's time axis and
    summed over mel bins (12 for slices of 192 mel columns) with learnt weights of each channel. The weights, not a
    plain mean, keep pitch: a mean over mel measures loudness, hardly pitch. Not part of the published network.
    """

    def __init__(self, width: int, mel_bins: int) -> None:
        super().__init__()
        # Random, so that every channel reads another mixture of pitches from the start.
        self.mel_weight = nn.Parameter(torch.randn(width, mel_bins) * mel_bins**-0.5)

    def forward(self, x: Tensor, aligned: Tensor) -> Tensor:
        """Modulate features (B, T, C, H, W) and aligned audio (B, T, C, h, w) to features (B, T, C, H, W)."""
        r = torch.einsum("btchw,cw->btc", aligned, self.mel_weight) / aligned.shape[3]
        return x + x * r[..., None, None]
