"""Noise encoder: a residual network that knows the diffusion step (section 3.2.3.2)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.layers.embeddings import TimeEmbedding
from lightning_avsp.layers.timed_residual import Axes, TimedResidualBlock

BLOCKS_PER_STAGE = 2
"""Basic blocks of a stage; fits the printed budget (X2)."""


class NoiseEncoder(nn.Module):
    """Noisy map to features at four scales, each half the size of the one before (Equations 3.18 to 3.23).

    Args:
        channels: Widths of the stages, finest first.
        steps: Time steps T_v that ``3d`` repeats the map over.
        axes: ``2d``: the map is one frame; ``3d``: repeated over time (X2).
    """

    def __init__(self, channels: tuple[int, ...], steps: int, axes: Axes = "2d") -> None:
        super().__init__()
        self.axes: Axes = axes
        self.steps = steps
        self.time = TimeEmbedding(channels[0])
        stages = []
        for previous, width in zip((1, *channels), channels, strict=False):
            blocks = [
                TimedResidualBlock(
                    width if index else previous, width, self.time.out_dim, 1 if index else 2, axes
                )
                for index in range(BLOCKS_PER_STAGE)
            ]
            stages.append(nn.ModuleList(blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, noisy_map: Tensor, t: Tensor, size: tuple[int, int]) -> list[Tensor]:
        """Encode a noisy map.

        Args:
            noisy_map: (B, 1, H, W); brought to twice ``size`` if it has another size (X1).
            t: Diffusion steps (B,).
            size: Height and width of the finest features.

        Returns:
            Features (B, N_i, T, h_i, w_i), finest first; T is 1 for ``2d``.
        """
        wanted = (2 * size[0], 2 * size[1])
        if tuple(noisy_map.shape[-2:]) != wanted:
            noisy_map = F.interpolate(noisy_map, size=wanted, mode="bilinear", antialias=True)
        time = self.time(t)
        x = noisy_map
        if self.axes == "3d":
            x = x.unsqueeze(2).expand(-1, -1, self.steps, -1, -1)
        features = []
        for stage in self.stages:
            assert isinstance(stage, nn.ModuleList)
            for block in stage:
                x = block(x, time)
            features.append(x if self.axes == "3d" else x.unsqueeze(2))
        return features
