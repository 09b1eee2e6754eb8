"""How sound meets sight: the multi-modal interaction module (MIM) and the alternatives of Table 3."""

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

    Args:
        audio_channels: Channels C_a of the audio features.
        channels: Channels C_i of the scale.
    """

    def __init__(self, audio_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = VideoConvolution(audio_channels, channels, 1)

    def forward(self, audio: Tensor, size: tuple[int, int, int]) -> Tensor:
        """(B, C_a, S, h_a, w_a) to (B, C_i, T, h, w) with ``size = (T, h, w)``."""
        return resize_frames(resample_time(self.conv(audio), size[0]), size[1:])


def interaction_mask(features: Tensor, sound: Tensor) -> Tensor:
    """Where sound and sight agree: softmax over space of the temporally pooled product (Equation 9).

    Multiplied by the number of positions, so that its mean is 1: a layer norm follows (Equation 8), and values of the
    size 1 / (h w) would vanish beside its epsilon (D11).

    Args:
        features: [f_v, f_s] (B, C, T, h, w).
        sound: Aligned audio features (B, C, T, h, w).

    Returns:
        (B, C, 1, h, w), mean 1 over each map.
    """
    pooled = (features * sound).mean(dim=2).flatten(2)  # (B, C, h w)
    mask = pooled.softmax(dim=-1).to(features.dtype) * pooled.shape[-1]
    return mask.unflatten(2, features.shape[-2:]).unsqueeze(2)


class MultiModalInteraction(nn.Module):
    """MIM: the mask of agreement times the sound (Equation 9).

    Args:
        audio_channels: Channels C_a of the audio features.
        channels: Channels C_i of the scale.
    """

    def __init__(self, audio_channels: int, channels: int) -> None:
        super().__init__()
        self.align = AudioAlignment(audio_channels, channels)

    def forward(self, features: Tensor, audio: Tensor) -> Tensor:
        """[f_v, f_s] (B, C, T, h, w) and f_a (B, C_a, S, h_a, w_a) to f_avs (B, C, T, h, w)."""
        sound = self.align(audio, features.shape[2:])  # (B, C, T, h, w)
        return sound * interaction_mask(features, sound)


class BilinearInteraction(nn.Module):
    """Table 3, "Bilinear": projected features times projected sound, projected again.

    A full bilinear form would need C_i^2 C_a weights; this is its low-rank form (D12).

    Args:
        audio_channels: Channels C_a of the audio features.
        channels: Channels C_i of the scale.
    """

    def __init__(self, audio_channels: int, channels: int) -> None:
        super().__init__()
        self.align = AudioAlignment(audio_channels, channels)
        self.project = VideoConvolution(channels, channels, 1)
        self.out = VideoConvolution(channels, channels, 1)

    def forward(self, features: Tensor, audio: Tensor) -> Tensor:
        """[f_v, f_s] (B, C, T, h, w) and f_a (B, C_a, S, h_a, w_a) to f_avs (B, C, T, h, w)."""
        return self.out(self.project(features) * self.align(audio, features.shape[2:]))


class AdditionInteraction(nn.Module):
    """Table 3, "Addition": features plus aligned sound.

    Args:
        audio_channels: Channels C_a of the audio features.
        channels: Channels C_i of the scale.
    """

    def __init__(self, audio_channels: int, channels: int) -> None:
        super().__init__()
        self.align = AudioAlignment(audio_channels, channels)

    def forward(self, features: Tensor, audio: Tensor) -> Tensor:
        """[f_v, f_s] (B, C, T, h, w) and f_a (B, C_a, S, h_a, w_a) to f_avs (B, C, T, h, w)."""
        return features + self.align(audio, features.shape[2:])


class ConcatenationInteraction(nn.Module):
    """Table 3, "Concatenation": features and aligned sound side by side, brought back to C_i channels.

    The 1x1x1 convolution (D12) over the concatenation is held as two halves, so that the large map is never copied.

    Args:
        audio_channels: Channels C_a of the audio features.
        channels: Channels C_i of the scale.
    """

    def __init__(self, audio_channels: int, channels: int) -> None:
        super().__init__()
        self.align = AudioAlignment(audio_channels, channels)
        self.mix_features = VideoConvolution(channels, channels, 1)
        self.mix_sound = VideoConvolution(channels, channels, 1, bias=False)

    def forward(self, features: Tensor, audio: Tensor) -> Tensor:
        """[f_v, f_s] (B, C, T, h, w) and f_a (B, C_a, S, h_a, w_a) to f_avs (B, C, T, h, w)."""
        return self.mix_features(features) + self.mix_sound(self.align(audio, features.shape[2:]))


INTERACTIONS: dict[str, type[nn.Module]] = {
    "mim": MultiModalInteraction,
    "mim_residual": MultiModalInteraction,
    "bilinear": BilinearInteraction,
    "addition": AdditionInteraction,
    "concatenation": ConcatenationInteraction,
}
