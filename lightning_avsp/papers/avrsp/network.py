"""AVRSP: relevance-guided audio-visual saliency prediction.

Paper: "Relevance-guided Audio Visual Fusion for Video Saliency Prediction" (AVRSP). There is no released code; the
model card in this folder says what the paper states, what it contradicts, and what was chosen (D and X numbers).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_avsp.backbones.encoder import AudioEncoder
from lightning_avsp.backbones.registry import (
    VideoEncoderName,
    WaveformEncoderName,
    build_video_encoder,
    build_waveform_encoder,
)
from lightning_avsp.backbones.soundnet import SoundNetTap
from lightning_avsp.backbones.weights import PartReport
from lightning_avsp.errors import InputError, require_range
from lightning_avsp.papers.avrsp.fusions import AudioProduct, build_fusion, sound_of_steps
from lightning_avsp.papers.avrsp.relevance import (
    RAVF,
    BilinearForm,
    Exchange,
    FusionName,
    GateForm,
    RAVFSettings,
    Trace,
    explain_relevance,
)
from lightning_avsp.papers.avrsp.scales import DILATIONS, MapDecoder, RegulatorGate, Scale, Synergy
from lightning_avsp.papers.inputs import check_frame_size, explain_gates, refuse_text
from lightning_avsp.structures import DirectNetwork, Explanation

SILENCE_PER_FRAME = 2205
"""Samples of silence that stand for each frame of a clip without audio: 22050 Hz at 10 frames per second."""


class AVRSP(DirectNetwork):
    """Saliency of the last frame of a clip from its frames and its waveform, in one pass.

    Args:
        video_encoder: Video backbone with four scales; ``tiny`` makes every other width small as well.
        audio_encoder: Encoder of waveforms.
        audio: False for the paper's visual branch (Tables III and IV).
        fusion: Fusion of audio with the coarsest features (Table V). ``none``: no audio; ``ravf_product`` adds a
            product of audio and features at every scale, which is not in the paper.
        ms: Multi-scale synergy (Table III).
        mrg: Multi-scale regulator gates (Table III).
        ms_mrg_pairs: Finest scales that ``ms`` and ``mrg`` work on (Table IV): 3 as in the paper; 4 is all scales, 0
            none. The others reach the decoder as they are.
        ms_exchange: Scales that meet in synergy's second stage (Equation 10): ``adjacent`` ones, or ``full``: all read
            all (D9).
        channels: Width d of all scales; None for 64, or 16 if the video encoder is tiny.
        ravf: Options of the relevance-guided fusion.
        bilinear: Form of ``fusion=bilinear``.
        mrg_gate: One gate value per channel, as printed, or per channel, step and position.
        lip_space_stride: Factor by which local importance pooling divides height and width.
        audio_tap: Layer that SoundNet's features are taken from.
        clip_frames: Frames per clip, a multiple of 8.
        video_weights: None: random; ``kinetics400``: published weights, downloaded; else a file.
        audio_weights: None: random; ``soundnet8``: the file in the folder of weights; else a file.
        freeze_video: Keep the video encoder as it is.
        freeze_audio: Keep the audio encoder as it is.

    Raises:
        InputError: If the options do not go together.

    Attributes:
        weight_report: Origin of the weights of each part.
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
        ms_exchange: Exchange = "adjacent",
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
        require_range(0, 4, ms_mrg_pairs=ms_mrg_pairs)
        require_range(1, lip_space_stride=lip_space_stride)
        if clip_frames < 8 or clip_frames % 8:
            raise InputError(
                f"clip_frames={clip_frames}: the encoder divides time by 8; choose a multiple of 8"
            )
        self.uses_audio = audio and fusion != "none"
        if audio_weights is not None and not self.uses_audio:
            raise InputError(
                f"audio={str(audio).lower()} with fusion={fusion} has no audio encoder for "
                f"audio_weights={audio_weights}; set it to null"
            )
        tiny = video_encoder == "tiny"
        self.clip_frames = clip_frames
        self.weight_report: list[PartReport] = []
        self.video_encoder, part = build_video_encoder(
            video_encoder, weights=video_weights, frozen=freeze_video
        )
        self.weight_report.append(part)
        self.pixel_mean, self.pixel_std = self.video_encoder.pixel_mean, self.video_encoder.pixel_std
        channels = channels or (16 if tiny else 64)
        steps = clip_frames // 8  # the time steps of S3D's deepest scale (D3)
        self.scales = nn.ModuleList(
            Scale(width, channels, rates, steps, lip_space_stride)
            for width, rates in zip(self.video_encoder.channels, DILATIONS, strict=True)
        )
        paired = range(4 - ms_mrg_pairs, 4)  # the finest scales come first (Table IV)
        self.synergy = nn.ModuleDict(
            {str(scale): Synergy(channels, scale > 0, scale < 3, ms_exchange) for scale in paired if ms}
        )
        self.gates = nn.ModuleDict({str(scale): RegulatorGate(channels, mrg_gate) for scale in paired if mrg})
        # a gated scale hands its fused features on too (D11)
        one, two, three = (2 if str(scale) in self.gates else 1 for scale in (1, 2, 3))
        self.decoder = MapDecoder(channels, (one, two, three), steps)
        self.weight_report.append(PartReport("scales, synergy, gates and decoder", "random"))
        self.audio_encoder: AudioEncoder | None = None
        self.fusion: nn.Module | None = None
        self.product: AudioProduct | None = None
        if self.uses_audio:
            encoder, part = build_waveform_encoder(audio_encoder, audio_tap, audio_weights, freeze_audio)
            self.audio_encoder = encoder
            self.weight_report.append(part)
            width = ravf.width or (64 if tiny else 512)
            self.fusion = build_fusion(fusion, channels, encoder.out_channels, width, ravf, bilinear)
            if fusion == "ravf_product":
                self.product = AudioProduct(channels, encoder.out_channels, 4)
            self.weight_report.append(PartReport(f"fusion ({fusion})", "random"))

    def forward(
        self, video: Tensor | None, audio: Tensor | None = None, text: Tensor | None = None
    ) -> Tensor:
        """Predict the map of the last frame of a clip.

        Args:
            video: Normalised frames (B, 3, T, H, W), T of ``clip_frames``, H and W multiples of 32.
            audio: Waveforms (B, 1, N), 22050 Hz, in [-256, 256]; None stands for silence (D5).
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
        """Show RetA and RetV per head (figure 6), weights of the heads, and gates; arguments as of :meth:`forward`."""
        trace = Trace()
        self._pass(video, audio, text, trace)
        gates = {f"scale {scale}": gate for scale, gate in trace.gates.items()}
        return explain_relevance(trace) + explain_gates("gate", "gate, mean over channels, 0 to 1", gates)

    def _pass(self, video: Tensor | None, audio: Tensor | None, text: Tensor | None, trace: Trace) -> Tensor:
        """Predict the map of a clip, and leave intermediate results in the trace."""
        video = self._check(video, text)
        taps: tuple[Tensor, ...] = self.video_encoder(video)
        x = [scale(tap) for scale, tap in zip(self.scales, taps, strict=True)]  # X^0 first
        encoded, waveform = self._encode_audio(video, audio)  # (B, C_a, n)
        if self.product is not None and encoded is not None:
            x = self.product(x, encoded)
        fused = x[0]
        if self.fusion is not None and encoded is not None and self.audio_encoder is not None:
            if getattr(self.fusion, "by_step", False):
                centres = self.audio_encoder.token_centres(encoded.shape[-1])
                encoded = sound_of_steps(encoded, waveform, centres, fused.shape[2])
            found = (trace.relevance,) if isinstance(self.fusion, RAVF) else ()
            fused = self.fusion(fused, encoded, *found)
            trace.grid = fused.shape[2:]
        # synergy reads visual features only: audio reaches the finer scales through the gates
        y = [self._enrich(x, scale) for scale in range(4)]
        gated: dict[int, Tensor] = {}
        for name, gate in self.gates.items():  # coarse to fine
            # gates chain over the scales that have one (D10)
            fused_here = gated[max(gated)] if gated else fused
            gated[int(name)], trace.gates[int(name)] = gate(fused_here, y[int(name)])
        handed = [[y[scale], *([gated[scale]] if scale in gated else [])] for scale in (1, 2, 3)]
        return self.decoder(gated.get(0, fused), handed, tuple(video.shape[-2:]))

    def _enrich(self, x: list[Tensor], scale: int) -> Tensor:
        """Enrich scale X^i by its neighbours, where there is synergy for it."""
        if str(scale) not in self.synergy:
            return x[scale]
        low = x[scale - 1] if scale > 0 else None
        high = x[scale + 1] if scale < 3 else None
        enriched: Tensor = self.synergy[str(scale)](x[scale], low, high)
        return enriched

    def _encode_audio(self, video: Tensor, audio: Tensor | None) -> tuple[Tensor | None, Tensor]:
        """Encode audio to (B, C_a, n), None if the network has none, and return the waveform: silence for no audio."""
        if self.audio_encoder is None:
            return None, video.new_zeros(())
        if audio is None:
            # a missing track is silence, of the clip length (D5)
            audio = video.new_zeros(len(video), 1, SILENCE_PER_FRAME * self.clip_frames)
        if audio.dim() != 3 or audio.shape[1] != 1:
            raise InputError(
                f"AVRSP reads waveforms (B, 1, N) but got audio of shape {tuple(audio.shape)}; set data.audio=Waveform"
            )
        features: Tensor = self.audio_encoder(audio)
        return features, audio

    def _check(self, video: Tensor | None, text: Tensor | None) -> Tensor:
        """Return the frames, if the network can work with them."""
        refuse_text("AVRSP", text)
        if video is None:
            raise InputError("AVRSP needs frames: it cannot work from audio alone")
        if video.shape[2] != self.clip_frames:
            raise InputError(
                f"got clips of {video.shape[2]} frames but AVRSP was built for {self.clip_frames}; "
                "set data.clip.frames or the network's clip_frames"
            )
        check_frame_size("AVRSP", video)
        return video
