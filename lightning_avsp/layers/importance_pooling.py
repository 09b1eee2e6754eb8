"""Pooling weighted by a learned importance."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.layers.normalization import ClipNorm
from lightning_avsp.layers.video_convolution import VideoConvolution, unfold_frames

SHARPNESS = 12.0
"""Largest logarithm of the ratio of two importances, as the paper's released networks."""


class LocalImportancePooling3d(nn.Module):
    """Local importance pooling (LIP) of a clip: a mean weighted by a learned importance of each channel.

    Source: Gao et al., "LIP: Local Importance-based Pooling" (ICCV 2019), Equation 6, with the bounded logits of its
    section 4.1 on instance-normalised features of a depthwise convolution of each frame.
    """

    def __init__(self, channels: int, space_stride: int = 1) -> None:
        super().__init__()
        self.space_stride = space_stride
        self.logits = nn.Sequential(
            VideoConvolution(channels, channels, (1, 3, 3), padding=(0, 1, 1), groups=channels, bias=False),
            ClipNorm(channels),
        )

    def forward(self, x: Tensor, time_stride: int = 1) -> Tensor:
        """Pool (B, C, T, h, w) to (B, C, T / time_stride, ceil(h / space_stride), ceil(w / space_stride))."""
        # minus 1: only ratios count; an importance of at most 1 fits into half precision, its logarithm does not
        importance = torch.exp(SHARPNESS * (self.logits(x).sigmoid() - 1)).to(x.dtype)

        def pool(values: Tensor) -> Tensor:
            steps = values.movedim(1, -1)  # (B, T, h, w, C)
            if time_stride > 1:
                steps = steps.unflatten(1, (-1, time_stride)).mean(dim=2)  # (B, T', h, w, C)
            frames = steps.flatten(0, 1).movedim(-1, 1)  # (B T', C, h, w)
            return unfold_frames(F.avg_pool2d(frames, 3, self.space_stride, padding=1), x.shape[0])

        return pool(x * importance) / pool(importance)
