"""Multiplicative path from audio to visual features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.layers.resampling import resample_time


class ProductResidual(nn.Module):
    """Audio vector per time step, multiplied into the features, to be added to them.

    Each slice is averaged over its time and weighted per channel over its mel bins, so that the pitch survives; the
    vector is the same at every position of the frame. Audio of another width than ``mel_bins`` is averaged to it. In
    no paper: see DiffSal's deviation D13.
    """

    def __init__(self, audio_channels: int, channels: int, mel_bins: int) -> None:
        super().__init__()
        self.mel_bins = mel_bins
        self.mel_weight = nn.Parameter(torch.randn(audio_channels, mel_bins) / mel_bins**0.5)
        self.project = nn.Linear(audio_channels, channels)

    def forward(self, features: Tensor, audio: Tensor) -> Tensor:
        """Multiply features (B, C, T, h, w) and f_a (B, C_a, S, h_a, w_a): (B, C, T, h, w)."""
        spectrum = F.adaptive_avg_pool2d(audio.flatten(0, 1), (1, self.mel_bins))  # (B C_a, S, 1, mel)
        spectrum = spectrum.unflatten(0, audio.shape[:2]).squeeze(3)  # (B, C_a, S, mel)
        vector = (spectrum * self.mel_weight[:, None]).sum(dim=-1)  # (B, C_a, S)
        vector = self.project(vector.transpose(1, 2)).transpose(1, 2)  # (B, C, S)
        vector = resample_time(vector[..., None, None], features.shape[2])  # (B, C, T, 1, 1)
        return features * vector
