"""Convolutional blocks of diffusion U-Nets and classifiers' ResNets, on single maps, on clips, and on folded frames."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.layers.normalization import group_norm
from lightning_avsp.layers.resampling import interpolate_bilinear
from lightning_avsp.layers.video_convolution import (
    VideoBatchNorm,
    VideoConvolution,
    fold_frames,
    unfold_frames,
)


class ResNetBlock(nn.Module):
    """Residual block conditioned on the diffusion step.

    GroupNorm, swish, 3x3 convolution; plus a projection of the time vector; GroupNorm, swish, dropout, 3x3
    convolution; plus the input, through a 1x1 convolution where the channels differ. Source: Ho et al. (2020), the
    block of the DDPM U-Net.
    """

    def __init__(self, in_channels: int, out_channels: int, time_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1 = group_norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time = nn.Linear(time_dim, out_channels)
        self.norm2 = group_norm(out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Transform (B, in, H, W) with time vectors (B, time_dim) to (B, out, H, W)."""
        h = self.conv1(F.silu(self.norm1(x)))  # (B, out, H, W)
        h = h + self.time(F.silu(time))[:, :, None, None]
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        return self.shortcut(x) + h


class Downsample(nn.Module):
    """3x3 convolution with a stride, padded at the bottom and the right so that sizes divide exactly."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, in, H, W) to (B, out, H / stride, W / stride)."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Frame-wise enlargement: bilinear resizing, then two dilated 3x3 convolutions with norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()

        def layer(channels: int) -> nn.Sequential:
            # dilation 2: neighbours of a bilinearly doubled map are copies, the next but one is new
            conv = nn.Conv2d(channels, out_channels, 3, padding=2, dilation=2, bias=False)
            return nn.Sequential(conv, group_norm(out_channels), nn.ReLU())

        self.layers = nn.Sequential(layer(in_channels), layer(out_channels))

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Enlarge (B, in, T, h, w) to (B, out, T, H, W) with ``size = (H, W)``."""
        frames = interpolate_bilinear(fold_frames(x), size)  # (B T, in, H, W)
        return unfold_frames(self.layers(frames), x.shape[0])


Axes = Literal["2d", "3d"]
"""Input of a block: maps (B, C, H, W) or clips (B, C, T, H, W)."""


def convolution(axes: Axes, in_channels: int, out_channels: int, kernel: int, stride: int) -> nn.Module:
    """Build a convolution without bias that keeps the size but for the stride; the stride never divides time."""
    if axes == "2d":
        return nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)
    return VideoConvolution(
        in_channels, out_channels, kernel, (1, stride, stride), padding=kernel // 2, bias=False
    )


class TimedResidualBlock(nn.Module):
    """Basic block of a ResNet (He et al., 2016), scaled and shifted by the diffusion step after its first norm.

    Convolution, batch norm, x (1 + gamma) + beta, ReLU, convolution, batch norm; plus the input, through a 1x1
    convolution with batch norm where stride or channels change it; ReLU. Unlike :class:`ResNetBlock`, the block of
    DDPM's U-Net, it normalises over the batch and takes the step as factor and summand.
    """

    def __init__(
        self, in_channels: int, out_channels: int, time_dim: int, stride: int = 1, axes: Axes = "2d"
    ) -> None:
        super().__init__()
        norm = nn.BatchNorm2d if axes == "2d" else VideoBatchNorm
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
        """Transform (B, in, [T,] H, W) with time vectors (B, time_dim) to (B, out, [T,] H / stride, W / stride)."""
        h = self.norm1(self.conv1(x))
        scale, shift = self.time(time).unflatten(1, (-1, *[1] * (h.dim() - 2))).chunk(2, dim=1)
        h = F.relu(h * (1 + scale) + shift)
        return F.relu(self.norm2(self.conv2(h)) + self.shortcut(x))
