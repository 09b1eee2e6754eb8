"""Encoders by name, built, loaded and frozen as a configuration asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, TypeVar

from lightning_avsp.backbones.encoder import AudioEncoder, Encoder, VideoEncoder
from lightning_avsp.backbones.mvit import MViTv2Small, TinyMViT
from lightning_avsp.backbones.published import WeightSource
from lightning_avsp.backbones.resnet3d import R3D18, SlowR50
from lightning_avsp.backbones.s3d import S3DEncoder
from lightning_avsp.backbones.soundnet import SoundNet8, SoundNetTap
from lightning_avsp.backbones.swin3d import Swin3DTiny
from lightning_avsp.backbones.tiny_audio import TinyAudioEncoder
from lightning_avsp.backbones.tiny_waveform import TinyWaveformEncoder
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
AnyEncoder = TypeVar("AnyEncoder", bound=Encoder)


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
    builders: dict[str, Callable[[], VideoEncoder]] = {
        key: partial(kind, num_scales=num_scales) for key, kind in VIDEO_ENCODERS.items()
    }
    return _build("video_encoder", name, builders, weights, frozen)


def build_audio_encoder(
    name: AudioEncoderName, weights: str | None = None, frozen: bool = False
) -> tuple[AudioEncoder, PartReport]:
    """Build an encoder of log-mel slices; arguments and errors as of :func:`build_video_encoder`."""
    builders: dict[str, Callable[[], AudioEncoder]] = {
        "vggish": partial(VGGish, frozen=False),
        "tiny": TinyAudioEncoder,
    }
    return _build("audio_encoder", name, builders, weights, frozen)


def build_waveform_encoder(
    name: WaveformEncoderName, tap: SoundNetTap = "conv7", weights: str | None = None, frozen: bool = False
) -> tuple[AudioEncoder, PartReport]:
    """Build an encoder of waveforms (B, 1, N) to features (B, ``out_channels``, n).

    The tap is the layer that SoundNet's features are taken from; the tiny encoder has one only and ignores it. Other
    arguments and errors as of :func:`build_video_encoder`.
    """
    builders: dict[str, Callable[[], AudioEncoder]] = {
        "soundnet8": partial(SoundNet8, tap),
        "tiny": TinyWaveformEncoder,
    }
    return _build("audio_encoder", name, builders, weights, frozen)


def _build(
    option: str,
    name: str,
    builders: Mapping[str, Callable[[], AnyEncoder]],
    weights: str | None,
    frozen: bool,
) -> tuple[AnyEncoder, PartReport]:
    require_choice(option, name, builders)
    encoder = builders[name]()
    return encoder, encoder.prepare(weights, frozen)
