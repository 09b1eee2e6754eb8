"""Multi-modal interaction block (MMI): two streams, attention both ways, gated fusion, skip (section 3.2.3.3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.layers.attention import FeedForward, spatial_grid
from lightning_avsp.layers.cross_attention import EfficientCrossAttention, attention_heads
from lightning_avsp.layers.normalization import LayerNorm
from lightning_avsp.layers.resampling import resize_frames
from lightning_avsp.layers.sound_product import ProductResidual
from lightning_avsp.layers.video_convolution import VideoConvolution
from lightning_avsp.papers.mubic.gates import GatedFusion
from lightning_avsp.papers.mubic.options import Fusion, Widths
from lightning_avsp.papers.mubic.sound import SoundMatching

FFN_RATIO = 1.125
"""Hidden width of the separate feed-forward networks over the features'; fits the printed budget (X32)."""
POST_FFN_RATIO = 0.5
"""The same for the feed-forward network after the convolution (X32)."""


def as_tokens(x: Tensor) -> Tensor:
    """(B, C, T, h, w) to tokens (B, T h w, C)."""
    return x.flatten(2).transpose(1, 2)


class SeparateFFN(nn.Module):
    """LayerNorm(FFN(... FFN(F)) + F): two networks in a row for sight, one for sound (Equations 3.25 and 3.26).

    Args:
        channels: Channels of the map.
        count: Networks in a row.
    """

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        hidden = int(FFN_RATIO * channels)
        self.layers = nn.Sequential(*(FeedForward(channels, hidden, nn.ReLU) for _ in range(count)))
        self.norm = LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, h, w) to the same shape."""
        tokens = as_tokens(x)
        return spatial_grid(self.norm(self.layers(tokens) + tokens), x.shape[2:])


class LocalContext(nn.Module):
    """Depthwise 3-D convolution of a gated linear unit, then a narrow feed-forward part (Equations 3.36 and 3.37).

    The gated linear unit halves the channels without a projection, the depthwise convolution doubles them again (X33).

    Args:
        channels: Channels of the map, even.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv = VideoConvolution(half, channels, 3, padding=1, groups=half, bias=False)
        self.batch_norm = nn.BatchNorm3d(channels)
        self.feed_forward = FeedForward(channels, int(POST_FFN_RATIO * channels), nn.ReLU)
        self.norm = LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, h, w) to the same shape."""
        x = self.batch_norm(self.conv(F.glu(x, dim=1))) + x
        tokens = as_tokens(x)
        return spatial_grid(self.norm(self.feed_forward(tokens) + tokens), x.shape[2:])


class Skip(nn.Module):
    """What the skip adds: beta x Conv(f_v), beta a learned scalar that starts at 1 (Equation 3.41; X6, X7).

    Args:
        channels: Channels of the map.
        factor: Compression of ``compressed``.
        options: Kind of convolution, and whether beta stays in [0, 1].
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

    def forward(self, f_v: Tensor) -> Tensor:
        """(B, C, T, h, w) to the same shape."""
        if self.clamp and self.training:
            # projected, not clamped in the graph: outside [0, 1] a clamp has no gradient that leads back
            with torch.no_grad():
                self.beta.clamp_(0, 1)
        size = (f_v.shape[-2], f_v.shape[-1])
        return self.beta * resize_frames(self.conv(self.compress(f_v)), size)


class InteractionBlock(nn.Module):
    """One MMI block, for one scale.

    Args:
        index: 0 for the finest scale to 3 for the deepest.
        widths: Sizes.
        options: What the block is made of.
        hears: Whether there is sound; without, only the visual stream and the skip are built (X34).
    """

    def __init__(self, index: int, widths: Widths, options: Fusion, hears: bool) -> None:
        super().__init__()
        channels, factor = widths.channels[index], widths.factors[index]
        self.options = options
        self.visual_ffn = SeparateFFN(channels, 2)
        self.visual_time = nn.Parameter(torch.zeros(1, channels, widths.steps, 1, 1))
        nn.init.trunc_normal_(self.visual_time, std=0.02)
        self.visual_context = LocalContext(channels)
        self.skip = Skip(channels, factor, options) if options.skip else None
        self.hears = hears
        self.product: ProductResidual | None = None
        if not hears:
            return
        heads = attention_heads(channels, widths.head_dim)
        own = options.value_from == "own"
        self.match = SoundMatching(widths.audio, channels, 2 ** (3 - index))
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

    def forward(self, f_v: Tensor, sound: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Fuse one scale.

        Args:
            f_v: Visual features (B, C, T, h, w).
            sound: Refined audio features (B, C_a, S, h_a, w_a); None leaves the visual stream alone.

        Returns:
            Fused features (B, C, T, h, w), and the gate alpha of the same shape if there is one.
        """
        visual = self.visual_ffn(f_v)
        visual = visual + self.visual_time.to(visual.dtype)
        alpha: Tensor | None = None
        if sound is None or not self.hears:
            fused = self.visual_context(visual)
        else:
            size = (visual.shape[2], visual.shape[3], visual.shape[4])
            audio = self.audio_ffn(self.match(sound, size))  # (B, C, T, h, w)
            audio = audio + self.audio_time.to(audio.dtype)
            if self.product is not None:
                visual = visual + self.product(visual, sound)
            f_va = self.visual_context(self._attend(self.visual_attention, visual, audio))
            f_av = audio
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
