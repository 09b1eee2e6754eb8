"""Multi-scale regulator gate (MRG), Equations 13 to 15 of AVRSP."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_avsp.layers.atrous_pyramid import ConvNorm3d
from lightning_avsp.layers.video_convolution import VideoConvolution
from lightning_avsp.papers.avrsp.settings import GateForm
from lightning_avsp.papers.avrsp.synergy import resize_space


class RegulatorGate(nn.Module):
    """How much of the fused features reaches a scale, by what is seen at that scale.

    Args:
        channels: Channels of the features.
        form: ``channel``: the mean over time and space of the gate, as Equation 14; ``spatial``: the gate itself.
    """

    def __init__(self, channels: int, form: GateForm = "channel") -> None:
        super().__init__()
        self.form = form
        self.gate = VideoConvolution(2 * channels, channels, 3, padding=1)
        self.conv = ConvNorm3d(channels, channels)

    def forward(self, fused: Tensor, visual: Tensor) -> tuple[Tensor, Tensor]:
        """Pass fused features on to a scale.

        Args:
            fused: Fused features of a coarser scale (B, C, T, h', w').
            visual: Visual features of this scale (B, C, T, h, w).

        Returns:
            Gated fused features (B, C, T, h, w), and the gate in [0, 1] before its mean (B, C, T, h, w).
        """
        fused = resize_space(fused, visual)  # Equation 13
        gate = self.gate(torch.cat([fused, visual], dim=1)).sigmoid()
        opened = gate.mean(dim=(2, 3, 4), keepdim=True) if self.form == "channel" else gate  # Equation 14
        return self.conv(opened * fused), gate  # Equation 15
