"""Fusion of a clip's features at four scales: encoders, refinement, MMI blocks (Algorithm 1, lines 3 to 14)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from lightning_avsp.backbones.encoder import AudioEncoder
from lightning_avsp.backbones.registry import (
    AudioEncoderName,
    VideoEncoderName,
    build_audio_encoder,
    build_video_encoder,
)
from lightning_avsp.backbones.weights import PartReport
from lightning_avsp.errors import InputError
from lightning_avsp.layers.resampling import resample_time
from lightning_avsp.papers.inputs import check_frame_size, refuse_text
from lightning_avsp.papers.mubic.interaction import (
    THESIS_FACTORS,
    THESIS_NOISE,
    TINY_FACTORS,
    TINY_NOISE,
    Fusion,
    InteractionBlock,
    TemporalRefinement,
    Widths,
)

Factors = tuple[int, int, int, int]


@dataclass(frozen=True)
class Fused:
    """Fused features of a clip."""

    features: tuple[Tensor, ...]
    """f_av (B, C_i, T_v, h_i, w_i), finest first."""
    refined: Tensor | None
    """Refined audio features (B, C_a, S, h_a, w_a)."""
    gates: tuple[Tensor, ...]
    """alpha of each scale, shaped as the features, finest first; empty without gates or refined."""


class FusionTrunk(nn.Module):
    """Encoders and cross-modal fusion, shared by the diffusion network and the regression network.

    Options as of :class:`~lightning_avsp.papers.mubic.network.MUBiC`, where ``options`` is ``fusion``; ``weights`` and
    ``frozen`` are those of the video and the audio encoder. Frozen None: yes for ``vggish``, no for ``tiny`` (X23).

    Raises:
        InputError: If the options do not go together.

    Attributes:
        widths: Sizes that decoder and noise encoder share.
        weight_report: Origin of the weights of each part.
    """

    def __init__(
        self,
        video_encoder: VideoEncoderName,
        audio_encoder: AudioEncoderName,
        modality: Literal["av", "v"],
        options: Fusion,
        compression: Factors | None,
        weights: tuple[str | None, str | None],
        frozen: tuple[bool, bool | None],
    ) -> None:
        super().__init__()
        (video_weights, audio_weights), (freeze_video, freeze_audio) = weights, frozen
        if modality == "v" and audio_weights is not None:
            raise InputError(
                f"modality=v has no audio encoder for audio_weights={audio_weights}; set it to null"
            )
        if modality == "v" and options.sound_product:
            raise InputError("modality=v has no audio for fusion.sound_product=true; leave one of them out")
        tiny = video_encoder == "tiny"
        factors = compression or (TINY_FACTORS if tiny else THESIS_FACTORS)  # X5: 3x6 keys at every scale
        if any(factor < 1 for factor in factors):
            raise InputError(
                f"compression={factors}: each factor must be at least 1, which compresses nothing"
            )
        self.weight_report: list[PartReport] = []
        self.video_encoder, part = build_video_encoder(video_encoder, 4, video_weights, freeze_video)
        self.weight_report.append(part)
        self.audio_encoder: AudioEncoder | None = None
        audio_channels = 0
        if modality == "av":
            freeze_audio = audio_encoder == "vggish" if freeze_audio is None else freeze_audio
            encoder, part = build_audio_encoder(audio_encoder, audio_weights, freeze_audio)
            self.weight_report.append(part)
            self.audio_encoder, audio_channels = encoder, encoder.out_channels
        self.widths = Widths(
            channels=self.video_encoder.channels[::-1],
            factors=factors,
            noise=TINY_NOISE if tiny else THESIS_NOISE,
            # as wide as those of MViTv2-S
            head_dim=16 if tiny else 96,
            audio=audio_channels,
            mel_bins=4 if audio_encoder == "tiny" else 12,  # 64 and 192 columns, 16 times smaller
        )
        if self.audio_encoder is not None:
            self.refinement = TemporalRefinement(audio_channels, self.widths.slices)
        self.blocks = nn.ModuleList(
            InteractionBlock(index, self.widths, options, modality == "av") for index in range(4)
        )
        self.weight_report.append(PartReport("fusion and decoder", "random"))

    def forward(self, video: Tensor | None, audio: Tensor | None, text: Tensor | None) -> Fused:
        """Encode and fuse a clip.

        Args:
            video: Normalised frames (B, 3, T, H, W), H and W multiples of 32, 64 at least.
            audio: Log-mel slices (B, 1, S, Ha, Wa), S at least 2; None leaves the visual stream alone.
            text: Must be None.

        Raises:
            InputError: If there is no video, or sizes do not fit.
        """
        refuse_text("MUBiC", text)
        if video is None:
            raise InputError(
                "MUBiC fuses audio into visual features and cannot work without video: give frames"
            )
        check_frame_size("MUBiC", video, 64)
        # other encoders stride in time
        seen = [resample_time(feature, self.widths.steps) for feature in self.video_encoder(video)[::-1]]
        refined = None
        if audio is not None and self.audio_encoder is not None:
            if audio.shape[2] < 2:  # the matching turns S slices into S - 1 steps (X11)
                raise InputError(
                    f"{audio.shape[2]} slice of audio: MUBiC needs at least 2; set data.audio.slices"
                )
            refined = self.refinement(self.audio_encoder.encode_slices(audio))  # (B, C_a, S, h_a, w_a)
        pairs = [block(feature, refined) for block, feature in zip(self.blocks, seen, strict=True)]
        gates = tuple(alpha for _, alpha in pairs if alpha is not None)
        return Fused(tuple(feature for feature, _ in pairs), refined, gates)

    def skip_scalars(self) -> list[Tensor]:
        """Return the scalar beta of each scale, finest first; empty without skips."""
        return [
            block.skip.scalar()
            for block in self.blocks
            if isinstance(block, InteractionBlock) and block.skip is not None
        ]
