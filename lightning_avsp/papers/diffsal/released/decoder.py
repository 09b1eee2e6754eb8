"""Saliency-UNet of the released DiffSal: noise encoder, four attention stages, temporal read-out, head."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.layers.attention import FeedForward
from lightning_avsp.layers.convolution import Downsample, ResNetBlock
from lightning_avsp.layers.embeddings import TimeEmbedding
from lightning_avsp.layers.normalization import LayerNorm
from lightning_avsp.layers.resampling import DoubleSize, interpolate_bilinear
from lightning_avsp.layers.video_convolution import VideoConvolution
from lightning_avsp.papers.diffsal.released.attention import (
    AudioModulation,
    FrameCrossAttention,
    ReleasedAttention,
    ReleasedInteraction,
    ReleasedMIM,
)


class ReleasedNoiseEncoder(nn.Module):
    """Features of the noisy map at all scales but the finest: three residual stages; the paper says four.

    ``channels`` are the widths of the video features, deepest first; the noise features take all but the last.
    """

    def __init__(self, channels: Sequence[int], time_width: int, dropout: float = 0.1) -> None:
        super().__init__()
        widths = tuple(reversed(channels))
        self.stem = nn.Conv2d(1, widths[0], kernel_size=3, padding=1)
        self.down = Downsample(widths[0], widths[0], stride=4)  # to the stride of the finest video features
        self.blocks = nn.ModuleList()
        self.downs = nn.ModuleList()
        for in_width, width in itertools.pairwise(widths):
            self.blocks.append(ResNetBlock(in_width, width, time_width, dropout))
            self.downs.append(Downsample(width, width))

    def forward(self, noisy_map: Tensor, time: Tensor) -> tuple[Tensor, ...]:
        """Encode a noisy map (B, 1, H, W) and time embedding (B, D) to features (B, C, h, w), deepest first."""
        x = self.down(self.stem(noisy_map))  # (B, C, H/4, W/4)
        features = []
        for block, down in zip(self.blocks, self.downs, strict=True):
            x = down(block(x, time))  # (B, 2C, h/2, w/2)
            features.append(x)
        return tuple(reversed(features))


READOUT_STEPS = 5
"""Time steps that a temporal read-out combines. Of nine, the last four (and so the noise) are not read."""


class AttentionStage(nn.Module):
    """Multi-modal attention modulation: upsampling, interaction with audio, attention within frames, MLP.

    ``in_width`` is that of the stage before, None for the deepest stage, which upsamples nothing; ``compression`` the
    side of the window of keys and values; ``audio_width`` the audio features' channels, None without audio.
    """

    def __init__(
        self,
        in_width: int | None,
        width: int,
        compression: int,
        audio_width: int | None,
        mel_bins: int,
        interaction: ReleasedInteraction,
        attention: ReleasedAttention,
    ) -> None:
        super().__init__()
        self.upsample: nn.Sequential | None = None
        if in_width is not None:
            self.upsample = nn.Sequential(
                DoubleSize(),
                # dilation 2: neighbours of a bilinearly doubled map are copies
                nn.Conv2d(in_width, width, kernel_size=3, padding=2, dilation=2, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
                nn.Conv2d(width, width, kernel_size=3, padding=2, dilation=2, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            )
        self.interaction = ReleasedMIM(audio_width, width) if audio_width is not None else None
        self.modulation = (
            AudioModulation(width, mel_bins)
            if audio_width is not None and interaction == "mim_residual"
            else None
        )
        self.norm1 = LayerNorm(width)
        self.attention = FrameCrossAttention(width, compression, attention)
        self.norm2 = LayerNorm(width)
        self.mlp = FeedForward(width, 2 * width)

    def forward(
        self, x: Tensor | None, skip: Tensor | None, audio: Tensor | None, size: tuple[int, int]
    ) -> Tensor:
        """Refine the fused features of one scale to (B, T, C, H, W).

        Args:
            x: Output of the stage before (B, T, C', H', W'); None in the deepest stage.
            skip: Video and noise features of this scale (B, T, C, H, W); None at the finest scale.
            audio: Audio features (B, Ca, T, h, w), or None without audio.
            size: Height and width of this scale.
        """
        if x is not None and self.upsample is not None:
            frames = interpolate_bilinear(self.upsample(x.flatten(0, 1)), size)  # (B·T, C, H, W)
            upsampled = frames.unflatten(0, (x.shape[0], -1))
            fused = upsampled if skip is None else upsampled + skip
        else:
            assert skip is not None  # the deepest stage always reads the encoder
            fused = skip  # (B, T, C, H, W)
        keys = None
        if audio is not None and self.interaction is not None:
            aligned = self.interaction.align_audio(audio)  # (B, T, C, h, w)
            keys = self.interaction(fused, aligned)  # (B·T, HW, C)
            if self.modulation is not None:
                fused = self.modulation(fused, aligned)
        tokens = fused.flatten(0, 1).flatten(2).transpose(1, 2)  # (B·T, HW, C)
        normed = self.norm1(tokens)
        tokens = tokens + self.attention(normed, normed if keys is None else keys, size)
        tokens = tokens + self.mlp(self.norm2(tokens))
        return tokens.transpose(1, 2).reshape(fused.shape)  # (B, T, C, H, W)


class TemporalReadout(nn.Module):
    """LayerNorm over channels, then one convolution over the first five time steps."""

    def __init__(self, width: int, out_width: int) -> None:
        super().__init__()
        self.norm = LayerNorm(width)
        self.conv = VideoConvolution(
            width, out_width, (READOUT_STEPS, 1, 1), stride=(READOUT_STEPS, 1, 1), bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Read out features (B, T, C, H, W), 5 <= T < 10, to (B, C', 1, H, W)."""
        # over channels alone, as in a transformer
        normed = self.norm(x.movedim(2, -1))  # (B, T, H, W, C)
        return F.relu(self.conv(normed.movedim(-1, 1)))  # (B, C', 1, H, W)


class Head(nn.Module):
    """Sum of all scales, 3x3 convolution, one logit per pixel, sigmoid."""

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.projection = nn.Sequential(
            nn.Conv2d(in_width, width, kernel_size=3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        self.logit = nn.Conv2d(width, 1, kernel_size=1)

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Combine maps (B, C, h, w) of all scales to one saliency map (B, 1, *size) in [0, 1], float32."""
        total = interpolate_bilinear(maps[0], size)
        for scale in maps[1:]:
            # in place: the widest and finest maps of the network, whose fresh memory costs more than the sum
            total = total.add_(interpolate_bilinear(scale, size))
        # in bfloat16 a sigmoid has 8 bits, too few for a next step
        return self.logit(self.projection(total)).float().sigmoid()


class ReleasedDecoder(nn.Module):
    """Decoder that runs once per denoising step.

    ``channels`` are the widths of the video features, deepest first; the published network has as many stages as video
    features. Other options as of :class:`~lightning_avsp.papers.diffsal.released.network.ReleasedDiffSal`.
    """

    def __init__(
        self,
        channels: Sequence[int] = (768, 384, 192, 96),
        head_channels: int = 768,
        audio_width: int | None = 512,
        mel_bins: int = 12,
        interaction: ReleasedInteraction = "mim",
        attention: ReleasedAttention = "eca",
        num_stages: int = 4,
    ) -> None:
        super().__init__()
        self.time_embedding = TimeEmbedding(channels[-1])
        self.noise_encoder = ReleasedNoiseEncoder(channels, self.time_embedding.out_dim)
        self.stages = nn.ModuleList()
        self.readouts = nn.ModuleList()
        in_width: int | None = None
        for index, width in enumerate(channels[:num_stages]):
            self.stages.append(
                AttentionStage(
                    in_width, width, 2 ** (index + 1), audio_width, mel_bins, interaction, attention
                )
            )
            self.readouts.append(TemporalReadout(width, head_channels))
            in_width = width
        self.head = Head(head_channels, channels[-1])
        self.apply(_initialise)  # the video and audio encoders keep their own initialisation

    def forward(self, noisy_map: Tensor, t: Tensor, video: Sequence[Tensor], audio: Tensor | None) -> Tensor:
        """Predict the clean map (B, 1, H, W) in [0, 1] from a noisy one.

        Args:
            noisy_map: (B, 1, H, W).
            t: Diffusion step, int64 (B,).
            video: Video features (B, C, T, h, w), deepest first.
            audio: Audio features (B, Ca, T+1, ha, wa), or None.
        """
        noise = self.noise_encoder(noisy_map, self.time_embedding(t))
        x: Tensor | None = None
        maps = []
        for index, (stage, readout) in enumerate(zip(self.stages, self.readouts, strict=True)):
            features = video[index]
            size = (features.shape[3], features.shape[4])
            skip = None
            if index < len(noise):  # the finest video features are not used at all
                step = interpolate_bilinear(noise[index], size)[:, None]  # (B, 1, C, h, w)
                # channels last in memory, as the encoder leaves them and every layer of the stage reads them
                tokens = [features.permute(0, 2, 3, 4, 1), step.movedim(2, -1)]
                skip = torch.cat(tokens, dim=1).movedim(-1, 2)  # (B, T+1, C, h, w), the noise last
            x = stage(x, skip, audio, size)  # (B, T+1, C, h, w)
            maps.append(readout(x).squeeze(2))  # (B, C', h, w)
        height, width = noisy_map.shape[-2:]
        # the released head works at half size
        half = self.head(maps, (height // 2, width // 2))  # (B, 1, H/2, W/2)
        return interpolate_bilinear(half, (height, width))


def _initialise(module: nn.Module) -> None:
    """Normal(0, 0.01) weights and zero biases for every convolution and linear layer, as released."""
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
