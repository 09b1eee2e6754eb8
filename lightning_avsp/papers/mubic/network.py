"""MUBiC behind two classes: the conditional denoiser, and the same network without its diffusion decoder.

Source: the MUBiC thesis, chapters 3 and 4. The model card in this folder numbers every choice and every contradiction
(X1 ...).
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_avsp.backbones.registry import AudioEncoderName, VideoEncoderName
from lightning_avsp.papers.mubic.adaptive import AdaptiveSteps
from lightning_avsp.papers.mubic.decoder import Decoder
from lightning_avsp.papers.mubic.explanation import explain_gates, gate_levels
from lightning_avsp.papers.mubic.noise import NoiseEncoder
from lightning_avsp.papers.mubic.options import Axes, DecoderGate, Fusion, Modality
from lightning_avsp.papers.mubic.trunk import Factors, FusionTrunk
from lightning_avsp.structures import Condition, DiffusionNetwork, DirectNetwork, Explanation

FIRST_STEP = 999
"""Diffusion step at which decoder gates are shown: that of the first of any number of steps out of 1000."""


class MUBiC(DiffusionNetwork):
    """Diffusion saliency network on bidirectionally fused sound and sight.

    Args:
        video_encoder: Video backbone; ``tiny`` makes every other width small as well.
        audio_encoder: Audio backbone, on log-mel slices.
        modality: ``av``, or ``v``: table 4.3, "Visual-Only". An ``av`` network also works when a clip has no sound.
        fusion: The MMI blocks: ``bidirectional``, ``gate``, ``skip`` and more.
        decoder_gate: ``equations``, ``algorithm``, or ``concat`` (X9).
        noise_axes: ``2d`` or ``3d`` noise encoder (X2).
        compression: Compression of keys and values at the four scales, finest first; None: 16, 8, 4, 2, or 8, 4, 2, 1
            if tiny (X5).
        adaptive_steps: Offer the number of steps of Algorithm 2 in :meth:`denoising_steps`. It is untrained (X18).
        video_weights: None: random; ``kinetics400``: published weights, downloaded; else the path of a file.
        audio_weights: None: random; else the path of a file (``torchvggish`` format for ``vggish``).
        freeze_video: Keep the video encoder as it is.
        freeze_audio: Keep the audio encoder as it is; None: yes for ``vggish``, no for ``tiny``.

    Raises:
        InputError: If the options do not go together.

    Attributes:
        weight_report: Which parts started from what.
    """

    def __init__(
        self,
        video_encoder: VideoEncoderName = "mvitv2_s",
        audio_encoder: AudioEncoderName = "vggish",
        modality: Modality = "av",
        fusion: Fusion = Fusion(),  # noqa: B008  # frozen
        decoder_gate: DecoderGate = "equations",
        noise_axes: Axes = "2d",
        compression: Factors | None = None,
        adaptive_steps: bool = False,
        video_weights: str | None = None,
        audio_weights: str | None = None,
        freeze_video: bool = False,
        freeze_audio: bool | None = None,
    ) -> None:
        super().__init__()
        self.trunk = FusionTrunk(
            video_encoder,
            audio_encoder,
            modality,
            fusion,
            compression,
            video_weights,
            audio_weights,
            freeze_video,
            freeze_audio,
        )
        widths = self.trunk.widths
        self.noise_encoder = NoiseEncoder(widths.noise, widths.steps, noise_axes)
        self.decoder = Decoder(widths, decoder_gate, denoises=True)
        self.adaptive = AdaptiveSteps() if adaptive_steps else None
        self.uses_audio = modality == "av"
        self.weight_report = self.trunk.weight_report
        self.pixel_mean, self.pixel_std = (
            self.trunk.video_encoder.pixel_mean,
            self.trunk.video_encoder.pixel_std,
        )
        self._levels: dict[str, Tensor] = {}

    def encode(
        self, video: Tensor | None, audio: Tensor | None = None, text: Tensor | None = None
    ) -> Condition:
        """Fused features of a clip; call once per clip.

        Args:
            video: Normalised frames (B, 3, T, H, W), H and W multiples of 32, 64 at least.
            audio: Log-mel slices (B, 1, S, Ha, Wa); None for a clip without sound.
            text: Must be None.

        Returns:
            Fused features as ``video``, deepest first; the refined sound as ``audio``, which denoising does not read.

        Raises:
            InputError: If there is no video, or sizes do not fit.
        """
        fused = self.trunk(video, audio, text)
        self._levels = gate_levels("gate_alpha", fused.gates)
        return Condition(video=fused.features[::-1], audio=fused.sound)

    def denoise(self, noisy_map: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Clean map predicted from a noisy one (Algorithm 1, lines 19 to 30).

        Args:
            noisy_map: (B, 1, H, W) of any size; the thesis has half the frames' (X1).
            t: Diffusion step of each map, int64 (B,), 0 to 999.
            condition: What :meth:`encode` returned.

        Returns:
            Predicted clean map (B, 1, H, W) in [0, 1], float32.
        """
        maps, gates = self._denoise(noisy_map, t, condition)
        self._levels |= gate_levels("gate_decoder", gates)
        return maps

    def _denoise(self, noisy_map: Tensor, t: Tensor, condition: Condition) -> tuple[Tensor, list[Tensor]]:
        fused = condition.video[::-1]  # finest first
        noise = self.noise_encoder(noisy_map, t, (fused[0].shape[-2], fused[0].shape[-1]))
        return self.decoder(fused, noise, (noisy_map.shape[-2], noisy_map.shape[-1]))

    def denoising_steps(self, condition: Condition) -> Tensor | None:
        """Number of denoising steps each clip asks for, int64 (B,) from 2 to 8; None unless built with adaptive steps.

        Untrained: see :class:`AdaptiveSteps`.
        """
        return None if self.adaptive is None else self.adaptive(condition.video[-1])

    def diagnostics(self) -> dict[str, Tensor]:
        """Means of the gates in the last pass and the skips' scalars, to be logged in training."""
        return self._levels | skip_levels(self.trunk)

    @torch.no_grad()
    def explain(
        self,
        video: Tensor | None,
        audio: Tensor | None = None,
        text: Tensor | None = None,
        saliency: Tensor | None = None,
    ) -> list[Explanation]:
        """Gates and skip scalars of a clip; the decoder's gates in the first denoising step, from fixed noise.

        Args:
            video: Normalised frames (B, 3, T, H, W).
            audio: Log-mel slices (B, 1, S, Ha, Wa), or None.
            text: Must be None.
            saliency: Not read.
        """
        fused = self.trunk(video, audio, text)
        finest = fused.features[0]
        shape = (1, 1, 2 * finest.shape[-2], 2 * finest.shape[-1])
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(finest.device)
        t = torch.full((len(finest),), FIRST_STEP, device=finest.device)
        condition = Condition(video=fused.features[::-1])
        _, gates = self._denoise(noise.expand(len(finest), -1, -1, -1), t, condition)
        return explain_gates(fused.gates, self.trunk.skip_scalars(), gates, len(finest))


