"""The four scales X^0 to X^3 of AVRSP: ASPP and local importance pooling behind each tap of the video encoder."""

from __future__ import annotations

from torch import Tensor, nn

from lightning_avsp.errors import InputError
from lightning_avsp.layers.atrous_pyramid import AtrousPyramid3d
from lightning_avsp.layers.importance_pooling import LocalImportancePooling3d

RATES = ((1, 2, 3), (2, 4, 6), (4, 8, 12), (6, 12, 18))
"""Dilations at each scale, X^0 first: about the same part of the frame everywhere; the paper gives none."""


class Scale(nn.Module):
    """One tap of the video encoder brought to the common width and number of time steps.

    Args:
        in_channels: Channels of the tap.
        channels: Channels of the result.
        rates: Dilations of the ASPP, in cells.
        steps: Time steps of the result.
        space_stride: Height and width are divided by it.
    """

    def __init__(
        self, in_channels: int, channels: int, rates: tuple[int, ...], steps: int, space_stride: int
    ) -> None:
        super().__init__()
        self.steps = steps
        self.pyramid = AtrousPyramid3d(in_channels, channels, rates)
        self.pool = LocalImportancePooling3d(channels, space_stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, T, h, w) to (B, C, steps, h, w), with T a multiple of the steps.

        Raises:
            InputError: If T is not.
        """
        if x.shape[2] % self.steps:
            raise InputError(
                f"the video encoder gives {x.shape[2]} time steps, which {self.steps} do not divide; "
                "give clips of clip_frames frames"
            )
        return self.pool(self.pyramid(x), x.shape[2] // self.steps)
