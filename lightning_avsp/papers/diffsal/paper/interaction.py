"""Interaction of audio and video: the multi-modal interaction module (MIM) and the alternatives of Table 3."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from lightning_avsp.layers.resampling import resample_time, resize_frames
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
