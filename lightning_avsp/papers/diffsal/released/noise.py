"""Noise encoder of the released DiffSal: the residual blocks of DDPM (Ho et al., 2020) on the noisy map."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from lightning_avsp.layers.convolution import Downsample, ResNetBlock


class NoiseEncoder(nn.Module):
    """Features of the noisy map at all scales but the finest: three residual stages; the paper says four.

    Args:
        channels: Widths of the video features, deepest first; the noise features take all but the last.
        time_width: Width of the time embedding.
        dropout: Dropout inside the residual blocks.
    """

    def __init__(self, channels: Sequence[int], time_width: int, dropout: float = 0.1) -> None:
        super().__init__()
        widths = tuple(reversed(channels))
        self.stem = nn.Conv2d(1, widths[0], kernel_size=3, padding=1)
        self.down = Downsample(widths[0], widths[0], stride=4)
        self.blocks = nn.ModuleList()
        self.downs = nn.ModuleList()
        for in_width, width in itertools.pairwise(widths):
            self.blocks.append(ResNetBlock(in_width, width, time_width, dropout))
            self.downs.append(Downsample(width, width))

    def forward(self, noisy_map: Tensor, time: Tensor) -> tuple[Tensor, ...]:
        """Noisy map (B, 1, H, W) and time embedding (B, D) to features (B, C, h, w), deepest first."""
        x = self.down(self.stem(noisy_map))  # (B, C, H/4, W/4)
        features = []
        for block, down in zip(self.blocks, self.downs, strict=True):
            x = down(block(x, time))  # (B, 2C, h/2, w/2)
            features.append(x)
        return tuple(reversed(features))
