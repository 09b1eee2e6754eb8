"""Options of TAVDiff: their names, sizes, and checks that they go together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from lightning_avsp.errors import InputError, require_choice
from lightning_avsp.papers.tavdiff.saliency_dit import ConditionPath
from lightning_avsp.papers.tavdiff.text_fusion import TextFusion

Modalities = Literal["v", "av", "tv", "ta", "tav"]
"""Inputs of the network: t text, a audio, v video."""
Denoiser = Literal["saliency_dit", "dit", "unet"]
"""Rows of Table III."""
SizeName = Literal["S", "B", "tiny"]
"""Names of :data:`SIZES`."""
PooledCondition = Literal["sum", "concat", "in_context"]
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
    return pooled_condition or ("sum" if denoiser == "dit" else "concat")


def check_tavdiff_options(
    modalities: Modalities,
    denoiser: Denoiser,
    decoupled: bool,
    pooled_condition: PooledCondition | None,
    text_fusion: TextFusion,
    size: SizeName,
    residual: bool,
    products: tuple[bool, bool],
    weights: tuple[str | None, str | None],
) -> None:
    """Refuse options of :class:`~lightning_avsp.papers.tavdiff.network.TAVDiff` that do not go together.

    ``products`` are ``audio_product`` and ``text_product``, ``weights`` those of video and audio.

    Raises:
        InputError: Names both options and what to do.
    """
    choices: tuple[tuple[str, str, Any], ...] = (
        ("modalities", modalities, Modalities),
        ("denoiser", denoiser, Denoiser),
        ("text_fusion", text_fusion, TextFusion),
        ("size", size, SizeName),
    )
    for name, value, allowed in choices:
        require_choice(name, value, get_args(allowed))
    if denoiser == "unet" and (pooled_condition is not None or not residual):
        raise InputError(
            f"denoiser=unet has no pooled_condition={pooled_condition} and no residual={residual}; leave both out, or "
            "choose another denoiser"
        )
    if not decoupled and denoiser != "saliency_dit":
        raise InputError(
            f"decoupled=false is Saliency-DiT without its cross-attention, but denoiser={denoiser}; "
            "set denoiser=saliency_dit"
        )
    condition_path(denoiser, decoupled, pooled_condition)
    for name, wanted, letter in (("audio_product", products[0], "a"), ("text_product", products[1], "t")):
        if wanted and not ("v" in modalities and letter in modalities):
            raise InputError(
                f"{name}=true multiplies visual features, but modalities={modalities}; leave it out, or set "
                f"modalities={'tv' if letter == 't' else 'av'} or tav"
            )
    for name, source, letter in (("video_weights", weights[0], "v"), ("audio_weights", weights[1], "a")):
        if source is not None and letter not in modalities:
            raise InputError(f"modalities={modalities} has no encoder for {name}={source}; set it to null")
