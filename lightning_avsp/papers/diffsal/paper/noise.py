"""Feature encoding of the noisy map: ResNet stages that give one feature map per scale (Section 4.2)."""

from __future__ import annotations

from torch import Tensor, nn

from lightning_avsp.layers.convolution import Downsample, ResNetBlock
from lightning_avsp.layers.embeddings import TimeEmbedding


class NoiseEncoder(nn.Module):
    """Noisy map and diffusion step to features f_s^1 ... f_s^N, deepest first (Section 4.2, four ResNet stages).

    The map is brought to a quarter of its size; then each stage is one ResNet block, conditioned on the step, that
    widens the channels, and a strided convolution between the stages halves the size. The step enters the network
    here only (D4).

    Args:
        channels: Channels at strides 4 * 2^(N-1) ... 8, 4: deepest first, as the video features.
        num_scales: How many of them, from the deepest, are returned.
        dropout: Dropout inside the ResNet blocks.
    """

    def __init__(self, channels: tuple[int, ...], num_scales: int, dropout: float = 0.1) -> None:
        super().__init__()
        widths = channels[::-1]  # finest first: the way the map goes
        self.num_scales = num_scales
        self.time = TimeEmbedding(widths[0])
        self.conv_in = nn.Conv2d(1, widths[0], 3, padding=1)
        self.down_in = Downsample(widths[0], widths[0], stride=4)
        time_dim = self.time.out_dim
        self.stages = nn.ModuleList(
            ResNetBlock(previous, width, time_dim, dropout)
            for previous, width in zip((widths[0], *widths), widths, strict=False)
        )
        self.downs = nn.ModuleList(Downsample(width, width) for width in widths[:-1])

    def forward(self, noisy_map: Tensor, t: Tensor) -> list[Tensor]:
        """Map (B, 1, H, W) and steps (B,) to maps (B, C_i, H / s_i, W / s_i), deepest first."""
        time = self.time(t)  # (B, 4 C)
        x = self.down_in(self.conv_in(noisy_map))  # (B, C, H/4, W/4)
        features = []
        for index, stage in enumerate(self.stages):
            if index:
                x = self.downs[index - 1](x)
            x = stage(x, time)
            features.append(x)
        return features[::-1][: self.num_scales]
