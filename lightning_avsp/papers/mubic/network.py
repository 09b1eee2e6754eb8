"""MUBiC behind two classes: the conditional denoiser, and the same network without its diffusion decoder.

Source: the MUBiC thesis, chapters 3 and 4. The model card in this folder numbers every choice and every contradiction
(X1 ...).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from lightning_avsp.backbones.registry import AudioEncoderName, VideoEncoderName
from lightning_avsp.layers.convolution import Axes
from lightning_avsp.papers.inputs import draw_first_step, explain_gates
from lightning_avsp.papers.mubic.decoder import DenoisingDecoder, StepNoiseEncoder, choose_steps
from lightning_avsp.papers.mubic.interaction import DecoderGate, Fusion
from lightning_avsp.papers.mubic.trunk import Factors, Fused, FusionTrunk
from lightning_avsp.structures import (
    Condition,
    DiffusionNetwork,
    DirectNetwork,
    Explanation,
    SaliencyNetwork,
)

SCALES = ("stride 4", "stride 8", "stride 16", "stride 32")
"""Ratio of the frame's size to that of each scale's features, finest first."""


def gate_levels(prefix: str, gates: Sequence[Tensor]) -> dict[str, Tensor]:
    """Compute the mean of each gate, by name, to be logged; finest scale first."""
    return {
        f"{prefix}_{scale.replace(' ', '')}": gate.detach().float().mean()
        for scale, gate in zip(SCALES, gates, strict=False)
    }


class FusionNetwork(SaliencyNetwork):
    """Parts that both networks share: encoders and fusion, gate levels for the log, explanations.

    Attributes:
        weight_report: Origin of the weights of each part.
    """

    def __init__(self, trunk: FusionTrunk) -> None:
        super().__init__()
        self.trunk = trunk
        self.uses_audio = trunk.audio_encoder is not None
        self.weight_report = trunk.weight_report
        self.pixel_mean, self.pixel_std = trunk.video_encoder.pixel_mean, trunk.video_encoder.pixel_std
        self._levels: dict[str, Tensor] = {}

    @abstractmethod
    def decoder_gates(self, fused: Fused) -> list[Tensor]:
        """Compute the decoder's gates (B, C, T, h, w), finest first."""

    def diagnostics(self) -> dict[str, Tensor]:
        """Return the means of the gates in the last pass and the skips' scalars, to be logged in training."""
        return self._levels | gate_levels("skip_beta", self.trunk.skip_scalars())

    @torch.no_grad()
    def explain(
        self,
        video: Tensor | None,
        audio: Tensor | None = None,
        text: Tensor | None = None,
        saliency: Tensor | None = None,
    ) -> list[Explanation]:
        """Show gates and skip scalars of a clip; a denoiser's decoder gates in the first step, from fixed noise.

        Arguments as of :meth:`FusionTrunk.forward`; ``saliency`` is not read.
        """
        fused = self.trunk(video, audio, text)
        alphas, gates = (
            dict(zip(SCALES, kind, strict=False)) for kind in (fused.gates, self.decoder_gates(fused))
        )
        alpha = "alpha, 0: audio that attended to the video, 1: video that attended to the audio"
        shown = explain_gates("gate_alpha", alpha, alphas)
        shown += explain_gates("gate_decoder", "decoder gate, 0: deeper stage, 1: fused features", gates)
        betas = [beta.detach().float() for beta in self.trunk.skip_scalars()]
        if betas:
            values = torch.stack(betas).expand(len(fused.features[0]), -1)
            title = "beta, weight of the skip from the visual features"
            shown.append(Explanation("skip_beta", title, values, SCALES[: len(betas)]))
        return shown


