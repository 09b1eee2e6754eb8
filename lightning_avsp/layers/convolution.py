"""Convolutional blocks of diffusion U-Nets, on single maps and on frames folded into the batch."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.layers.normalization import group_norm
from lightning_avsp.layers.resampling import resize_bilinear
from lightning_avsp.layers.video_convolution import fold_frames, unfold_frames


class ResNetBlock(nn.Module):
    """Residual block that knows the diffusion step.

    GroupNorm, swish, 3x3 convolution; plus a projection of the time vector; GroupNorm, swish, dropout, 3x3
    convolution; plus the input. Source: Ho et al. (2020), the block of the DDPM U-Net.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output; a 1x1 convolution fits the shortcut where they differ.
        time_dim: Width of the time vector.
        dropout: Probability of dropping an activation before the last convolution.
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
        """(B, in, H, W) and time vectors (B, time_dim) to (B, out, H, W)."""
        h = self.conv1(F.silu(self.norm1(x)))  # (B, out, H, W)
        h = h + self.time(F.silu(time))[:, :, None, None]
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        return self.shortcut(x) + h


class Downsample(nn.Module):
    """3x3 convolution with a stride, padded at the bottom and the right so that sizes divide exactly.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Height and width are divided by it.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) to (B, out, H / stride, W / stride)."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Frame-wise enlargement: bilinear resizing, then two dilated 3x3 convolutions with norm and ReLU.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()

        def layer(channels: int) -> nn.Sequential:
            # dilation 2: neighbours of a bilinearly doubled map are copies, the next but one is new
            conv = nn.Conv2d(channels, out_channels, 3, padding=2, dilation=2, bias=False)
            return nn.Sequential(conv, group_norm(out_channels), nn.ReLU(inplace=True))

        self.layers = nn.Sequential(layer(in_channels), layer(out_channels))

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, in, T, h, w) to (B, out, T, H, W) with ``size = (H, W)``."""
        frames = resize_bilinear(fold_frames(x), size)  # (B T, in, H, W)
        return unfold_frames(self.layers(frames), x.shape[0])
