"""A small convolutional video encoder in the manner of S3D, for tests and the synthetic corpus."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from lightning_avsp.backbones.encoder import VideoEncoder
from lightning_avsp.backbones.registry import VideoEncoderName, build_video_encoder
from lightning_avsp.backbones.weights import PartReport
from lightning_avsp.layers.normalization import group_norm
from lightning_avsp.layers.video_convolution import VideoConvolution


class SeparableConvolution(nn.Sequential):
    """Convolution in space, then in time (kernel 3), each with group norm and swish: S3D's separable block."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, time_stride: int = 1
    ) -> None:
        pad = kernel // 2
        super().__init__(
            VideoConvolution(
                in_channels, out_channels, (1, kernel, kernel), (1, stride, stride), (0, pad, pad)
            ),
            group_norm(out_channels),
            nn.SiLU(),
            VideoConvolution(out_channels, out_channels, (3, 1, 1), (time_stride, 1, 1), (1, 0, 0)),
            group_norm(out_channels),
            nn.SiLU(),
        )


class TinySeparableEncoder(VideoEncoder):
    """Frames to one scale of 64 channels at an eighth of their size and a quarter of their number.

    S3D's deepest scale has a 32nd of the size; frames of 64x128 would keep 2x4 positions.
    """

    label = "video encoder (tiny)"
    channels = (64,)
    strides = (8,)
    stage_channels = (32, 64, 64)

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            SeparableConvolution(3, 32, kernel=7, stride=4, time_stride=2),
            SeparableConvolution(32, 64, stride=2, time_stride=2),
            # the last stage keeps the size: 8x16 positions at 64x128
            SeparableConvolution(64, 64),
        )

    def forward(self, video: Tensor) -> tuple[Tensor, ...]:
        """Encode frames (B, 3, T, H, W) to one map (B, 64, T / 4, H / 8, W / 8)."""
        return (self.layers(video),)

    def stages(self) -> Sequence[nn.Module]:
        """Return the three blocks."""
        return tuple(self.layers)


def build_frames(
    name: VideoEncoderName, weights: str | None, frozen: bool
) -> tuple[VideoEncoder, PartReport]:
    """Build the encoder of the frames, which returns its deepest scale alone, and report what it started from.

    Any video encoder; ``tiny`` is :class:`TinySeparableEncoder`. Arguments and errors as of
    :func:`build_video_encoder`.
    """
    if name != "tiny":
        return build_video_encoder(name, 1, weights, frozen)
    encoder = TinySeparableEncoder()
    return encoder, encoder.prepare(weights, frozen)
