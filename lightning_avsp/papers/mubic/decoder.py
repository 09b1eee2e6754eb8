"""Diffusion decoder: noise encoder, conditional denoising modules, head, number of steps (section 3.2.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.layers.attention import EfficientCrossAttention, attention_heads, spatial_grid
from lightning_avsp.layers.convolution import Axes, TimedResidualBlock
from lightning_avsp.layers.embeddings import TimeEmbedding
from lightning_avsp.layers.video_convolution import VideoBatchNorm, VideoConvolution
from lightning_avsp.papers.mubic.interaction import DecoderGate, Widths

BLOCKS_PER_STAGE = 2
"""Basic blocks of a stage; fits the printed budget (X2)."""


class StepNoiseEncoder(nn.Module):
    """Noisy map to features at four scales, each half the size of the one before (Equations 3.18 to 3.23).

    ``axes``: ``2d``: the map is one frame; ``3d``: it is repeated over ``steps`` of time (X2). ``channels`` finest
    first.
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


class DecoderFusion(nn.Module):
    """Context of a decoder stage: fused features and the deeper stage's output, mixed by a gate (X9).

    ``equations``: 3.44 to 3.46, each map convolved first; ``algorithm``: line 26 of Algorithm 1, the gate from their
    sum, in the deepest stage too, where the deeper map is zero (X10); ``concat``: side by side through one convolution,
    no gate.
    """

    def __init__(self, channels: int, kind: DecoderGate) -> None:
        super().__init__()
        self.kind: DecoderGate = kind
        if kind == "equations":
            self.mix_fused = VideoConvolution(channels, channels, 1)
            self.mix_deeper = VideoConvolution(channels, channels, 1)
        self.layers = VideoConvolution(channels if kind == "algorithm" else 2 * channels, channels, 1)

    def forward(self, fused: Tensor, deeper: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mix two maps (B, C, T, h, w); also return the gate (1: all fused features) if there is one."""
        if self.kind == "equations":
            fused, deeper = self.mix_fused(fused), self.mix_deeper(deeper)
        x = self.layers(fused + deeper if self.kind == "algorithm" else torch.cat([fused, deeper], dim=1))
        if self.kind == "concat":
            return x, None
        gate = x.sigmoid()
        return deeper + gate * (fused - deeper), gate


class ConditionalDenoising(nn.Module):
    """One conditional denoising module (CDM): context, attention of the noise to it, convolution over time.

    ``index`` is 0 for the finest scale to 3 for the deepest. Without ``denoises`` there are no noise features and the
    context goes straight to the convolution (table 4.3, "w/o diffusion decoder"). ``compressed``: keys and values as in
    the fusion; else all positions, as Equation 3.47 (X40).
    """

    def __init__(
        self, index: int, widths: Widths, gate: DecoderGate, denoises: bool, compressed: bool = True
    ) -> None:
        super().__init__()
        channels = widths.channels[index]
        deepest = index == len(widths.channels) - 1
        self.enlarge: nn.Module | None = None
        if not deepest:
            kernel = (1, 2, 2)
            # in space only: all stages have T_v steps
            self.enlarge = nn.ConvTranspose3d(widths.channels[index + 1], channels, kernel, stride=kernel)
        # the deepest stage has nothing below it; Algorithm 1 gates it with zeros (X10)
        self.fusion = DecoderFusion(channels, gate) if gate == "algorithm" or not deepest else None
        self.attention: nn.Module | None = None
        if denoises:
            width = widths.noise[index]
            self.time = nn.Parameter(torch.zeros(1, width, widths.steps, 1, 1))
            nn.init.trunc_normal_(self.time, std=0.02)
            self.attention = EfficientCrossAttention(
                channels,
                widths.factors[index] if compressed else 1,
                attention_heads(channels, widths.head_dim),
                query_channels=width,
            )
        self.temporal = nn.Sequential(
            VideoConvolution(channels, channels, (3, 1, 1), padding=(1, 0, 0), bias=False),
            VideoBatchNorm(channels),
            nn.ReLU(),
        )

    def forward(
        self, fused: Tensor, deeper: Tensor | None, noise: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Refine one scale; also return the gate, of the output's shape, if there is one.

        Args:
            fused: Fused features (B, C, T, h, w).
            deeper: Output of the deeper stage (B, C', T, h / 2, w / 2); None in the deepest.
            noise: Noise features (B, N, 1 or T, h, w); None without diffusion.
        """
        context, gate = fused, None
        if self.fusion is not None:
            below = torch.zeros_like(fused) if self.enlarge is None else self.enlarge(deeper)
            context, gate = self.fusion(fused, below)
        x = context
        if self.attention is not None and noise is not None:
            # one frame of noise is seen by all steps, which only their learned position tells apart (X3)
            query = (noise + self.time.to(noise.dtype)).flatten(2).transpose(1, 2)  # (B, T h w, N)
            # the residual carries where things are: without it all positions would come from noise (X35)
            x = x + spatial_grid(self.attention(query, context), context.shape[2:])
        return self.temporal(x), gate


class DenoisingDecoder(nn.Module):
    """From fused features, and noise features if it ``denoises``, to the map.

    ``compressed`` as of :class:`ConditionalDenoising`.
    """

    def __init__(self, widths: Widths, gate: DecoderGate, denoises: bool, compressed: bool = True) -> None:
        super().__init__()
        scales = range(len(widths.channels))
        self.stages = nn.ModuleList(
            ConditionalDenoising(i, widths, gate, denoises, compressed) for i in scales
        )
        self.head = VideoConvolution(widths.channels[0], 1, (widths.steps, 3, 3), padding=(0, 1, 1))
        # Saliency maps are almost empty; starting there spares the first hundred steps (X36)
        nn.init.constant_(self.head.bias, -2.5)  # type: ignore[arg-type]

    def forward(
        self, fused: Sequence[Tensor], noise: Sequence[Tensor] | None, size: tuple[int, int]
    ) -> tuple[Tensor, list[Tensor]]:
        """Predict the map, (B, 1, H, W) in [0, 1], float32 even under autocast; also return the stages' gates.

        Args:
            fused: Fused features (B, C_i, T, h_i, w_i), finest first, as the gates.
            noise: Noise features of the same scales, or None.
            size: H and W of the map.
        """
        x: Tensor | None = None
        gates: list[Tensor] = []
        for index in reversed(range(len(fused))):
            x, gate = self.stages[index](fused[index], x, None if noise is None else noise[index])
            if gate is not None:
                gates.insert(0, gate)
        logits = self.head(x).squeeze(2).float()  # (B, 1, h, w)
        return F.interpolate(logits.sigmoid(), size=size, mode="bilinear", align_corners=False), gates


def effective_share(features: Tensor) -> Tensor:
    """Compute the share of positions that the energy of features is effectively spread over (X18).

    It is exp(entropy) / positions, the entropy that of the energy above its lowest: norms leave much the same energy
    everywhere, beside which the entropy of all of it is hardly below its largest value.

    (B, C, T, h, w) to (B,): 1 / positions if all lies at one position and time, 1 if it is the same everywhere.
    """
    energy = features.float().square().sum(dim=1).flatten(1)  # (B, T h w)
    energy = energy - energy.amin(dim=1, keepdim=True)
    total = energy.sum(dim=1, keepdim=True)
    p = torch.where(total > 0, energy / total, 1 / energy.shape[1])
    return torch.special.entr(p).sum(dim=1).exp() / p.shape[1]


def choose_steps(features: Tensor, fewest: int = 2, most: int = 8) -> Tensor:
    """Choose the number of steps of each clip, int64 (B,), by the finest fused features f_av,1 (B, C, T, h, w).

    It stands for N = round(MLP(entropy)) of Algorithm 2 and is **untrained**: rounding has no gradient and no loss of
    the thesis reaches that network. A line leads from ``fewest`` steps at no share of the positions
    (:func:`effective_share`) to ``most`` at all of them (X18).
    """
    return (fewest + (most - fewest) * effective_share(features)).round().long()
