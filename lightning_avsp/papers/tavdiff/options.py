"""Options of TAVDiff: their names and sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lightning_avsp.errors import InputError
from lightning_avsp.papers.tavdiff.saliency_dit import ConditionPath

Modalities = Literal["v", "av", "tv", "ta", "tav"]
"""Inputs of the network: t text, a audio, v video."""
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
