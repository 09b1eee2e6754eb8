"""Encoders by name, built, loaded and frozen as a configuration asks."""

from __future__ import annotations

from typing import Literal, get_args

from lightning_avsp.backbones.encoder import AudioEncoder, VideoEncoder
from lightning_avsp.backbones.mvit import MViTv2Small, TinyMViT
from lightning_avsp.backbones.published import WeightSource
from lightning_avsp.backbones.soundnet import SoundNet8, SoundNetTap
from lightning_avsp.backbones.tapped import R3D18, S3DEncoder, SlowR50, Swin3DTiny
from lightning_avsp.backbones.tiny_audio import TinyAudioEncoder, TinyWaveformEncoder
from lightning_avsp.backbones.vggish import VGGish
from lightning_avsp.backbones.weights import PartReport
from lightning_avsp.errors import require_choice

VideoEncoderName = Literal["mvitv2_s", "s3d", "r3d_18", "slow_r50", "swin3d_t", "tiny"]
AudioEncoderName = Literal["vggish", "tiny"]
WaveformEncoderName = Literal["soundnet8", "tiny"]

VIDEO_ENCODERS: dict[str, type[VideoEncoder]] = {
    "mvitv2_s": MViTv2Small,
    "s3d": S3DEncoder,
    "r3d_18": R3D18,
    "slow_r50": SlowR50,
    "swin3d_t": Swin3DTiny,
    "tiny": TinyMViT,
}
AUDIO_ENCODERS: dict[str, type[AudioEncoder]] = {"vggish": VGGish, "soundnet8": SoundNet8}
"""Audio encoders of which weights are published; the others have none."""


def published_sources() -> dict[str, WeightSource]:
    """List the published weights by encoder."""
    every = {**VIDEO_ENCODERS, **AUDIO_ENCODERS}
    return {name: kind.weight_source for name, kind in every.items() if kind.weight_source is not None}


def build_video_encoder(
    name: VideoEncoderName, num_scales: int = 4, weights: str | None = None, frozen: bool = False
) -> tuple[VideoEncoder, PartReport]:
    """Build a video encoder, and report what it started from.

    Args:
        name: Key of :data:`VIDEO_ENCODERS`.
        num_scales: Number of scales that it returns, from the deepest.
        weights: None or ``random`` for random weights, ``kinetics400`` for the published ones (downloaded), or a file.
        frozen: Keep it in eval mode and without gradient.

    Raises:
        InputError: If the name is unknown, or the weights are missing or do not fit.
    """
    require_choice("video_encoder", name, VIDEO_ENCODERS)
    encoder = VIDEO_ENCODERS[name](num_scales=num_scales)
    return encoder, encoder.prepare(weights, frozen)


def build_audio_encoder(
    name: AudioEncoderName, weights: str | None = None, frozen: bool = False
) -> tuple[AudioEncoder, PartReport]:
    """Build an encoder of log-mel slices; arguments and errors as of :func:`build_video_encoder`."""
    require_choice("audio_encoder", name, get_args(AudioEncoderName))
    encoder = TinyAudioEncoder() if name == "tiny" else VGGish(frozen=False)  # `prepare` freezes
    return encoder, encoder.prepare(weights, frozen)


def build_waveform_encoder(
    name: WaveformEncoderName, tap: SoundNetTap = "conv7", weights: str | None = None, frozen: bool = False
) -> tuple[AudioEncoder, PartReport]:
    """Build an encoder of waveforms (B, 1, N) to features (B, ``out_channels``, n).

    The tap is the layer that SoundNet's features are taken from; the tiny encoder has one only and ignores it. Other
    arguments and errors as of :func:`build_video_encoder`.
    """
    require_choice("audio_encoder", name, get_args(WaveformEncoderName))
    encoder = TinyWaveformEncoder() if name == "tiny" else SoundNet8(tap)
    return encoder, encoder.prepare(weights, frozen)
