"""Gated mixing of two feature maps: in the fusion (Equations 3.38, 3.39) and in the decoder (3.44 to 3.46)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_avsp.layers.video_convolution import VideoConvolution
from lightning_avsp.papers.mubic.options import DecoderGate, FusionGate

GATE_RATIO = 1.625
"""Width of the fusion gate's hidden layer over the features'; fits the printed budget (X8)."""


def pointwise(in_channels: int, out_channels: int) -> VideoConvolution:
    """1x1x1 convolution."""
    return VideoConvolution(in_channels, out_channels, 1)


class GatedFusion(nn.Module):
    """alpha F_va + (1 - alpha) F_av, with alpha from both (Equations 3.38 and 3.39).

    Args:
        channels: Channels of both maps.
        kind: ``mlp``, ``conv1``, or ``concat``: both side by side through one convolution, no gate (X8).
    """

    def __init__(self, channels: int, kind: FusionGate) -> None:
        super().__init__()
        self.kind: FusionGate = kind
        self.layers: nn.Module = pointwise(2 * channels, channels)
        if kind == "mlp":
            hidden = int(GATE_RATIO * channels)
            self.layers = nn.Sequential(
                pointwise(2 * channels, hidden), nn.ReLU(inplace=True), pointwise(hidden, channels)
            )

    def forward(self, f_va: Tensor, f_av: Tensor) -> tuple[Tensor, Tensor | None]:
        """Two maps (B, C, T, h, w) to the mixed one, and alpha of the same shape in [0, 1] if there is a gate."""
        x = self.layers(torch.cat([f_va, f_av], dim=1))
        if self.kind == "concat":
            return x, None
        alpha = x.sigmoid()
        return f_av + alpha * (f_va - f_av), alpha


class DecoderFusion(nn.Module):
    """Context of a decoder stage: fused features and the deeper stage's output, mixed by a gate.

    Args:
        channels: Channels of both maps.
        kind: ``equations``: 3.44 to 3.46, each map convolved first; ``algorithm``: line 26 of Algorithm 1, the gate
            from their sum; ``concat``: side by side through one convolution, no gate (X9).
    """

    def __init__(self, channels: int, kind: DecoderGate) -> None:
        super().__init__()
        self.kind: DecoderGate = kind
        if kind == "equations":
            self.mix_fused = pointwise(channels, channels)
            self.mix_deeper = pointwise(channels, channels)
        self.layers = pointwise(channels if kind == "algorithm" else 2 * channels, channels)

    def forward(self, fused: Tensor, deeper: Tensor) -> tuple[Tensor, Tensor | None]:
        """Two maps (B, C, T, h, w) to the mixed one, and the gate (1: all fused features) if there is one."""
        if self.kind == "equations":
            fused, deeper = self.mix_fused(fused), self.mix_deeper(deeper)
        x = self.layers(fused + deeper if self.kind == "algorithm" else torch.cat([fused, deeper], dim=1))
        if self.kind == "concat":
            return x, None
        gate = x.sigmoid()
        return deeper + gate * (fused - deeper), gate
