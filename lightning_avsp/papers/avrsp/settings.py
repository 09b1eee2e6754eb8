"""Options of AVRSP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lightning_avsp.errors import InputError

FusionName = Literal["ravf", "ravf_product", "add", "mul", "concat", "bilinear", "mbt", "none"]
"""Fusion of audio with the deepest visual features: Table V, the visual-only network, and our remedy."""
BilinearForm = Literal["low_rank", "full"]
"""``full`` is ``nn.Bilinear`` as in STAViS and ViNet; ``low_rank`` a product of two projections."""
Exchange = Literal["adjacent", "full"]
"""Scales that each scale reads in Equation 10: its neighbours, or all."""
GateForm = Literal["channel", "spatial"]
"""One gate value per channel, as Equation 14, or one per channel, step and position."""


@dataclass(frozen=True)
class RAVFSettings:
    """Relevance-guided audio-visual fusion, Equations 1 to 7; what the paper leaves open."""

    width: int | None = None
    """Width of the tokens; None for 512, or 64 if the video encoder is tiny."""
    heads: int = 4
    """Attention heads; figure 6 shows four."""
    blocks: int = 2
    """RAVF blocks one after the other (N in the paper)."""
    weights: Literal["pooled", "global"] = "pooled"
    """Source of an adaptive head weight: the means of its own head (pooled) or of all heads (global)."""
    use_a2v: bool = False
    """Add the mean of a2v to the fused features; as printed (Equation 7) it only steers the head weights."""
    ret_norm: Literal["none", "sigmoid", "softmax"] = "none"
    """Normalisation of the retentions RetA and RetV; the paper leaves them unbounded."""

    def __post_init__(self) -> None:
        """Check what types cannot."""
        if self.heads < 1 or self.blocks < 1:
            raise InputError(
                f"ravf: heads and blocks must be at least 1, got heads={self.heads}, blocks={self.blocks}"
            )
        if self.width is not None and self.width % self.heads:
            raise InputError(
                f"ravf: width={self.width} is no multiple of heads={self.heads}; choose one that is"
            )
