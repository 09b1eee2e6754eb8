"""Multi-modal interaction block (MMI): two streams, attention both ways, gated fusion, skip (section 3.2.3.3).

Its options are those that the thesis ablates, contradicts or omits; X numbers refer to the model card.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.layers.attention import (
    EfficientCrossAttention,
    FeedForward,
    attention_heads,
    multi_head_attention,
    spatial_grid,
)
from lightning_avsp.layers.audio_product import ProductResidual
from lightning_avsp.layers.normalization import LayerNorm
from lightning_avsp.layers.resampling import resample_time, resize_frames
from lightning_avsp.layers.video_convolution import VideoBatchNorm, VideoConvolution

FusionGate = Literal["mlp", "conv1", "concat"]
DecoderGate = Literal["equations", "algorithm", "concat"]


@dataclass(frozen=True)
class Fusion:
    """Fusion of audio and video in each multi-modal interaction block; meant for configuration files."""

    bidirectional: bool = True
    """Attention in both directions; without, video still attends to audio, and the gate mixes with the aligned audio
    (table 4.3, "w/o BECA"; X28)."""
    gate: FusionGate = "mlp"
    """``mlp``: Equation 3.38; ``conv1``: one 1x1x1 convolution, as Algorithm 1; ``concat``: none (table 4.3; X8)."""
    skip: bool = True
    """Residual skip from the visual features, with a learned scalar (table 4.3)."""
    skip_conv: Literal["pointwise", "compressed"] = "pointwise"
    """``pointwise``: Algorithm 1, line 12; ``compressed``: Equation 3.40, as far as it can be built (X6)."""
    skip_clamp: bool = False
    """Keep the skip's scalar in [0, 1] (X7)."""
    value_from: Literal["other", "own"] = "other"
    """Source of the attention's values: the ``other`` modality (equations) or the ``own`` one (prose; X4)."""
    attention_residual: bool = True
    """Add the input of the attention to its output (X29)."""
    sound_product: bool = False
    """Add the product of pooled audio and visual features to these, before the attention: makes the network use audio.
    Not in the thesis (X31)."""


@dataclass(frozen=True)
class Widths:
    """Sizes that follow from the chosen encoders."""

    channels: tuple[int, ...]
    """Widths C_1 .. C_4 of the visual features, finest first."""
    factors: tuple[int, ...]
    """Compression of height and width of keys and values at the four scales, finest first."""
    noise: tuple[int, ...]
    """Widths of the noise encoder's stages, finest first."""
    head_dim: int
    """Width of an attention head."""
    audio: int
    """Channels of the audio features."""
    mel_bins: int
    """Columns of the audio features (``sound_product`` only)."""
    steps: int = 8
    """T_v, time steps of the visual features."""
    slices: int = 9
    """T_a, audio slices of a clip."""


THESIS_FACTORS = (16, 8, 4, 2)
"""Compression at full size: 3x6 keys per time step at every scale (X5)."""
TINY_FACTORS = (8, 4, 2, 1)
"""Compression of the tiny network: 2x4 keys per time step at 64x128."""
THESIS_NOISE = (64, 128, 256, 512)
"""Widths of the noise encoder (section 3.2.3.2)."""
TINY_NOISE = (12, 16, 24, 32)
"""The same for the tiny network."""


