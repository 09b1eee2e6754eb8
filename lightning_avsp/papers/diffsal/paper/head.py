"""Prediction head: one map from what the stages hand over."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.layers.normalization import group_norm
from lightning_avsp.layers.resampling import resize_bilinear


class PredictionHead(nn.Module):
    """Sum of the stages' maps at twice the finest size, 3x3 convolution, 1x1 convolution, sigmoid, full size (D7).

    Args:
        in_channels: Channels of the stages' maps.
        channels: Channels between the two convolutions.
        bias: Start of the last bias: the sigmoid of it is the level of the first predicted maps.
    """

    def __init__(self, in_channels: int, channels: int, bias: float = -2.5) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.norm = group_norm(channels)
        self.out = nn.Conv2d(channels, 1, 1)
        # Saliency maps are almost empty; starting there spares the first hundred steps (D15)
        nn.init.constant_(self.out.bias, bias)  # type: ignore[arg-type]

    def forward(self, maps: list[Tensor], size: tuple[int, int], dtype: torch.dtype) -> Tensor:
        """Predict the map.

        Args:
            maps: Outputs of the stages (B, in, h_i, w_i), coarse to fine.
            size: H and W of the map.
            dtype: Type of the map; under autocast the noisy map's float32, so that no step rounds it to bfloat16.

        Returns:
            (B, 1, H, W) in [0, 1].
        """
        total = maps[0]
        for finer in maps[1:]:
            total = resize_bilinear(total, (finer.shape[-2], finer.shape[-1])) + finer
        total = resize_bilinear(total, (size[0] // 2, size[1] // 2))  # (B, in, H/2, W/2)
        logits = self.out(F.relu(self.norm(self.conv(total))))  # (B, 1, H/2, W/2)
        return resize_bilinear(logits.to(dtype).sigmoid(), size)
