"""Saliency-UNet of the paper (Section 4.2): noise encoder, multi-modal attention modulation (MAM), prediction head.

MAM holds the multi-modal interaction module (MIM) and the alternatives of Table 3.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.layers.attention import (
    FeedForward,
    SpatialCompression,
    multi_head_attention,
    spatial_grid,
)
from lightning_avsp.layers.audio_product import ProductResidual
from lightning_avsp.layers.convolution import Downsample, ResNetBlock, Upsample
from lightning_avsp.layers.embeddings import TimeEmbedding
from lightning_avsp.layers.normalization import ChannelNorm, LayerNorm, group_norm
from lightning_avsp.layers.resampling import interpolate_bilinear, resample_time, resize_frames
from lightning_avsp.layers.video_convolution import VideoConvolution

Interaction = Literal["mim", "bilinear", "addition", "concatenation", "none", "mim_residual"]


class AudioAlignment(nn.Module):
    """Audio features on the grid of one scale: Conv(UpSample(f_a)) of Equation 9.

    The convolution has kernel 1 and the enlargement copies neighbours, so their order does not change the result;
    convolving first costs a fraction (D10).
    """

    def __init__(self, audio_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = VideoConvolution(audio_channels, channels, 1)

    def forward(self, audio: Tensor, size: tuple[int, int, int]) -> Tensor:
        """Align (B, C_a, S, h_a, w_a) to (B, C_i, T, h, w) with ``size = (T, h, w)``."""
        return resize_frames(resample_time(self.conv(audio), size[0]), size[1:])


def interaction_mask(features: Tensor, audio: Tensor) -> Tensor:
    """Compute where audio and video agree: softmax over space of the temporally pooled product (Equation 9).

    Features [f_v, f_s] and aligned audio, both (B, C, T, h, w), give (B, C, 1, h, w) with mean 1 over each map:
    multiplied by the number of positions, since a layer norm follows (Equation 8), and values of the size 1 / (h w)
    would vanish beside its epsilon (D11).
    """
    pooled = (features * audio).mean(dim=2).flatten(2)  # (B, C, h w)
    mask = pooled.softmax(dim=-1).to(features.dtype) * pooled.shape[-1]
    return mask.unflatten(2, features.shape[-2:]).unsqueeze(2)


class AudioInteraction(nn.Module):
    """Fusion of audio with the features of one scale: MIM (Equation 9) and the alternatives of Table 3 (D12).

    ``mim``, ``mim_residual``: the mask of agreement times the audio; ``bilinear``: projected features times audio,
    projected again, since a full bilinear form would need C_i^2 C_a weights; ``addition``: features plus audio;
    ``concatenation``: both side by side through a 1x1x1 convolution, held as two halves, so that the large map is
    never copied.
    """

    def __init__(self, kind: Interaction, audio_channels: int, channels: int) -> None:
        super().__init__()
        self.kind: Interaction = kind
        self.align = AudioAlignment(audio_channels, channels)
        if kind == "bilinear":
            self.project = VideoConvolution(channels, channels, 1)
            self.out = VideoConvolution(channels, channels, 1)
        elif kind == "concatenation":
            self.mix_features = VideoConvolution(channels, channels, 1)
            self.mix_sound = VideoConvolution(channels, channels, 1, bias=False)

    def forward(self, features: Tensor, audio: Tensor) -> Tensor:
        """Fuse [f_v, f_s] (B, C, T, h, w) and f_a (B, C_a, S, h_a, w_a) to f_avs (B, C, T, h, w)."""
        audio = self.align(audio, features.shape[2:])  # (B, C, T, h, w)
        if self.kind == "bilinear":
            return self.out(self.project(features) * audio)
        if self.kind == "addition":
            return features + audio
        if self.kind == "concatenation":
            return self.mix_features(features) + self.mix_sound(audio)
        return audio * interaction_mask(features, audio)

    def mask(self, features: Tensor, audio: Tensor) -> Tensor:
        """Compute the mask of agreement, channels averaged (B, h, w), to be shown (figure 7); inputs as in forward."""
        return interaction_mask(features, self.align(audio, features.shape[2:])).mean(dim=(1, 2))


class NoiseEncoder(nn.Module):
    """Noisy map and diffusion step to features f_s^1 ... f_s^N, deepest first (Section 4.2, four ResNet stages).

    The map is brought to a quarter of its size; then each stage is one ResNet block, conditioned on the step, that
    widens the channels (deepest first, as the video's), and a strided convolution between the stages halves the size.
    The step enters the network here only (D4). The deepest ``num_scales`` are returned.
    """

    def __init__(self, channels: tuple[int, ...], num_scales: int, dropout: float = 0.1) -> None:
        super().__init__()
        widths = channels[::-1]  # finest first: the way the map goes
        self.num_scales = num_scales
        self.time = TimeEmbedding(widths[0])
        self.conv_in = nn.Conv2d(1, widths[0], 3, padding=1)
        # to the stride of the finest video features
        self.down_in = Downsample(widths[0], widths[0], stride=4)
        time_dim = self.time.out_dim
        self.stages = nn.ModuleList(
            ResNetBlock(previous, width, time_dim, dropout)
            for previous, width in zip((widths[0], *widths), widths, strict=False)
        )
        self.downs = nn.ModuleList(Downsample(width, width) for width in widths[:-1])

    def forward(self, noisy_map: Tensor, t: Tensor) -> list[Tensor]:
        """Encode map (B, 1, H, W) and steps (B,) to maps (B, C_i, H / s_i, W / s_i), deepest first."""
        time = self.time(t)  # (B, 4 C)
        x = self.down_in(self.conv_in(noisy_map))  # (B, C, H/4, W/4)
        features = []
        for index, stage in enumerate(self.stages):
            if index:
                x = self.downs[index - 1](x)
            x = stage(x, time)
            features.append(x)
        return features[::-1][: self.num_scales]  # fewer MAM stages read the deepest scales only (Figure 6)


AttentionKind = Literal["eca", "standard", "convolution"]


class SpatioTemporalCrossAttention(nn.Module):
    """Efficient spatio-temporal cross-attention, ECA (Equations 7 and 8), as a pre-norm block with an MLP (D1).

    Every token of every time step is a query; keys and values are compressed in space by ``factor``, 2^i in height and
    width, never in time (D2); 1 is the standard cross-attention of Table 4.
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
        """Attend over features (B, C, T, h, w), with f_avs, of the same shape, as keys; None: the features."""
        size = x.shape[2:]
        tokens = x.flatten(2).transpose(1, 2)  # (B, T h w, C)
        normed = self.norm1(tokens)
        # values are always visual; audio decides where to look, never what is brought
        values = spatial_grid(normed, size)  # (B, C, T, h, w)
        key = self.key(self.compress_key(values if interaction is None else interaction))  # (B, M, C)
        value = self.value(self.compress_value(values))  # (B, M, C)
        tokens = tokens + self.out(multi_head_attention(self.query(normed), key, value, self.heads))
        tokens = tokens + self.feed_forward(self.norm2(tokens))
        return spatial_grid(tokens, size)


class ConvolutionBlock(nn.Module):
    """Table 1's baseline: a pure convolution, 3x3 in space and 3 in time, where MAM has its attention (D12)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.space = VideoConvolution(channels, channels, (1, 3, 3), padding=(0, 1, 1))
        self.time = VideoConvolution(channels, channels, (3, 1, 1), padding=(1, 0, 0))

    def forward(self, x: Tensor, interaction: Tensor | None) -> Tensor:
        """Convolve features (B, C, T, h, w), plus f_avs of the same shape if there is any."""
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
        interaction: Interaction of audio and video.
        audio_channels: Channels of the audio features; None for a network without audio.
        mel_bins: Width of the audio features (``mim_residual`` only).
    """

    def __init__(
        self,
        channels: int,
        previous_channels: int | None,
        index: int,
        steps: int,
        out_channels: int,
        attention: AttentionKind,
        interaction: Interaction,
        audio_channels: int | None,
        mel_bins: int,
    ) -> None:
        super().__init__()
        self.upsample = None if previous_channels is None else Upsample(previous_channels, channels)
        self.interaction: nn.Module | None = None
        self.residual: ProductResidual | None = None
        if audio_channels is not None and interaction != "none":
            self.interaction = AudioInteraction(interaction, audio_channels, channels)
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
            # the coarse stage is added, not concatenated (D5)
            x = x + self.upsample(previous, x.shape[-2:])  # (B, C, T+1, h, w)
        keys = None
        if audio is not None and self.interaction is not None:
            keys = self.interaction(x, audio)  # (B, C, T+1, h, w)
            if self.residual is not None:
                x = x + self.residual(x, audio)  # keys alone hardly bind audio to video (D13)
        x = self.attention(x, keys)
        return x, F.relu(self.temporal(self.norm(x))).squeeze(2)


class PredictionHead(nn.Module):
    """Sum of the stages' maps at twice the finest size, 3x3 convolution, 1x1 convolution, sigmoid, full size (D7)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.norm = group_norm(channels)
        self.out = nn.Conv2d(channels, 1, 1)
        # Saliency maps are almost empty; starting there spares the first hundred steps (D15)
        nn.init.constant_(self.out.bias, -2.5)  # type: ignore[arg-type]

    def forward(self, maps: list[Tensor], size: tuple[int, int], dtype: torch.dtype) -> Tensor:
        """Predict the map, (B, 1, H, W) in [0, 1], from the stages' outputs (B, in, h_i, w_i), coarse to fine.

        ``dtype`` is that of the map: under autocast the noisy map's float32, so that no step rounds it to bfloat16.
        """
        total = maps[0]
        for finer in maps[1:]:
            total = interpolate_bilinear(total, (finer.shape[-2], finer.shape[-1])) + finer
        # the head runs at half size: twice the finest features
        total = interpolate_bilinear(total, (size[0] // 2, size[1] // 2))  # (B, in, H/2, W/2)
        logits = self.out(F.relu(self.norm(self.conv(total))))  # (B, 1, H/2, W/2)
        return interpolate_bilinear(logits.to(dtype).sigmoid(), size)
