"""Diffusion decoder: four conditional denoising modules, deep to fine, and the head (section 3.2.3.4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.layers.attention import spatial_grid
from lightning_avsp.layers.cross_attention import EfficientCrossAttention, attention_heads
from lightning_avsp.layers.video_convolution import VideoConvolution
from lightning_avsp.papers.mubic.gates import DecoderFusion
from lightning_avsp.papers.mubic.options import DecoderGate, Widths


class ConditionalDenoising(nn.Module):
    """One conditional denoising module (CDM): context, attention of the noise to it, convolution over time.

    Args:
        index: 0 for the finest scale to 3 for the deepest.
        widths: Sizes.
        gate: How fused features and the deeper stage are mixed.
        denoises: Whether noise features ask; without, the context goes straight to the convolution (table 4.3, "w/o
            diffusion decoder").
    """

    def __init__(self, index: int, widths: Widths, gate: DecoderGate, denoises: bool) -> None:
        super().__init__()
        channels = widths.channels[index]
        self.enlarge: nn.Module | None = None
        if index < len(widths.channels) - 1:  # the deepest stage has nothing below it (X10)
            kernel = (1, 2, 2)
            self.enlarge = nn.ConvTranspose3d(widths.channels[index + 1], channels, kernel, stride=kernel)
            self.fusion = DecoderFusion(channels, gate)
        self.attention: nn.Module | None = None
        if denoises:
            width = widths.noise[index]
            self.time = nn.Parameter(torch.zeros(1, width, widths.steps, 1, 1))
            nn.init.trunc_normal_(self.time, std=0.02)
            self.attention = EfficientCrossAttention(
                channels,
                widths.factors[index],
                attention_heads(channels, widths.head_dim),
                query_channels=width,
            )
        self.temporal = nn.Sequential(
            VideoConvolution(channels, channels, (3, 1, 1), padding=(1, 0, 0), bias=False),
            nn.BatchNorm3d(channels),
            nn.ReLU(inplace=True),
        )

    def forward(
        self, fused: Tensor, deeper: Tensor | None, noise: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Refine one scale.

        Args:
            fused: Fused features (B, C, T, h, w).
            deeper: Output of the deeper stage (B, C', T, h / 2, w / 2); None in the deepest.
            noise: Noise features (B, N, 1 or T, h, w); None without diffusion.

        Returns:
            Output (B, C, T, h, w), and the gate of the same shape if there is one.
        """
        context, gate = fused, None
        if self.enlarge is not None:
            context, gate = self.fusion(fused, self.enlarge(deeper))
        x = context
        if self.attention is not None and noise is not None:
            query = (
                (noise + self.time.to(noise.dtype)).flatten(2).transpose(1, 2)
            )  # (B, T h w, N), one frame seen by all steps (X3)
            # the residual carries where things are: without it all positions would come from noise (X35)
            x = x + spatial_grid(self.attention(query, context), context.shape[2:])
        return self.temporal(x), gate


class Decoder(nn.Module):
    """From fused features, and noise features if there are any, to the map.

    Args:
        widths: Sizes.
        gate: Kind of the decoder's gates.
        denoises: Whether there are noise features.
        bias: Start of the last bias: the sigmoid of it is the level of the first predicted maps.
    """

    def __init__(self, widths: Widths, gate: DecoderGate, denoises: bool, bias: float = -2.5) -> None:
        super().__init__()
        scales = range(len(widths.channels))
        self.stages = nn.ModuleList(ConditionalDenoising(i, widths, gate, denoises) for i in scales)
        self.head = VideoConvolution(widths.channels[0], 1, (widths.steps, 3, 3), padding=(0, 1, 1))
        # Saliency maps are almost empty; starting there spares the first hundred steps (X36)
        nn.init.constant_(self.head.bias, bias)  # type: ignore[arg-type]

    def forward(
        self, fused: Sequence[Tensor], noise: Sequence[Tensor] | None, size: tuple[int, int]
    ) -> tuple[Tensor, list[Tensor]]:
        """Predict the map.

        Args:
            fused: Fused features (B, C_i, T, h_i, w_i), finest first.
            noise: Noise features of the same scales, or None.
            size: H and W of the map.

        Returns:
            (B, 1, H, W) in [0, 1], float32 even under autocast, and the gates of the stages, finest first.
        """
        x: Tensor | None = None
        gates: list[Tensor] = []
        for index in reversed(range(len(fused))):
            x, gate = self.stages[index](fused[index], x, None if noise is None else noise[index])
            if gate is not None:
                gates.insert(0, gate)
        logits = self.head(x).squeeze(2).float()  # (B, 1, h, w)
        return F.interpolate(logits.sigmoid(), size=size, mode="bilinear", align_corners=False), gates
