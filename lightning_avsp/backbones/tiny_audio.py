"""A small audio encoder for tests and the demo."""

from __future__ import annotations

from torch import Tensor, nn

from lightning_avsp.backbones.encoder import AudioEncoder
from lightning_avsp.layers.normalization import group_norm


class TinyAudioEncoder(AudioEncoder):
    """Log-mel slice to features at a 16th of its size: four strided convolutions, each with norm and swish.

    The mel axis is only divided, never averaged away: a mean over it would lose the pitch.

    Args:
        channels: Channels after each convolution.
    """

    label = "audio encoder (tiny)"

    def __init__(self, channels: tuple[int, int, int, int] = (16, 32, 48, 64)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        previous = 1
        for width in channels:
            layers += [nn.Conv2d(previous, width, 3, stride=2, padding=1), group_norm(width), nn.SiLU()]
            previous = width
        self.layers = nn.Sequential(*layers)
        self.out_channels = channels[-1]

    def forward(self, slices: Tensor) -> Tensor:
        """Encode slices (N, 1, H, W) to (N, C, H / 16, W / 16)."""
        return self.layers(slices)
