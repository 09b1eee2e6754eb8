"""Atrous spatial pyramid pooling (ASPP) on clips."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_avsp.layers.video_convolution import VideoBatchNorm, VideoConvolution


class ConvNorm3d(nn.Sequential):
    """3-D convolution with an odd kernel that keeps the size, batch norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: tuple[int, int, int] = (3, 3, 3)) -> None:
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        super().__init__(
            VideoConvolution(in_channels, out_channels, kernel, padding=padding, bias=False),
            VideoBatchNorm(out_channels),
            nn.ReLU(),
        )


class AtrousPyramid3d(nn.Module):
    """Features at a point, around it at growing distances, and of the whole frame, side by side, then mixed.

    Source: Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation" (2017), frame by frame; the
    3x3 convolutions, dilated by ``rates`` cells, are depthwise, each followed by one of 1x1x1, as in DeepLabv3+
    (2018).
    """

    def __init__(self, in_channels: int, out_channels: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.point = ConvNorm3d(in_channels, out_channels, (1, 1, 1))
        self.around = nn.ModuleList()
        for rate in rates:
            spread = VideoConvolution(
                in_channels,
                in_channels,
                (1, 3, 3),
                padding=(0, rate, rate),
                dilation=(1, rate, rate),
                groups=in_channels,
                bias=False,
            )
            self.around.append(nn.Sequential(spread, ConvNorm3d(in_channels, out_channels, (1, 1, 1))))
        # no batch norm: one value per frame is too few for its statistics
        self.whole = nn.Sequential(VideoConvolution(in_channels, out_channels, 1), nn.ReLU())
        self.mix = ConvNorm3d((2 + len(rates)) * out_channels, out_channels, (1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Mix (B, in, T, h, w) to (B, out, T, h, w)."""
        whole = self.whole(x.mean(dim=(-2, -1), keepdim=True)).expand(-1, -1, -1, *x.shape[-2:])
        # one memory format for all that is joined
        whole = whole.contiguous(memory_format=torch.channels_last_3d)
        return self.mix(torch.cat([self.point(x), *(branch(x) for branch in self.around), whole], dim=1))
