"""A small audio encoder for tests and the demo."""

from __future__ import annotations

from torch import Tensor, nn

from lightning_avsp.backbones.encoder import Encoder
from lightning_avsp.backbones.weights import PartReport, load_strict, read_state_dict
from lightning_avsp.layers.normalization import group_norm


class TinyAudioEncoder(Encoder):
    """Log-mel slice to features at a 16th of its size: four strided convolutions, each with norm and swish.

    The mel axis is only divided, never averaged away: a mean over it would lose the pitch.

    Args:
        channels: Channels after each convolution.
    """

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
        """(N, 1, H, W) to (N, C, H / 16, W / 16)."""
        return self.layers(slices)

    def load(self, weights: str) -> PartReport:
        """Load weights saved from this class.

        Args:
            weights: Path of the file.

        Raises:
            InputError: If the file is missing or does not fit.
        """
        return load_strict(self, read_state_dict(weights), "audio encoder (tiny)", weights)
