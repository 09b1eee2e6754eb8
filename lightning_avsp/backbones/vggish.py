"""VGGish audio features (Hershey et al., ICASSP 2017, arXiv 1609.09430), without the embedding head.

Written from the paper's description of the network: a VGG of configuration A cut to six convolutions.
"""

from __future__ import annotations

from torch import Tensor, nn

from lightning_avsp.backbones.encoder import AudioEncoder
from lightning_avsp.backbones.published import WeightSource
from lightning_avsp.errors import InputError

CONVOLUTIONS_PER_STAGE = (1, 1, 2, 2)
"""3x3 convolutions before each of the four 2x2 max poolings."""


class FirstConvolution(nn.Conv2d):
    """Convolution of one channel whose result's channels lie last in memory, and so those of all layers behind it."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (N, 1, H, W) to (N, C, H, W)."""
        # A single channel has no order of its own: its stride is set to one, as if it were the last of several.
        # Channels first, max pooling takes six times as long on the CPU, and convolutions reorder their maps.
        return super().forward(input.squeeze(1).unsqueeze(-1).movedim(-1, 1))


class VGGish(AudioEncoder):
    """Features of log-mel slices, 16 times smaller in time and in mel.

    Args:
        channels: Width of each of the four stages; the published network has (64, 128, 256, 512): 4,499,712 parameters.
        frozen: Start frozen; the released DiffSal runs it without gradient.

    Raises:
        InputError: If there is not one width per stage.
    """

    strides: tuple[int, int] = (16, 16)
    label = "audio encoder (vggish)"
    unused_weights = ("embeddings.",)
    weight_source = WeightSource(
        key="vggish",
        name="torchvggish AudioSet",
        url="https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth",
        licence="Apache-2.0",
        megabytes=275.2,
    )

    def __init__(self, channels: tuple[int, ...] = (64, 128, 256, 512), frozen: bool = True) -> None:
        super().__init__()
        if len(channels) != len(CONVOLUTIONS_PER_STAGE):
            raise InputError(
                f"VGGish has 4 stages, but {len(channels)} widths were given: {channels}; give one for each"
            )
        layers: list[nn.Module] = []
        width = 1
        for count, stage_width in zip(CONVOLUTIONS_PER_STAGE, channels, strict=True):
            for _ in range(count):
                kind = nn.Conv2d if layers else FirstConvolution
                layers += [kind(width, stage_width, kernel_size=3, padding=1), nn.ReLU(inplace=True)]
                width = stage_width
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        self.features = nn.Sequential(*layers)
        self.out_channels = width
        if frozen:  # as the released DiffSal runs it
            self.freeze()

    def forward(self, slices: Tensor) -> Tensor:
        """Encode log-mel slices (N, 1, H, W), H frames of time, W mel bands, to (N, C, H/16, W/16), rounded down."""
        return self.features(slices)