class MUBiC(FusionNetwork, DiffusionNetwork):
    """Diffusion saliency network on bidirectionally fused audio and video.

    Args:
        video_encoder: Video backbone; ``tiny`` makes every other width small as well.
        audio_encoder: Audio backbone, on log-mel slices.
        modality: ``av``, or ``v``: table 4.3, "Visual-Only". An ``av`` network also works when a clip has no audio.
        fusion: The MMI blocks: ``bidirectional``, ``gate``, ``skip`` and more.
        decoder_gate: ``equations``, ``algorithm``, or ``concat`` (X9).
        noise_axes: ``2d`` or ``3d`` noise encoder (X2).
        compression: Compression of keys and values at the four scales, finest first; None: 16, 8, 4, 2, or 8, 4, 2, 1
            if tiny (X5).
        decoder_keys: Keys and values of the decoder's attention: ``compressed`` as in the fusion, or ``all`` positions,
            as Equation 3.47 (X40).
        adaptive_steps: Offer the number of steps of Algorithm 2 in :meth:`denoising_steps`. It is untrained (X18).
        video_weights: None: random; ``kinetics400``: published weights, downloaded; else a file.
        audio_weights: None: random; ``vggish``: published weights, downloaded; else a file.
        freeze_video: Keep the video encoder as it is.
        freeze_audio: Keep the audio encoder as it is; None: yes for ``vggish``, no for ``tiny``.

    Raises:
        InputError: If the options do not go together.
    """

    def __init__(
        self,
        video_encoder: VideoEncoderName = "mvitv2_s",
        audio_encoder: AudioEncoderName = "vggish",
        modality: Literal["av", "v"] = "av",
        fusion: Fusion = Fusion(),  # noqa: B008  # frozen
        decoder_gate: DecoderGate = "equations",
        noise_axes: Axes = "2d",
        compression: Factors | None = None,
        decoder_keys: Literal["compressed", "all"] = "compressed",
        adaptive_steps: bool = False,
        video_weights: str | None = None,
        audio_weights: str | None = None,
        freeze_video: bool = False,
        freeze_audio: bool | None = None,
    ) -> None:
        trunk = FusionTrunk(
            video_encoder, audio_encoder, modality, fusion, compression,
            (video_weights, audio_weights), (freeze_video, freeze_audio),
        )  # fmt: skip
        super().__init__(trunk)
        self.noise_encoder = StepNoiseEncoder(trunk.widths.noise, trunk.widths.steps, noise_axes)
        self.decoder = DenoisingDecoder(trunk.widths, decoder_gate, True, decoder_keys == "compressed")
        self.adaptive_steps = adaptive_steps

    def encode(
        self, video: Tensor | None, audio: Tensor | None = None, text: Tensor | None = None
    ) -> Condition:
        """Compute fused features from frames and log-mel slices; see :meth:`FusionTrunk.forward` for their sizes.

        Returns:
            Fused features as ``video``, deepest first; the refined audio as ``audio``, which denoising does not read.
        """
        fused = self.trunk(video, audio, text)
        self._levels = gate_levels("gate_alpha", fused.gates)
        # a condition holds the deepest first, the thesis numbers from the finest
        return Condition(video=fused.features[::-1], audio=fused.refined)

    def denoise(self, noisy_map: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Predict the clean map (B, 1, H, W) in [0, 1], float32, from a noisy one (Algorithm 1, lines 19 to 30).

        The noisy map may have any size; the thesis has half the frames' (X1).
        """
        maps, gates = self._denoise(noisy_map, t, condition)
        self._levels |= gate_levels("gate_decoder", gates)
        return maps

    def _denoise(self, noisy_map: Tensor, t: Tensor, condition: Condition) -> tuple[Tensor, list[Tensor]]:
        fused = condition.video[::-1]  # finest first
        noise = self.noise_encoder(noisy_map, t, (fused[0].shape[-2], fused[0].shape[-1]))
        return self.decoder(fused, noise, (noisy_map.shape[-2], noisy_map.shape[-1]))

    def denoising_steps(self, condition: Condition) -> Tensor | None:
        """Compute the denoising steps of each clip, int64 (B,) from 2 to 8; None unless built with adaptive steps.

        Untrained: see :func:`choose_steps`.
        """
        return choose_steps(condition.video[-1]) if self.adaptive_steps else None

    def decoder_gates(self, fused: Fused) -> list[Tensor]:
        """Compute the decoder's gates (B, C, T, h, w) in the first denoising step, finest first, from fixed noise."""
        batch, _, _, height, width = fused.features[0].shape
        noise, t = draw_first_step(batch, (2 * height, 2 * width), fused.features[0].device)
        return self._denoise(noise, t, Condition(video=fused.features[::-1]))[1]


class MUBiCRegression(FusionNetwork, DirectNetwork):
    """MUBiC without its diffusion decoder: the map straight from the fused features (table 4.3).

    Shares encoders, fusion, decoder fusion, temporal convolutions and head with :class:`MUBiC`; there is no noise
    encoder and no attention in the decoder.

    Options as of :class:`MUBiC`, and ``map_size``: height and width of the maps; None for those of the frames. The
    thesis compares at 112x192 (X1).

    Raises:
        InputError: If the options do not go together.
    """

    def __init__(
        self,
        video_encoder: VideoEncoderName = "mvitv2_s",
        audio_encoder: AudioEncoderName = "vggish",
        modality: Literal["av", "v"] = "av",
        fusion: Fusion = Fusion(),  # noqa: B008  # frozen
        decoder_gate: DecoderGate = "equations",
        compression: Factors | None = None,
        video_weights: str | None = None,
        audio_weights: str | None = None,
        freeze_video: bool = False,
        freeze_audio: bool | None = None,
        map_size: tuple[int, int] | None = None,
    ) -> None:
        trunk = FusionTrunk(
            video_encoder, audio_encoder, modality, fusion, compression,
            (video_weights, audio_weights), (freeze_video, freeze_audio),
        )  # fmt: skip
        super().__init__(trunk)
        self.decoder = DenoisingDecoder(trunk.widths, decoder_gate, denoises=False)
        self.map_size = map_size

    def forward(
        self, video: Tensor | None, audio: Tensor | None = None, text: Tensor | None = None
    ) -> Tensor:
        """Predict the map of a clip, (B, 1, H, W) in [0, 1], float32; arguments and errors of :class:`FusionTrunk`."""
        fused = self.trunk(video, audio, text)
        assert video is not None  # the trunk refuses its absence
        maps, gates = self.decoder(fused.features, None, self.map_size or (video.shape[-2], video.shape[-1]))
        self._levels = gate_levels("gate_alpha", fused.gates) | gate_levels("gate_decoder", gates)
        return maps

    def decoder_gates(self, fused: Fused) -> list[Tensor]:
        """Compute the decoder's gates (B, C, T, h, w), finest first."""
        size = (fused.features[0].shape[-2], fused.features[0].shape[-1])
        return self.decoder(fused.features, None, size)[1]