class MUBiCRegression(DirectNetwork):
    """MUBiC without its diffusion decoder: the map straight from the fused features (table 4.3).

    Shares encoders, fusion, decoder fusion, temporal convolutions and head with :class:`MUBiC`; there is no noise
    encoder and no attention in the decoder.

    Args:
        video_encoder: See :class:`MUBiC`, like all but the last.
        audio_encoder: Audio backbone.
        modality: ``av`` or ``v``.
        fusion: The MMI blocks.
        decoder_gate: ``equations``, ``algorithm``, or ``concat``.
        compression: Compression of keys and values at the four scales.
        video_weights: Where the video encoder starts.
        audio_weights: Where the audio encoder starts.
        freeze_video: Keep the video encoder as it is.
        freeze_audio: Keep the audio encoder as it is.
        map_size: Height and width of the maps; None for those of the frames. The thesis compares at 112x192 (X1).

    Raises:
        InputError: If the options do not go together.
    """

    def __init__(
        self,
        video_encoder: VideoEncoderName = "mvitv2_s",
        audio_encoder: AudioEncoderName = "vggish",
        modality: Modality = "av",
        fusion: Fusion = Fusion(),  # noqa: B008  # frozen
        decoder_gate: DecoderGate = "equations",
        compression: Factors | None = None,
        video_weights: str | None = None,
        audio_weights: str | None = None,
        freeze_video: bool = False,
        freeze_audio: bool | None = None,
        map_size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.trunk = FusionTrunk(
            video_encoder,
            audio_encoder,
            modality,
            fusion,
            compression,
            video_weights,
            audio_weights,
            freeze_video,
            freeze_audio,
        )
        self.decoder = Decoder(self.trunk.widths, decoder_gate, denoises=False)
        self.map_size = map_size
        self.uses_audio = modality == "av"
        self.weight_report = self.trunk.weight_report
        self.pixel_mean, self.pixel_std = (
            self.trunk.video_encoder.pixel_mean,
            self.trunk.video_encoder.pixel_std,
        )
        self._levels: dict[str, Tensor] = {}

    def forward(
        self, video: Tensor | None, audio: Tensor | None = None, text: Tensor | None = None
    ) -> Tensor:
        """Map of a clip.

        Args:
            video: Normalised frames (B, 3, T, H, W), H and W multiples of 32, 64 at least.
            audio: Log-mel slices (B, 1, S, Ha, Wa), or None.
            text: Must be None.

        Returns:
            (B, 1, H, W) in [0, 1], of ``map_size``, float32.

        Raises:
            InputError: If there is no video, or sizes do not fit.
        """
        fused = self.trunk(video, audio, text)
        assert video is not None  # the trunk refuses its absence
        maps, gates = self.decoder(fused.features, None, self.map_size or (video.shape[-2], video.shape[-1]))
        self._levels = gate_levels("gate_alpha", fused.gates) | gate_levels("gate_decoder", gates)
        return maps

    def diagnostics(self) -> dict[str, Tensor]:
        """Means of the gates in the last pass and the skips' scalars, to be logged in training."""
        return self._levels | skip_levels(self.trunk)

    @torch.no_grad()
    def explain(
        self,
        video: Tensor | None,
        audio: Tensor | None = None,
        text: Tensor | None = None,
        saliency: Tensor | None = None,
    ) -> list[Explanation]:
        """Gates and skip scalars of a clip; arguments as :meth:`MUBiC.explain`."""
        fused = self.trunk(video, audio, text)
        finest = fused.features[0]
        _, gates = self.decoder(fused.features, None, (finest.shape[-2], finest.shape[-1]))
        return explain_gates(fused.gates, self.trunk.skip_scalars(), gates, len(finest))


def skip_levels(trunk: FusionTrunk) -> dict[str, Tensor]:
    """Skip scalars by name."""
    return gate_levels("skip_beta", trunk.skip_scalars())
