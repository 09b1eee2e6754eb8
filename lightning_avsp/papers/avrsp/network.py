"""AVRSP: relevance-guided audio-visual saliency prediction.

Paper: "Relevance-guided Audio Visual Fusion for Video Saliency Prediction" (AVRSP). There is no released code; the
model card in this folder says what the paper states, what it contradicts, and what was chosen (D and X numbers).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_avsp.backbones.registry import (
    VideoEncoderName,
    WaveformEncoderName,
    build_video_encoder,
    build_waveform_encoder,
)
from lightning_avsp.backbones.soundnet import SoundNetTap
from lightning_avsp.backbones.weights import PartReport, WeightReport
from lightning_avsp.errors import InputError
from lightning_avsp.papers.avrsp.decoder import Decoder
from lightning_avsp.papers.avrsp.explanation import Trace, explain_gates, explain_relevance
from lightning_avsp.papers.avrsp.fusions import SoundProduct, build_fusion
from lightning_avsp.papers.avrsp.gate import RegulatorGate
from lightning_avsp.papers.avrsp.scales import RATES, Scale
from lightning_avsp.papers.avrsp.settings import (
    BilinearForm,
    FusionName,
    GateForm,
    RAVFSettings,
    check_options,
)
from lightning_avsp.papers.avrsp.synergy import Synergy
from lightning_avsp.structures import DirectNetwork, Explanation

SILENCE_PER_FRAME = 2205
"""Samples of silence that stand for each frame of a clip without sound: 22050 Hz at 10 frames per second."""


class AVRSP(DirectNetwork):
    """Saliency of the last frame of a clip from its frames and its waveform, in one pass.

    Args:
        video_encoder: Video backbone with four scales; ``tiny`` makes every other width small as well.
        audio_encoder: Encoder of waveforms.
        audio: Whether there is sound at all; without, the network is the paper's visual branch (Tables III and IV).
        fusion: How sound meets the coarsest features (Table V). ``none`` is the same as no audio; ``ravf_product`` adds
            a product of sound and features at every scale, which is not in the paper.
        ms: Multi-scale synergy (Table III).
        mrg: Multi-scale regulator gates (Table III).
        ms_mrg_pairs: Finest scales that ``ms`` and ``mrg`` work on (Table IV): 3 as in the paper; 4 is all scales, 0
            none. The others reach the decoder as they are.
        channels: Width d of all scales; None for 64, or 16 if the video encoder is tiny.
        ravf: Options of the relevance-guided fusion.
        bilinear: Form of ``fusion=bilinear``.
        mrg_gate: One gate value per channel, as printed, or per channel, step and position.
        lip_space_stride: How often local importance pooling divides height and width.
        audio_tap: Where SoundNet's features are taken.
        clip_frames: Frames per clip, a multiple of 8.
        video_weights: None: random; ``kinetics400``: published weights, downloaded; else the path of a file.
        audio_weights: None: random; else the path of a SoundNet-8 file, of STAViS or of ViNet.
        freeze_video: Keep the video encoder as it is.
        freeze_audio: Keep the audio encoder as it is.

    Raises:
        InputError: If the options do not go together.

    Attributes:
        weight_report: Which parts started from what.
    """

    audio_form = "waveform"

    def __init__(
        self,
        video_encoder: VideoEncoderName = "s3d",
        audio_encoder: WaveformEncoderName = "soundnet8",
        audio: bool = True,
        fusion: FusionName = "ravf",
        ms: bool = True,
        mrg: bool = True,
        ms_mrg_pairs: int = 3,
        channels: int | None = None,
        ravf: RAVFSettings = RAVFSettings(),  # noqa: B008  # frozen
        bilinear: BilinearForm = "low_rank",
        mrg_gate: GateForm = "channel",
        lip_space_stride: int = 1,
        audio_tap: SoundNetTap = "conv7",
        clip_frames: int = 32,
        video_weights: str | None = None,
        audio_weights: str | None = None,
        freeze_video: bool = False,
        freeze_audio: bool = False,
    ) -> None:
        super().__init__()
        check_options(audio, fusion, ms_mrg_pairs, clip_frames, lip_space_stride, audio_weights)
        tiny = video_encoder == "tiny"
        self.clip_frames = clip_frames
        self.uses_audio = audio and fusion != "none"
        self.weight_report = WeightReport()
        self.video_encoder, part = build_video_encoder(
            video_encoder, weights=video_weights, frozen=freeze_video
        )
        self.weight_report.add(part)
        self.pixel_mean, self.pixel_std = self.video_encoder.pixel_mean, self.video_encoder.pixel_std
        channels = channels or (16 if tiny else 64)
        steps = clip_frames // 8
        self.scales = nn.ModuleList(
            Scale(width, channels, rates, steps, lip_space_stride)
            for width, rates in zip(self.video_encoder.channels, RATES, strict=True)
        )
        paired = range(4 - ms_mrg_pairs, 4)
        self.synergy = nn.ModuleDict(
            {str(scale): Synergy(channels, scale > 0, scale < 3) for scale in paired if ms}
        )
        self.gates = nn.ModuleDict({str(scale): RegulatorGate(channels, mrg_gate) for scale in paired if mrg})
        one, two, three = (2 if str(scale) in self.gates else 1 for scale in (1, 2, 3))
        self.decoder = Decoder(channels, (one, two, three), steps)
        self.weight_report.add(PartReport("scales, synergy, gates and decoder", "random"))
        self.audio_encoder: nn.Module | None = None
        self.fusion: nn.Module | None = None
        self.product: SoundProduct | None = None
        if self.uses_audio:
            encoder, part = build_waveform_encoder(audio_encoder, audio_tap, audio_weights, freeze_audio)
            self.audio_encoder = encoder
            self.weight_report.add(part)
            width = ravf.width or (64 if tiny else 512)
            self.fusion = build_fusion(fusion, channels, encoder.out_channels, width, ravf, bilinear)
            if fusion == "ravf_product":
                self.product = SoundProduct(channels, encoder.out_channels, 4)
            self.weight_report.add(PartReport(f"fusion ({fusion})", "random"))

    def forward(
        self, video: Tensor | None, audio: Tensor | None = None, text: Tensor | None = None
    ) -> Tensor:
        """Map of the last frame of a clip.

        Args:
            video: Normalised frames (B, 3, T, H, W), T of ``clip_frames``, H and W multiples of 32.
            audio: Waveforms (B, 1, N), 22050 Hz, in [-256, 256]; None is heard as silence. Ignored by a network
                without audio.
            text: Must be None.

        Returns:
            (B, 1, H, W) in [0, 1].

        Raises:
            InputError: If there is no video, there is text, or a size does not fit.
        """
        return self._pass(video, audio, text, Trace())

    @torch.no_grad()
    def explain(
        self,
        video: Tensor | None,
        audio: Tensor | None = None,
        text: Tensor | None = None,
        saliency: Tensor | None = None,
    ) -> list[Explanation]:
        """RetA and RetV per head (figure 6), weights of the heads, and gates; nothing for the parts that are left out.

        Args:
            video: As :meth:`forward`.
            audio: As :meth:`forward`.
            text: Must be None.
            saliency: Not used.

        Raises:
            InputError: As :meth:`forward`.
        """
        trace = Trace()
        self._pass(video, audio, text, trace)
        return explain_relevance(trace) + explain_gates(trace)

    def _pass(self, video: Tensor | None, audio: Tensor | None, text: Tensor | None, trace: Trace) -> Tensor:
        """The map of a clip, leaving in the trace what can be shown of it."""
        video = self._checked(video, text)
        taps: tuple[Tensor, ...] = self.video_encoder(video)
        x = [scale(tap) for scale, tap in zip(self.scales, taps, strict=True)]  # X^0 first
        heard = self._hear(video, audio)  # (B, C_a, n)
        if self.product is not None and heard is not None:
            x = self.product(x, heard)
        fused = x[0]
        if self.fusion is not None and heard is not None:
            fused, trace.relevance = self.fusion(fused, heard)
            trace.grid = fused.shape[2:]
        y = [self._enriched(x, scale) for scale in range(4)]
        gated: dict[int, Tensor] = {}
        for name, gate in self.gates.items():  # coarse to fine
            fused_here = gated[max(gated)] if gated else fused
            gated[int(name)], trace.gates[int(name)] = gate(fused_here, y[int(name)])
        handed = [[y[scale], *([gated[scale]] if scale in gated else [])] for scale in (1, 2, 3)]
        return self.decoder(gated.get(0, fused), handed, tuple(video.shape[-2:]))

    def _enriched(self, x: list[Tensor], scale: int) -> Tensor:
        """Scale X^i with its neighbours' help, where there is synergy for it."""
        if str(scale) not in self.synergy:
            return x[scale]
        low = x[scale - 1] if scale > 0 else None
        high = x[scale + 1] if scale < 3 else None
        enriched: Tensor = self.synergy[str(scale)](x[scale], low, high)
        return enriched

    def _hear(self, video: Tensor, audio: Tensor | None) -> Tensor | None:
        """Audio features (B, C_a, n); of silence where there is no sound; None if the network has no audio."""
        if self.audio_encoder is None:
            return None
        if audio is None:
            audio = video.new_zeros(len(video), 1, SILENCE_PER_FRAME * self.clip_frames)
        if audio.dim() != 3 or audio.shape[1] != 1:
            raise InputError(
                f"AVRSP reads waveforms (B, 1, N) but got sound of shape {tuple(audio.shape)}; set data.audio=Waveform"
            )
        features: Tensor = self.audio_encoder(audio)
        return features

    def _checked(self, video: Tensor | None, text: Tensor | None) -> Tensor:
        """The frames, if the network can work with them."""
        if text is not None:
            raise InputError("AVRSP reads no text; leave data.captions out")
        if video is None:
            raise InputError("AVRSP needs frames: it has no way to work from sound alone")
        frames, height, width = video.shape[2:]
        if frames != self.clip_frames:
            raise InputError(
                f"got clips of {frames} frames but AVRSP was built for {self.clip_frames}; set data.clip.frames or the "
                "network's clip_frames"
            )
        if height % 32 or width % 32:
            raise InputError(f"frames of {height}x{width}: height and width must be multiples of 32")
        return video
