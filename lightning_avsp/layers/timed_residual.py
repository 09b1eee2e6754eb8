"""Residual blocks of a classifier's ResNet that know the diffusion step, on maps or on clips."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.layers.video_convolution import VideoConvolution

Axes = Literal["2d", "3d"]
"""Whether a block works on maps (B, C, H, W) or on clips (B, C, T, H, W)."""


def convolution(axes: Axes, in_channels: int, out_channels: int, kernel: int, stride: int) -> nn.Module:
    """Convolution without bias that keeps the size but for the stride; the stride never divides time."""
    if axes == "2d":
        return nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)
    return VideoConvolution(
        in_channels, out_channels, kernel, (1, stride, stride), padding=kernel // 2, bias=False
    )


class TimedResidualBlock(nn.Module):
    """Basic block of a ResNet (He et al., 2016), scaled and shifted by the diffusion step after its first norm.

    Convolution, batch norm, x (1 + gamma) + beta, ReLU, convolution, batch norm; plus the input; ReLU. Unlike
    :class:`~lightning_avsp.layers.convolution.ResNetBlock`, the block of DDPM's U-Net, it normalises over the batch and
    takes the step as factor and summand.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        time_dim: Width of the time vector.
        stride: Height and width are divided by it; where it or the channels change, a 1x1 convolution with batch
            norm fits the shortcut.
        axes: On maps or on clips.
    """

    def __init__(
        self, in_channels: int, out_channels: int, time_dim: int, stride: int = 1, axes: Axes = "2d"
    ) -> None:
        super().__init__()
        norm = nn.BatchNorm2d if axes == "2d" else nn.BatchNorm3d
        self.axes: Axes = axes
        self.conv1 = convolution(axes, in_channels, out_channels, 3, stride)
        self.norm1 = norm(out_channels)
        self.time = nn.Linear(time_dim, 2 * out_channels)
        self.conv2 = convolution(axes, out_channels, out_channels, 3, 1)
        self.norm2 = norm(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                convolution(axes, in_channels, out_channels, 1, stride), norm(out_channels)
            )

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(B, in, [T,] H, W) and time vectors (B, time_dim) to (B, out, [T,] H / stride, W / stride)."""
        h = self.norm1(self.conv1(x))
        scale, shift = self.time(time).unflatten(1, (-1, *[1] * (h.dim() - 2))).chunk(2, dim=1)
        h = F.relu(h * (1 + scale) + shift)
        return F.relu(self.norm2(self.conv2(h)) + self.shortcut(x))
