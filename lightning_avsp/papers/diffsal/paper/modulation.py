"""Multi-modal attention modulation (MAM), the decoding stage of the Saliency-UNet (Section 4.2)."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.layers.attention import (
    FeedForward,
    SpatialCompression,
    multi_head_attention,
    spatial_grid,
)
from lightning_avsp.layers.convolution import Upsample
from lightning_avsp.layers.normalization import ChannelNorm, LayerNorm, group_norm
from lightning_avsp.layers.sound_product import ProductResidual
from lightning_avsp.layers.video_convolution import VideoConvolution
from lightning_avsp.papers.diffsal.paper.interaction import INTERACTIONS, Interaction

Attention = Literal["eca", "standard", "convolution"]


class SpatioTemporalCrossAttention(nn.Module):
    """Efficient spatio-temporal cross-attention, ECA (Equations 7 and 8), as a pre-norm block with an MLP (D1).

    Every token of every time step asks; keys and values are compressed in space, never in time (D2).

    Args:
        channels: Width of the tokens.
        factor: Compression 2^i of height and width; 1 is the standard cross-attention of Table 4.
        heads: Number of attention heads.
    """

    def __init__(self, channels: int, factor: int, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = LayerNorm(channels)
        self.compress_key = SpatialCompression(channels, factor)
        self.compress_value = SpatialCompression(channels, factor)
        self.query = nn.Linear(channels, channels)
        # no bias: it would shift all of a query's scores alike, which softmax ignores
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)
        self.norm2 = LayerNorm(channels)
        self.feed_forward = FeedForward(channels, 2 * channels)

    def forward(self, x: Tensor, interaction: Tensor | None) -> Tensor:
        """Features (B, C, T, h, w), with f_avs (the same shape) as keys or, if None, the features themselves."""
        size = x.shape[2:]
        tokens = x.flatten(2).transpose(1, 2)  # (B, T h w, C)
        normed = self.norm1(tokens)
        values = spatial_grid(normed, size)  # (B, C, T, h, w)
        key = self.key(self.compress_key(values if interaction is None else interaction))  # (B, M, C)
        value = self.value(self.compress_value(values))  # (B, M, C)
        tokens = tokens + self.out(multi_head_attention(self.query(normed), key, value, self.heads))
        tokens = tokens + self.feed_forward(self.norm2(tokens))
        return spatial_grid(tokens, size)


class ConvolutionBlock(nn.Module):
    """Table 1's baseline: a pure convolution, 3x3 in space and 3 in time, where MAM has its attention (D12).

    Args:
        channels: Channels of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.space = VideoConvolution(channels, channels, (1, 3, 3), padding=(0, 1, 1))
        self.time = VideoConvolution(channels, channels, (3, 1, 1), padding=(1, 0, 0))

    def forward(self, x: Tensor, interaction: Tensor | None) -> Tensor:
        """Features (B, C, T, h, w), plus f_avs of the same shape if there is any, to the same shape."""
        h = x if interaction is None else x + interaction
        return x + self.time(F.gelu(self.space(self.norm(h))))


class ModulationStage(nn.Module):
    """One MAM stage: upsampling (D5), interaction and attention, temporal convolution (D6).

    Args:
        channels: Channels C_i of the scale.
        previous_channels: Channels of the stage before; None for the first (deepest) stage, which has none.
        index: i of the paper, 1 for the deepest stage: keys and values are compressed by 2^i.
        steps: Time steps T_v + 1 that the temporal convolution reads, the noise among them.
        out_channels: Channels of the temporal convolution's output.
        attention: ECA, standard cross-attention, or convolution.
        interaction: How sound meets sight.
        audio_channels: Channels of the audio features; None for a network without sound.
        mel_bins: Width of the audio features (``mim_residual`` only).
    """

    def __init__(
        self,
        channels: int,
        previous_channels: int | None,
        index: int,
        steps: int,
        out_channels: int,
        attention: Attention,
        interaction: Interaction,
        audio_channels: int | None,
        mel_bins: int,
    ) -> None:
        super().__init__()
        self.upsample = None if previous_channels is None else Upsample(previous_channels, channels)
        self.interaction: nn.Module | None = None
        self.residual: ProductResidual | None = None
        if audio_channels is not None and interaction != "none":
            self.interaction = INTERACTIONS[interaction](audio_channels, channels)
            if interaction == "mim_residual":
                self.residual = ProductResidual(audio_channels, channels, mel_bins)
        self.attention: nn.Module
        if attention == "convolution":
            self.attention = ConvolutionBlock(channels)
        else:
            self.attention = SpatioTemporalCrossAttention(channels, 2**index if attention == "eca" else 1)
        self.norm = ChannelNorm(channels)
        # One weight for each of the T_v + 1 steps: the noise step is read like every other (D6)
        self.temporal = VideoConvolution(channels, out_channels, (steps, 1, 1), bias=False)

    def forward(
        self, features: Tensor, previous: Tensor | None, audio: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Modulate one scale.

        Args:
            features: [f_v, f_s] (B, C, T + 1, h, w), noise last.
            previous: Output of the stage before (B, C', T + 1, h', w'), None in the first.
            audio: f_a (B, C_a, S, h_a, w_a), or None.

        Returns:
            Features for the next stage (B, C, T + 1, h, w) and for the head (B, out, h, w).
        """
        x = features
        if self.upsample is not None:
            x = x + self.upsample(previous, x.shape[-2:])  # (B, C, T+1, h, w)
        keys = None
        if audio is not None and self.interaction is not None:
            keys = self.interaction(x, audio)  # (B, C, T+1, h, w)
            if self.residual is not None:
                x = x + self.residual(x, audio)
        x = self.attention(x, keys)
        return x, F.relu(self.temporal(self.norm(x))).squeeze(2)