class TemporalRefinement(nn.Module):
    """Learned position along time, then self-attention along time at each cell and a feed-forward part, post-norm.

    DiffSal's temporal enhancement differs: it is pre-norm and attends over all cells at once. For another number of
    slices than ``slices`` the positions are interpolated linearly.
    """

    def __init__(self, channels: int, slices: int, heads: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.position = nn.Parameter(torch.zeros(1, slices, channels))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.out = nn.Linear(channels, channels)
        self.norm1 = LayerNorm(channels)
        self.feed_forward = FeedForward(channels, 2 * channels, nn.ReLU)
        self.norm2 = LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Refine (B, C, S, h, w)."""
        batch, _, slices, height, width = x.shape
        position: Tensor = self.position
        if position.shape[1] != slices:
            position = F.interpolate(position.transpose(1, 2), size=slices, mode="linear").transpose(1, 2)
        tokens = x.permute(0, 3, 4, 2, 1).flatten(0, 2) + position.to(x.dtype)  # (B h w, S, C)
        query, key, value = self.qkv(tokens).chunk(3, dim=-1)
        # post-norm: norms come after the sums
        tokens = self.norm1(tokens + self.out(multi_head_attention(query, key, value, self.heads)))
        tokens = self.norm2(tokens + self.feed_forward(tokens))
        return tokens.unflatten(0, (batch, height, width)).permute(0, 4, 3, 1, 2)  # (B, C, S, h, w)


class AudioMatching(nn.Module):
    """Audio features on the grid of one scale: 1x1x1 convolution, then depthwise transposed convolution (X11).

    Nine slices become eight steps, and each cell becomes ``stride`` x ``stride``; what still differs from the visual
    grid, with frames or audio of other sizes, is interpolated.
    """

    def __init__(self, audio_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.project = VideoConvolution(audio_channels, channels, 1)
        self.enlarge = nn.ConvTranspose3d(
            channels, channels, (2, stride, stride), (1, stride, stride), padding=(1, 0, 0), groups=channels
        )

    def forward(self, audio: Tensor, size: tuple[int, int, int]) -> Tensor:
        """Match (B, C_a, S, h_a, w_a) to (B, C_i, T, h, w) with ``size = (T, h, w)``; S at least 2."""
        x = self.enlarge(self.project(audio))  # (B, C_i, S - 1, s h_a, s w_a)
        return resize_frames(resample_time(x, size[0]), size[1:])


GATE_RATIO = 1.625
"""Width of the fusion gate's hidden layer over the features'; fits the printed budget (X8)."""
FFN_RATIO = 1.125
"""Hidden width of the separate feed-forward networks over the features'; fits the printed budget (X32)."""
POST_FFN_RATIO = 0.5
"""The same for the feed-forward network after the convolution (X32)."""


def as_tokens(x: Tensor) -> Tensor:
    """Reshape (B, C, T, h, w) to tokens (B, T h w, C)."""
    return x.flatten(2).transpose(1, 2)


class SeparateFFN(nn.Module):
    """LayerNorm(FFN(... FFN(F)) + F): two networks in a row for video, one for audio (Equations 3.25 and 3.26)."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        hidden = int(FFN_RATIO * channels)
        self.layers = nn.Sequential(*(FeedForward(channels, hidden, nn.ReLU) for _ in range(count)))
        self.norm = LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Transform (B, C, T, h, w)."""
        tokens = as_tokens(x)
        return spatial_grid(self.norm(self.layers(tokens) + tokens), x.shape[2:])


class LocalContext(nn.Module):
    """Depthwise 3-D convolution of a gated linear unit, then a narrow feed-forward part (Equations 3.36 and 3.37).

    The unit halves the channels without a projection, the depthwise convolution doubles them again (X33).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv = VideoConvolution(half, channels, 3, padding=1, groups=half, bias=False)
        self.batch_norm = VideoBatchNorm(channels)
        self.feed_forward = FeedForward(channels, int(POST_FFN_RATIO * channels), nn.ReLU)
        self.norm = LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Transform (B, C, T, h, w)."""
        x = self.batch_norm(self.conv(F.glu(x, dim=1))) + x  # X33: C to C / 2 and back to C
        tokens = as_tokens(x)
        return spatial_grid(self.norm(self.feed_forward(tokens) + tokens), x.shape[2:])


class Skip(nn.Module):
    """Skip from the visual features: beta x Conv(f_v), beta a learned scalar from 1 on (Equation 3.41; X6, X7).

    ``factor`` is the compression of ``skip_conv: compressed``.
    """

    def __init__(self, channels: int, factor: int, options: Fusion) -> None:
        super().__init__()
        self.clamp = options.skip_clamp
        self.beta = nn.Parameter(torch.ones(()))
        self.compress: nn.Module = nn.Identity()
        if options.skip_conv == "compressed":
            kernel = (1, factor, factor)
            self.compress = VideoConvolution(
                channels, channels, kernel, stride=kernel, groups=channels, bias=False
            )
        self.conv = VideoConvolution(channels, channels, 1)

    def scalar(self) -> Tensor:
        """Return beta as the skip uses it."""
        # training projects beta itself: a clamp in its graph has no gradient outside [0, 1], nor, in newer torch, at 1
        return self.beta.clamp(0, 1) if self.clamp and not self.training else self.beta

    def forward(self, f_v: Tensor) -> Tensor:
        """Transform (B, C, T, h, w)."""
        if self.clamp and self.training:
            with torch.no_grad():
                self.beta.clamp_(0, 1)
        size = (f_v.shape[-2], f_v.shape[-1])
        return self.scalar() * resize_frames(self.conv(self.compress(f_v)), size)


class GatedFusion(nn.Module):
    """Gate of the fusion: alpha F_va + (1 - alpha) F_av, with alpha from both (Equations 3.38 and 3.39).

    ``mlp``, ``conv1``, or ``concat``: both side by side through one convolution, no gate (X8).
    """

    def __init__(self, channels: int, kind: FusionGate) -> None:
        super().__init__()
        self.kind: FusionGate = kind
        self.layers: nn.Module = VideoConvolution(2 * channels, channels, 1)
        if kind == "mlp":
            hidden = int(GATE_RATIO * channels)
            self.layers = nn.Sequential(
                VideoConvolution(2 * channels, hidden, 1),
                nn.ReLU(),
                VideoConvolution(hidden, channels, 1),
            )

    def forward(self, f_va: Tensor, f_av: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mix two maps (B, C, T, h, w); also return alpha, of the same shape in [0, 1], if there is a gate."""
        x = self.layers(torch.cat([f_va, f_av], dim=1))
        if self.kind == "concat":
            return x, None
        alpha = x.sigmoid()
        return f_av + alpha * (f_va - f_av), alpha


class InteractionBlock(nn.Module):
    """One MMI block, for one scale, 0 the finest to 3 the deepest.

    Without ``uses_audio`` only the visual stream and the skip are built (X34).
    """

    def __init__(self, index: int, widths: Widths, options: Fusion, uses_audio: bool) -> None:
        super().__init__()
        channels, factor = widths.channels[index], widths.factors[index]
        self.options = options
        self.visual_ffn = SeparateFFN(channels, 2)
        self.visual_time = nn.Parameter(torch.zeros(1, channels, widths.steps, 1, 1))
        nn.init.trunc_normal_(self.visual_time, std=0.02)
        self.visual_context = LocalContext(channels)
        self.skip = Skip(channels, factor, options) if options.skip else None
        self.uses_audio = uses_audio
        self.product: ProductResidual | None = None
        if not uses_audio:
            return
        heads = attention_heads(channels, widths.head_dim)
        own = options.value_from == "own"
        self.match = AudioMatching(widths.audio, channels, 2 ** (3 - index))
        self.audio_ffn = SeparateFFN(channels, 1)
        self.audio_time = nn.Parameter(torch.zeros(1, channels, widths.steps, 1, 1))
        nn.init.trunc_normal_(self.audio_time, std=0.02)
        self.visual_attention = EfficientCrossAttention(channels, factor, heads, values_apart=own)
        if options.bidirectional:
            self.audio_attention = EfficientCrossAttention(channels, factor, heads, values_apart=own)
            self.audio_context = LocalContext(channels)
        self.gate = GatedFusion(channels, options.gate)
        if options.sound_product:
            self.product = ProductResidual(widths.audio, channels, widths.mel_bins)

    def forward(self, f_v: Tensor, refined: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Fuse visual features (B, C, T, h, w) and audio features (B, C_a, S, h_a, w_a), if any, to (B, C, T, h, w).

        Also return the gate alpha, of the same shape, if there is one.
        """
        visual = self.visual_ffn(f_v)
        visual = visual + self.visual_time.to(visual.dtype)
        alpha: Tensor | None = None
        if refined is None or not self.uses_audio:
            fused = self.visual_context(visual)
        else:
            size = (visual.shape[2], visual.shape[3], visual.shape[4])
            audio = self.audio_ffn(self.match(refined, size))  # (B, C, T, h, w)
            audio = audio + self.audio_time.to(audio.dtype)
            if self.product is not None:
                # before the attention, whose keys alone would not bind (X31)
                visual = visual + self.product(visual, refined)
            f_va = self.visual_context(self._attend(self.visual_attention, visual, audio))
            f_av = audio  # X28: the gate mixes with the aligned audio
            if self.options.bidirectional:
                f_av = self.audio_context(self._attend(self.audio_attention, audio, visual))
            fused, alpha = self.gate(f_va, f_av)
        if self.skip is not None:
            fused = fused + self.skip(f_v)
        return fused, alpha

    def _attend(self, attention: nn.Module, own: Tensor, other: Tensor) -> Tensor:
        """VBECA and ABECA (Equations 3.28 to 3.35)."""
        values = own if self.options.value_from == "own" else None
        attended = spatial_grid(attention(as_tokens(own), other, values), own.shape[2:])
        return own + attended if self.options.attention_residual else attended
