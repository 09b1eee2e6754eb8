"""DiffSal behind one class: the network of the paper and the network that was released, by option.

Paper: Xiong et al., "DiffSal: Joint Audio and Video Learning for Diffusion Saliency Prediction" (CVPR 2024,
arXiv 2403.01226). The model card in this folder lists what each variant does and its deviations from the paper.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from lightning_avsp.backbones.encoder import VideoEncoder
from lightning_avsp.backbones.registry import (
    AudioEncoderName,
    VideoEncoderName,
    build_audio_encoder,
    build_video_encoder,
)
from lightning_avsp.backbones.weights import PartReport
from lightning_avsp.errors import InputError, require_range
from lightning_avsp.papers.diffsal.paper.decoder import AttentionKind, AudioInteraction, Interaction
from lightning_avsp.papers.diffsal.paper.network import PaperDiffSal
from lightning_avsp.papers.diffsal.released.attention import ReleasedMIM
from lightning_avsp.papers.inputs import draw_first_step
from lightning_avsp.structures import Condition, DiffusionNetwork, Explanation

DiffSalVariant = Literal["paper", "released"]
DiffSalModality = Literal["av", "v", "a"]

PAPER_CHANNELS = (768, 384, 192, 96)
"""Decoder widths, deepest first: those of MViTv2-S."""
TINY_CHANNELS = (64, 48, 32, 16)
"""Decoder widths of the tiny network: those of its video encoder."""
PAPER_HEAD = 768
"""Width of the maps that the prediction head sums, as released; the paper does not give it."""
TINY_HEAD = 48
"""The same for the tiny network."""


class DiffSal(DiffusionNetwork):
    """Diffusion saliency network conditioned on video and audio.

    Args:
        variant: ``paper`` as the paper describes; ``released`` as the released code computes, so that its checkpoints
            fit (see ``load_released``).
        video_encoder: Video backbone (Table 7); ``tiny`` makes every other width small as well.
        audio_encoder: Audio backbone; both read log-mel slices.
        modality: ``av``: both; ``v``: frames only; ``a``: audio only (Table 2). An ``av`` network also works when
            one of them is missing at test time.
        attention: ``eca``: compressed keys and values; ``standard``: uncompressed (Table 4, much memory);
            ``convolution``: Table 1's baseline.
        interaction: Interaction of audio and video: the paper's ``mim`` and the alternatives of Table 3; ``none`` has
            no audio encoder; ``mim_residual`` is ``mim`` plus a product of audio and features, which makes the network
            use audio (not in the paper).
        num_stages: MAM stages, 1 to 4, from the deepest scale (Figure 6).
        channels: Decoder widths at strides 32, 16, 8, 4; None for (768, 384, 192, 96), or the tiny encoder's.
        head_channels: Width at the entry of the prediction head; None for 768, or 48 if tiny.
        video_weights: None: random; ``kinetics400``: published weights, downloaded; else a file.
        audio_weights: None: random; ``vggish``: published weights, downloaded; else a file.
        freeze_video: Keep the video encoder as it is.
        freeze_audio: Keep the audio encoder as it is; None: yes for ``vggish``, as released, no for ``tiny``.

    Raises:
        InputError: If the options do not go together.

    Attributes:
        core: The network of the chosen variant.
        weight_report: Origin of the weights of each part.
    """

    def __init__(
        self,
        variant: DiffSalVariant = "paper",
        video_encoder: VideoEncoderName = "mvitv2_s",
        audio_encoder: AudioEncoderName = "vggish",
        modality: DiffSalModality = "av",
        attention: AttentionKind = "eca",
        interaction: Interaction = "mim",
        num_stages: int = 4,
        channels: tuple[int, int, int, int] | None = None,
        head_channels: int | None = None,
        video_weights: str | None = None,
        audio_weights: str | None = None,
        freeze_video: bool = False,
        freeze_audio: bool | None = None,
    ) -> None:
        super().__init__()
        require_range(1, 4, num_stages=num_stages)
        if modality == "a" and interaction == "none":
            raise InputError(
                "modality=a with interaction=none leaves no input; choose interaction=mim, or modality=v"
            )
        if modality == "a" and video_weights is not None:
            raise InputError(
                f"modality=a has no video encoder for video_weights={video_weights}; set it to null"
            )
        if audio_weights is not None and (modality == "v" or interaction == "none"):
            raise InputError(
                f"modality={modality} with interaction={interaction} has no audio encoder for "
                f"audio_weights={audio_weights}; set it to null"
            )
        if variant == "released":
            for name, value, allowed in (
                ("modality", modality, modality in ("av", "v")),
                ("attention", attention, attention in ("eca", "standard")),
                ("interaction", interaction, interaction in ("mim", "mim_residual", "none")),
                ("video_encoder", video_encoder, video_encoder in ("mvitv2_s", "swin3d_t", "tiny")),
                ("channels", channels, channels is None),
            ):
                if not allowed:
                    raise InputError(
                        f"variant=released has no {name}={value}; use variant=paper, or leave {name} at its default"
                    )
        elif channels is not None and any(width % 8 for width in channels):
            raise InputError(
                f"channels={channels}: every width must be a multiple of 8, for heads and group norms"
            )
        self.variant = variant
        self.modality = modality
        self.interaction = interaction
        self.weight_report: list[PartReport] = []
        tiny = video_encoder == "tiny"
        # without an interaction audio has no way into the maps: no encoder is built
        self.uses_audio = modality != "v" and interaction != "none"
        frozen_audio = audio_encoder == "vggish" if freeze_audio is None else freeze_audio
        audio = None
        if self.uses_audio:
            audio, part = build_audio_encoder(audio_encoder, audio_weights, frozen_audio)
            self.weight_report.append(part)
        mel_bins = 4 if audio_encoder == "tiny" else 12  # 64 and 192 columns, 16 times smaller
        head_width = head_channels or (TINY_HEAD if tiny else PAPER_HEAD)
        self.core: DiffusionNetwork
        if variant == "released":
            # imported here: the paper's variant does not need it
            from lightning_avsp.papers.diffsal.released.mvit import ReleasedMViT
            from lightning_avsp.papers.diffsal.released.network import ReleasedDiffSal

            frames: VideoEncoder
            if video_encoder == "mvitv2_s":
                frames = ReleasedMViT()
                part = frames.prepare(video_weights, freeze_video)
            else:
                frames, part = build_video_encoder(video_encoder, weights=video_weights, frozen=freeze_video)
                # the decoder reads a scale for each stage, never the finest, and DDP demands a gradient everywhere
                for unread in range(4 - min(num_stages, 3)):
                    frames.get_submodule(f"norms.{unread}").requires_grad_(False)
            self.weight_report.append(part)
            self.core = ReleasedDiffSal(
                modality="av" if self.uses_audio else "v",
                video_encoder=frames,
                audio_encoder=audio,
                head_channels=head_width,
                interaction="mim_residual" if interaction == "mim_residual" else "mim",
                attention="standard" if attention == "standard" else "eca",
                num_stages=num_stages,
                mel_bins=mel_bins,
            )
        else:
            seen = None
            if modality != "a":
                seen, part = build_video_encoder(video_encoder, num_stages, video_weights, freeze_video)
                self.weight_report.append(part)
            self.core = PaperDiffSal(
                seen,
                audio,
                channels or (TINY_CHANNELS if tiny else PAPER_CHANNELS),
                head_width,
                attention,
                interaction,
                num_stages,
                mel_bins=mel_bins,
            )
        self.weight_report.append(PartReport("Saliency-UNet", "random"))
        # each variant and modality was trained with its own statistics
        self.pixel_mean, self.pixel_std = self.core.pixel_mean, self.core.pixel_std

    def encode(
        self, video: Tensor | None, audio: Tensor | None = None, text: Tensor | None = None
    ) -> Condition:
        """Compute the features of a clip; sizes, result and errors are those of :attr:`core`."""
        return self.core.encode(video, audio, text)

    @torch.no_grad()
    def explain(
        self,
        video: Tensor | None,
        audio: Tensor | None = None,
        text: Tensor | None = None,
        saliency: Tensor | None = None,
    ) -> list[Explanation]:
        """Show where MIM finds audio and video to agree at each stage, in the first step, from fixed noise (Figure 7).

        Arguments as of :meth:`encode`; ``saliency`` is not read. Nothing without frames, audio or MIM.
        """
        if video is None or audio is None or not self.interaction.startswith("mim") or not self.uses_audio:
            return []
        masks: list[Tensor] = []

        def keep(module: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
            assert isinstance(module, AudioInteraction | ReleasedMIM)
            masks.append(module.mask(*inputs))

        modules = (m for m in self.modules() if isinstance(m, AudioInteraction | ReleasedMIM))
        hooks = [module.register_forward_hook(keep) for module in modules]
        try:
            noise, t = draw_first_step(len(video), (video.shape[-2], video.shape[-1]), video.device)
            self.denoise(noise, t, self.encode(video, audio, text))
        finally:
            for hook in hooks:
                hook.remove()
        title = "agreement of audio and video (MIM's mask, mean over channels, mean 1)"
        return [
            Explanation(f"mim_stage{index}", f"{title}, stage {index} of {len(masks)}", mask[:, None].float())
            for index, mask in enumerate(masks, 1)
        ]

    def denoise(self, noisy_map: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Predict the clean map (B, 1, H, W) in [0, 1] from a noisy one of the frames' size at steps ``t`` (B,)."""
        return self.core.denoise(noisy_map, t, condition)
