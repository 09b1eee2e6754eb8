"""The decoder of AVRSP, section III-D."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_avsp.layers.atrous_pyramid import ConvNorm3d
from lightning_avsp.layers.resampling import interpolate_bilinear
from lightning_avsp.layers.video_convolution import VideoConvolution, fold_frames, unfold_frames
from lightning_avsp.papers.avrsp.scales import resize_space

START = -2.5
"""Bias of the last layer: an untrained network starts near an empty map, where the sigmoid is almost exponential."""


class MapDecoder(nn.Module):
    """Four blocks of a convolution and an upsampling, and a head that sums over ``steps`` of time (D11).

    ``inputs``: maps from each scale besides the block before, coarse to fine: 2 with gated fused features, 1 without.
    """

    def __init__(self, channels: int, inputs: tuple[int, int, int], steps: int) -> None:
        super().__init__()
        self.entry = ConvNorm3d(channels, channels)
        self.blocks = nn.ModuleList(ConvNorm3d((1 + count) * channels, channels) for count in inputs)
        self.head = VideoConvolution(channels, 1, (steps, 3, 3), padding=(0, 1, 1))
        nn.init.constant_(self.head.bias, START) if self.head.bias is not None else None

    def forward(self, fused: Tensor, scales: list[list[Tensor]], size: tuple[int, int]) -> Tensor:
        """Predict the map of a clip, (B, 1, H, W) in [0, 1], float32 even under autocast.

        Args:
            fused: Fused features of the coarsest scale (B, C, T, h, w).
            scales: Maps of each finer scale, coarse to fine: visual features, then gated fused ones.
            size: Height and width of the map.
        """
        x = self.entry(fused)
        for block, handed in zip(self.blocks, scales, strict=True):
            x = block(torch.cat([resize_space(x, handed[0]), *handed], dim=1))
        frames = interpolate_bilinear(fold_frames(x), (2 * x.shape[3], 2 * x.shape[4]))
        logits = self.head(unfold_frames(frames, x.shape[0])).squeeze(2)  # (B, 1, 2 h, 2 w)
        return interpolate_bilinear(logits.float(), size).sigmoid()
