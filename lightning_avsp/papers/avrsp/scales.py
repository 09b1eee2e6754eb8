"""The scales of AVRSP: pooling pyramid, feature synergy (MS), regulator gates (MRG), and the decoder (III-D)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_avsp.errors import InputError
from lightning_avsp.layers.atrous_pyramid import AtrousPyramid3d, ConvNorm3d
from lightning_avsp.layers.importance_pooling import LocalImportancePooling3d
from lightning_avsp.layers.resampling import interpolate_bilinear
from lightning_avsp.layers.video_convolution import VideoConvolution, fold_frames, unfold_frames
from lightning_avsp.papers.avrsp.relevance import Exchange, GateForm

DILATIONS = ((1, 2, 3), (2, 4, 6), (4, 8, 12), (6, 12, 18))
"""Dilations at each scale, X^0 first: about the same part of the frame everywhere; the paper gives none."""


class Scale(nn.Module):
    """One tap of the video encoder brought to ``channels`` and ``steps`` time steps.

    ASPP with dilations in cells (D2), then local importance pooling, which divides height and width by
    ``space_stride`` (D3).
    """

    def __init__(
        self, in_channels: int, channels: int, rates: tuple[int, ...], steps: int, space_stride: int
    ) -> None:
        super().__init__()
        self.steps = steps
        self.pyramid = AtrousPyramid3d(in_channels, channels, rates)
        self.pool = LocalImportancePooling3d(channels, space_stride)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, in, T, h, w) to (B, C, steps, h, w), with T a multiple of the steps.

        Raises:
            InputError: If T is not.
        """
        if x.shape[2] % self.steps:
            raise InputError(
                f"the video encoder gives {x.shape[2]} time steps, which {self.steps} do not divide; "
                "give clips of clip_frames frames"
            )
        # every scale is brought to the same 4 steps (D3)
        return self.pool(self.pyramid(x), x.shape[2] // self.steps)


NEIGHBOURS = ("low", "middle", "high")
"""Resolutions that meet, from the coarsest."""


def resize_space(x: Tensor, like: Tensor) -> Tensor:
    """Resize (B, C, T, h, w) bilinearly to the height and width of another map with as many time steps."""
    return unfold_frames(interpolate_bilinear(fold_frames(x), (like.shape[-2], like.shape[-1])), x.shape[0])


class Synergy(nn.Module):
    """One scale enriched by its neighbours, of which the coarsest and the finest scale lack one (D9).

    Upsampling and downsampling are a resizing and a 3-D convolution; each convolution has a batch norm and a ReLU
    (D8). ``exchange``: whether in Equation 10 the coarsest and the finest meet too.
    """

    def __init__(
        self, channels: int, has_low: bool = True, has_high: bool = True, exchange: Exchange = "adjacent"
    ) -> None:
        super().__init__()
        self.resolutions = [
            level for level in NEIGHBOURS if level == "middle" or (has_low if level == "low" else has_high)
        ]
        self.first = nn.ModuleDict({level: ConvNorm3d(channels, channels) for level in self.resolutions})
        self.second = nn.ModuleDict(
            {
                f"{source}_to_{level}": ConvNorm3d(channels, channels)
                for level in self.resolutions
                for source in self.resolutions
                if exchange == "full" or abs(NEIGHBOURS.index(level) - NEIGHBOURS.index(source)) <= 1
            }
        )
        self.third = nn.ModuleDict({level: ConvNorm3d(channels, channels) for level in self.resolutions})

    def forward(self, middle: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
        """Enrich (B, C, T, h, w) by its neighbours (B, C, T, h / 2, w / 2) and (B, C, T, 2 h, 2 w), if any."""
        given = {"low": low, "middle": middle, "high": high}
        x: dict[str, Tensor] = {}
        for level in self.resolutions:
            features = given[level]
            assert features is not None, level
            x[level] = self.first[level](features)  # Equation 9
        y: dict[str, Tensor] = {}
        for name, conv in self.second.items():  # Equation 10
            source, level = name.split("_to_")
            term = conv(resize_space(x[source], x[level]))  # resized, then convolved (D8)
            y[level] = y[level] + term if level in y else term
        for level, conv in self.third.items():  # Equations 11 and 12
            middle = middle + conv(resize_space(y[level], middle))
        return middle


class RegulatorGate(nn.Module):
    """Gate of the fused features at a scale, computed from them and the visual features there.

    ``channel``: the mean over time and space of the gate, as Equation 14; ``spatial``: the gate itself (X14).
    """

    def __init__(self, channels: int, form: GateForm = "channel") -> None:
        super().__init__()
        self.form = form
        self.gate = VideoConvolution(2 * channels, channels, 3, padding=1)
        self.conv = ConvNorm3d(channels, channels)

    def forward(self, fused: Tensor, visual: Tensor) -> tuple[Tensor, Tensor]:
        """Gate fused features of a coarser scale (B, C, T, h', w') by visual features of this one (B, C, T, h, w).

        Returns the gated features, and the gate in [0, 1] before its mean, both (B, C, T, h, w).
        """
        # l = 0 needs no upsampling (X3)
        fused = resize_space(fused, visual)  # Equation 13
        gate = self.gate(torch.cat([fused, visual], dim=1)).sigmoid()
        opened = gate.mean(dim=(2, 3, 4), keepdim=True) if self.form == "channel" else gate  # Equation 14
        return self.conv(opened * fused), gate  # Equation 15


START = -2.5
"""Bias of the last layer: an untrained network starts near an empty map, where the sigmoid is almost exponential."""


class MapDecoder(nn.Module):
    """Four blocks of a convolution and an upsampling, and a head that sums over ``steps`` of time (D11).

    ``inputs``: maps from each scale besides the block before, coarse to fine: 2 with gated fused features, 1 without.
    """

    def __init__(self, channels: int, inputs: tuple[int, int, int], steps: int) -> None:
        super().__init__()
        self.entry = ConvNorm3d(channels, channels)
        self.blocks = nn.ModuleList(ConvNorm3d((1 + count) * channels, channels) for count in inputs)
        self.head = VideoConvolution(channels, 1, (steps, 3, 3), padding=(0, 1, 1))
        nn.init.constant_(self.head.bias, START) if self.head.bias is not None else None

    def forward(self, fused: Tensor, scales: list[list[Tensor]], size: tuple[int, int]) -> Tensor:
        """Predict the map of a clip, (B, 1, H, W) in [0, 1], float32 even under autocast.

        Args:
            fused: Fused features of the coarsest scale (B, C, T, h, w).
            scales: Maps of each finer scale, coarse to fine: visual features, then gated fused ones.
            size: Height and width of the map.
        """
        x = self.entry(fused)
        for block, handed in zip(self.blocks, scales, strict=True):
            x = block(torch.cat([resize_space(x, handed[0]), *handed], dim=1))
        frames = interpolate_bilinear(fold_frames(x), (2 * x.shape[3], 2 * x.shape[4]))
        logits = self.head(unfold_frames(frames, x.shape[0])).squeeze(2)  # (B, 1, 2 h, 2 w)
        return interpolate_bilinear(logits.float(), size).sigmoid()
