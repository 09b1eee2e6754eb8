"""Multi-modal interaction of the released DiffSal (Eq. 9), and the smallest change that makes it listen."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Interaction = Literal["mim", "mim_residual"]
"""``mim``: as released. ``mim_residual``: sound also multiplies the features; :class:`SoundModulation`."""


class ReleasedMIM(nn.Module):
    """Sound weighted by where it agrees with the picture; used as the attention's keys.

    Args:
        audio_width: Channels of the audio features.
        width: Channels of this stage.
    """

    def __init__(self, audio_width: int, width: int) -> None:
        super().__init__()
        self.align = nn.Conv2d(audio_width, width, kernel_size=1)

    def aligned(self, audio: Tensor) -> Tensor:
        """Audio features (B, Ca, S, h, w) at this stage's width: (B, S, C, h, w)."""
        batch = audio.shape[0]
        slices = audio.transpose(1, 2).flatten(0, 1)  # (B·S, Ca, h, w)
        return self.align(slices).unflatten(0, (batch, -1))  # (B, S, C, h, w)

    def forward(self, x: Tensor, aligned: Tensor) -> Tensor:
        """Keys from sound and picture.

        Args:
            x: Video and noise features, frame by frame (B, T, C, H, W).
            aligned: Sound at this stage's width (B, T, C, h, w), one slice per step.

        Returns:
            Key tokens (B·T, HW, C).
        """
        size = x.shape[-2:]
        sound = F.interpolate(aligned.flatten(0, 1), size=size, mode="nearest").view_as(x)  # (B, T, C, H, W)
        # Softmax along the width only: every row of the mask sums to one.
        mask = (sound * x).mean(dim=1, keepdim=True).softmax(dim=-1)  # (B, 1, C, H, W)
        fused = (sound * mask).transpose(1, 2).contiguous()  # (B, C, T, H, W)
        # The memory is read anew as (frame, position, channel) without moving the axes, as the released
        # network does: channel, time and space are scrambled. Its weights were trained with exactly this
        # order.
        return fused.view(x.shape[0] * x.shape[1], size[0] * size[1], x.shape[2])


class SoundModulation(nn.Module):
    """Product of sound and picture, added to the features that queries and values are made of.

    ``x <- x + x * r`` with one vector r per audio slice: the aligned sound, averaged over the slice's time
    axis and summed over mel bins with learnt weights of each channel. The weights, not a plain mean, keep
    pitch: a mean over mel says how loud a slice is, hardly how high. Not part of the published network.

    Args:
        width: Channels of the stage.
        mel_bins: Bins along the mel axis of the audio features (12 for slices of 192 mel columns).
    """

    def __init__(self, width: int, mel_bins: int) -> None:
        super().__init__()
        # Random, so that every channel hears another mixture of pitches from the start.
        self.mel_weight = nn.Parameter(torch.randn(width, mel_bins) * mel_bins**-0.5)

    def forward(self, x: Tensor, aligned: Tensor) -> Tensor:
        """Features (B, T, C, H, W) and aligned sound (B, T, C, h, w) to features (B, T, C, H, W)."""
        r = torch.einsum("btchw,cw->btc", aligned, self.mel_weight) / aligned.shape[3]
        return x + x * r[..., None, None]
