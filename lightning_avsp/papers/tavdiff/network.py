"""TAVDiff: a diffusion transformer that samples saliency maps from video, audio and a caption.

Paper: "TAVDiff", a text-audio-visual-conditioned diffusion model for video saliency prediction. Where the paper is
silent or contradicts itself the choice is numbered (X1 ...) in the model card, README.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from lightning_avsp.backbones.encoder import AudioEncoder, VideoEncoder
from lightning_avsp.backbones.registry import (
    VideoEncoderName,
    WaveformEncoderName,
    build_waveform_encoder,
)
from lightning_avsp.backbones.soundnet import SoundNetTap
from lightning_avsp.backbones.weights import PartReport
from lightning_avsp.errors import InputError, require_choice
from lightning_avsp.papers.tavdiff.condition import RepeatedText, TextFusion, VisualOnly, condition_tokens
from lightning_avsp.papers.tavdiff.condition_encoder import ConditionEncoder, Modalities, build_frames
from lightning_avsp.papers.tavdiff.saliency_dit import ConditionPath, MapTransformer
from lightning_avsp.papers.tavdiff.sitr import (
    SITR,
    InferSelect,
    SITROutput,
    SITRTokens,
    TrainSelect,
    explain_sitr,
)
from lightning_avsp.papers.tavdiff.unet import UNet
from lightning_avsp.structures import Condition, DiffusionNetwork, Explanation

Denoiser = Literal["saliency_dit", "dit", "unet"]
"""Rows of Table III."""
SizeName = Literal["S", "B", "tiny"]
"""Names of :data:`SIZES`."""
PooledCondition = Literal["sum", "concat", "in_context", "in_context_sum", "in_context_concat"]
"""Path of the condition into a denoiser without cross-attention (X7)."""


@dataclass(frozen=True)
class NetworkSize:
    """Widths that belong together."""

    width: int
    """Width d of the tokens of map and condition."""
    depth: int
    """Transformer blocks."""
    heads: int
    """Attention heads of the denoiser."""
    sitr_heads: int
    """Attention heads of SITR."""
    patch: int
    """Side of a patch of the map in pixels."""
    unet_channels: tuple[int, ...]
    """Channels of the U-Net, finest scale first."""
    unet_heads: int
    """Attention heads of the U-Net."""


SIZES: dict[str, NetworkSize] = {
    "S": NetworkSize(384, 12, 6, 8, 8, (72, 144, 216, 288), 8),
    "B": NetworkSize(768, 12, 12, 8, 8, (144, 288, 432, 576), 8),
    "tiny": NetworkSize(64, 3, 4, 4, 4, (16, 32, 48), 4),
}


def condition_path(
    denoiser: Denoiser, decoupled: bool, pooled_condition: PooledCondition | None
) -> ConditionPath:
    """Resolve the path by which the condition enters a transformer denoiser.

    Raises:
        InputError: If the options contradict each other.
    """
    if denoiser == "saliency_dit" and decoupled:
        if pooled_condition is not None:
            raise InputError(
                f"pooled_condition={pooled_condition} is for denoisers without cross-attention: "
                "set denoiser=dit or decoupled=false, or leave it out"
            )
        return "cross"
    return pooled_condition or ("in_context_sum" if denoiser == "dit" else "in_context_concat")


class TAVDiff(DiffusionNetwork):
    """Text-audio-visual-conditioned diffusion network.

    Args:
        modalities: ``tav``: text, audio and video; ``av``, ``tv``, ``ta``: two of them (Tables I and II); ``v``: frames
            alone, for pretraining on DHF1K (X18). A network also works when some of its inputs are missing at test
            time.
        video_encoder: Video backbone, read at its deepest scale; ``tiny`` (X22) makes every other width small as well.
        audio_encoder: Backbone of the waveform.
        audio_tap: Layer that SoundNet's features are taken from.
        denoiser: Denoising network (Table III).
        decoupled: Saliency-DiT's cross-attention to the condition; without it, the condition enters with the time
            vector (Table IV).
        pooled_condition: Path of the condition into a denoiser without cross-attention (X7): ``sum``, its mean added to
            the time vector; ``concat``, its mean beside it; ``in_context``, its tokens beside the map's;
            ``in_context_sum`` and ``in_context_concat``, both. None: ``in_context_sum`` for ``dit``,
            ``in_context_concat`` for the undecoupled Saliency-DiT.
        residual: Residuals around the parts of a block; ``false``: Equations 3 to 7 as printed (X4).
        text_fusion: Fusion of the caption with the visual features (Table V).
        sitr_tokens: Tokens whose maps SITR may choose.
        sitr_train_select: Choice in training (X2).
        sitr_infer_select: Rule of test time (X1).
        sitr_output: Use of the chosen map (X3).
        sitr_gt_share: Share of clips for which the ground truth chooses, with ``sitr_train_select=mixed``.
        sitr_gt_product: In training, multiply the chosen map by the ground truth, as Section III-C says (X27).
        audio_product: Also multiply the visual features of every stage of the video encoder, ``s3d`` or ``tiny``, by a
            function of the audio (not in the paper, X20).
        text_product: Also multiply them by a function of the caption (not in the paper, X20).
        size: ``S`` (width 384), ``B`` (768) or ``tiny`` (64); None: ``tiny`` with the tiny video encoder, else ``S``.
        patch: Side of a patch of the map in pixels; None: 8, or 4 if tiny.
        text_width: Width of the text token features: 512 for CLIP ViT-B/32.
        video_weights: None: random; ``kinetics400``: published weights, downloaded; else a file.
        audio_weights: None: random; ``soundnet8``: the file in the folder of weights; else a file.
        freeze_video: Keep the video encoder as it is.
        freeze_audio: Keep the audio encoder as it is.
        encoder_lr_scale: Factor on the learning rate of both encoders; None: 0.1, or 1 if tiny.

    Raises:
        InputError: If the options do not go together.

    Attributes:
        lr_scales: Factor on the learning rate of the parameters whose names start so: of encoders that are trained.
        reads_target: True if training must pass the ground truth (SITR, X2).
        weight_report: Origin of the weights of each part.
    """

    audio_form = "waveform"

    def __init__(
        self,
        modalities: Modalities = "tav",
        video_encoder: VideoEncoderName = "s3d",
        audio_encoder: WaveformEncoderName = "soundnet8",
        audio_tap: SoundNetTap = "conv7",
        denoiser: Denoiser = "saliency_dit",
        decoupled: bool = True,
        pooled_condition: PooledCondition | None = None,
        residual: bool = True,
        text_fusion: TextFusion = "sitr",
        sitr_tokens: SITRTokens = "words",
        sitr_train_select: TrainSelect = "gt",
        sitr_infer_select: InferSelect = "entropy",
        sitr_output: SITROutput = "modulated",
        sitr_gt_share: float = 0.5,
        sitr_gt_product: bool = False,
        audio_product: bool = False,
        text_product: bool = False,
        size: SizeName | None = None,
        patch: int | None = None,
        text_width: int = 512,
        video_weights: str | None = None,
        audio_weights: str | None = None,
        freeze_video: bool = False,
        freeze_audio: bool = False,
        encoder_lr_scale: float | None = None,
    ) -> None:
        super().__init__()
        tiny = video_encoder == "tiny"
        size = size or ("tiny" if tiny else "S")
        require_choice("modalities", modalities, get_args(Modalities))
        require_choice("denoiser", denoiser, get_args(Denoiser))
        require_choice("text_fusion", text_fusion, get_args(TextFusion))
        require_choice("size", size, SIZES)
        if denoiser == "unet" and (pooled_condition is not None or not residual):
            raise InputError(
                f"denoiser=unet has no pooled_condition={pooled_condition} and no residual={residual}; leave both out, "
                "or choose another denoiser"
            )
        if not decoupled and denoiser != "saliency_dit":
            raise InputError(
                f"decoupled=false is Saliency-DiT without its cross-attention, but denoiser={denoiser}; "
                "set denoiser=saliency_dit"
            )
        for letter, name, wanted, weights in (
            ("a", "audio", audio_product, audio_weights),
            ("t", "text", text_product, None),
            ("v", "video", False, video_weights),
        ):
            if wanted and not ("v" in modalities and letter in modalities):
                raise InputError(
                    f"{name}_product=true multiplies visual features, but modalities={modalities}; leave it out or set "
                    f"modalities={'tv' if letter == 't' else 'av'} or tav"
                )
            if weights is not None and letter not in modalities:
                raise InputError(
                    f"modalities={modalities} has no encoder for {name}_weights={weights}; set it to null"
                )
        path = condition_path(denoiser, decoupled, pooled_condition)
        sizes = SIZES[size]
        self.modalities = modalities
        self.weight_report: list[PartReport] = []
        frames: VideoEncoder | None = None
        fusion: VisualOnly | SITR | None = None
        if "v" in modalities:
            # its deepest scale alone is read
            frames, part = build_frames(video_encoder, video_weights, freeze_video)
            self.weight_report.append(part)
            self.pixel_mean, self.pixel_std = frames.pixel_mean, frames.pixel_std
            channels = frames.channels[0]
            if "t" not in modalities:
                # names of its weights fit a network with text (X18)
                fusion = VisualOnly(channels, sizes.width)
            elif text_fusion == "sitr":
                fusion = SITR(
                    text_width, channels, sizes.width, sizes.sitr_heads,
                    sitr_tokens, sitr_train_select, sitr_infer_select, sitr_output, sitr_gt_share, sitr_gt_product,
                )  # fmt: skip
            else:
                fusion = RepeatedText(text_fusion, text_width, channels, sizes.width)
        waves: AudioEncoder | None = None
        if "a" in modalities:
            waves, part = build_waveform_encoder(audio_encoder, audio_tap, audio_weights, freeze_audio)
            self.weight_report.append(part)
        products = (audio_product, text_product)
        self.condition = ConditionEncoder(
            modalities, sizes.width, text_width, frames, fusion, waves, products
        )
        self.denoiser: MapTransformer | UNet
        if denoiser == "unet":
            self.denoiser = UNet(sizes.unet_channels, sizes.width, sizes.unet_heads)
        else:
            self.denoiser = MapTransformer(
                sizes.width, sizes.depth, sizes.heads, patch or sizes.patch, path, residual
            )
        self.weight_report.append(PartReport(f"condition and denoiser ({denoiser})", "random"))
        # pretrained encoders learn slower
        factor = encoder_lr_scale if encoder_lr_scale is not None else (1.0 if tiny else 0.1)
        self.lr_scales = {
            prefix: factor
            for prefix, part, frozen in (
                ("condition.video_encoder.", frames, freeze_video),
                ("condition.audio_encoder.", waves, freeze_audio),
            )
            # a frozen encoder has no rate
            if part is not None and not frozen and factor != 1
        }
        self.uses_audio = "a" in modalities
        self.uses_text = "t" in modalities
        self.reads_target = isinstance(fusion, SITR) and fusion.reads_target

    def encode(
        self,
        video: Tensor | None,
        audio: Tensor | None = None,
        text: Tensor | None = None,
        saliency: Tensor | None = None,
    ) -> Condition:
        """Compute the condition of a clip; call once per clip.

        Args:
            video: Normalised frames (B, 3, T, H, W), H and W multiples of 32; None for a clip without video.
            audio: Waveforms (B, 1, N) at 22050 Hz; None for a clip without audio.
            text: Token features (B, N, text_width), start token first, end token last, then rows of zeros; all zeros
                for a clip without caption; None for none at all.
            saliency: Ground truth (B, 1, H, W) in [0, 1]; read in training only, where ``reads_target``.

        Returns:
            Condition: ``video`` holds f_tv (B, d, T', h, w) with positions, ``audio`` tokens (B, n, d), ``text`` tokens
            (B, N, d) of a network without video.

        Raises:
            InputError: If no usable input is given, in training not all of them, or sizes do not fit.
        """
        return self.condition(video, audio, text, saliency)

    def denoise(self, noisy_map: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Predict the clean map (B, 1, H, W) in [0, 1] from a noisy one (Equation 2).

        H and W are multiples of the patch; ``t`` is 0 to 999, the paper's 1 to 1000.
        """
        logits = self.denoiser(noisy_map, t, condition_tokens(condition))
        # under autocast in the noisy map's float32, so that no step rounds it to bfloat16
        return logits.to(noisy_map.dtype).sigmoid()

    def forward(
        self,
        noisy_map: Tensor,
        t: Tensor,
        video: Tensor | None,
        audio: Tensor | None = None,
        text: Tensor | None = None,
        saliency: Tensor | None = None,
    ) -> Tensor:
        """Encode and denoise once: the training pass, with the ground truth where SITR chooses by it."""
        return self.denoise(noisy_map, t, self.encode(video, audio, text, saliency))

    def explain(
        self,
        video: Tensor | None,
        audio: Tensor | None = None,
        text: Tensor | None = None,
        saliency: Tensor | None = None,
    ) -> list[Explanation]:
        """Show SITR's map of every word, the chosen one, and, given ground truth, the agreement of both (Figure 6).

        Arguments as of :meth:`encode`; ``audio`` is read with ``audio_product`` only. Nothing for a network without
        SITR, or without video or text.
        """
        sitr = self.condition.fusion
        if not isinstance(sitr, SITR) or video is None or text is None:
            return []
        with torch.no_grad():
            return explain_sitr(sitr, self.condition.shown(video, audio, text), text, saliency)
