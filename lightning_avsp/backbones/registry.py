"""Encoders by name, built, loaded and frozen as a configuration asks."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, TypeAlias, get_args

from lightning_avsp.backbones.encoder import VideoEncoder
from lightning_avsp.backbones.mvit import MViTv2Small, TinyMViT
from lightning_avsp.backbones.resnet3d import R3D18, SlowR50
from lightning_avsp.backbones.s3d import S3DEncoder
from lightning_avsp.backbones.soundnet import SoundNet8, SoundNetTap
from lightning_avsp.backbones.swin3d import Swin3DTiny
from lightning_avsp.backbones.tiny_audio import TinyAudioEncoder
from lightning_avsp.backbones.tiny_waveform import TinyWaveformEncoder
from lightning_avsp.backbones.vggish import VGGish
from lightning_avsp.backbones.weights import PartReport
from lightning_avsp.errors import InputError

VideoEncoderName = Literal["mvitv2_s", "s3d", "r3d_18", "slow_r50", "swin3d_t", "tiny"]
AudioEncoderName = Literal["vggish", "tiny"]
AudioEncoder: TypeAlias = VGGish | TinyAudioEncoder
WaveformEncoderName = Literal["soundnet8", "tiny"]
WaveformEncoder: TypeAlias = SoundNet8 | TinyWaveformEncoder

VIDEO_ENCODERS: dict[str, type[VideoEncoder]] = {
    "mvitv2_s": MViTv2Small,
    "s3d": S3DEncoder,
    "r3d_18": R3D18,
    "slow_r50": SlowR50,
    "swin3d_t": Swin3DTiny,
    "tiny": TinyMViT,
}


def build_video_encoder(
    name: VideoEncoderName, num_scales: int = 4, weights: str | None = None, frozen: bool = False
) -> tuple[VideoEncoder, PartReport]:
    """A video encoder and what it started from.

    Args:
        name: Which one.
        num_scales: How many scales it returns, from the deepest.
        weights: None for random weights, ``kinetics400`` for the published ones (downloaded), or a file.
        frozen: Keep it in eval mode and without gradient.

    Raises:
        InputError: If the name is unknown, or the weights are missing or do not fit.
    """
    if name not in VIDEO_ENCODERS:
        raise InputError(f"video_encoder={name} is unknown: choose one of {', '.join(VIDEO_ENCODERS)}")
    encoder = VIDEO_ENCODERS[name](num_scales=num_scales)
    report = PartReport(f"video encoder ({name})", "random") if weights is None else encoder.load(weights)
    if frozen:
        encoder.freeze()
    return encoder, replace(report, frozen=frozen)


def build_audio_encoder(
    name: AudioEncoderName, weights: str | None = None, frozen: bool = False
) -> tuple[AudioEncoder, PartReport]:
    """An encoder of log-mel slices (with ``out_channels``) and what it started from.

    Args:
        name: Which one.
        weights: None for random weights, or a file (``torchvggish`` format for ``vggish``).
        frozen: Keep it in eval mode and without gradient.

    Raises:
        InputError: If the name is unknown, or the weights are missing or do not fit.
    """
    if name == "vggish":
        encoder: AudioEncoder = VGGish(frozen=False)
    elif name == "tiny":
        encoder = TinyAudioEncoder()
    else:
        raise InputError(
            f"audio_encoder={name} is unknown: choose one of {', '.join(get_args(AudioEncoderName))}"
        )
    report = PartReport(f"audio encoder ({name})", "random") if weights is None else encoder.load(weights)
    if frozen:
        encoder.freeze()
    return encoder, replace(report, frozen=frozen)


def build_waveform_encoder(
    name: WaveformEncoderName, tap: SoundNetTap = "conv7", weights: str | None = None, frozen: bool = False
) -> tuple[WaveformEncoder, PartReport]:
    """An encoder of waveforms (B, 1, N) to features (B, ``out_channels``, n), and what it started from.

    Args:
        name: Which one.
        tap: Where SoundNet's features are taken; the tiny encoder has one place only and ignores it.
        weights: None for random weights, or a file (either format that :class:`SoundNet8` reads).
        frozen: Keep it in eval mode and without gradient.

    Raises:
        InputError: If the name is unknown, or the weights are missing or do not fit.
    """
    if name == "soundnet8":
        encoder: WaveformEncoder = SoundNet8(tap)
    elif name == "tiny":
        encoder = TinyWaveformEncoder()
    else:
        raise InputError(
            f"audio_encoder={name} is unknown: choose one of {', '.join(get_args(WaveformEncoderName))}"
        )
    report = PartReport(f"audio encoder ({name})", "random") if weights is None else encoder.load(weights)
    if frozen:
        encoder.freeze()
    return encoder, replace(report, frozen=frozen)
