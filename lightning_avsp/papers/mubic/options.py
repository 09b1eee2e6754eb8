"""Options for what the thesis ablates, contradicts or omits; X numbers refer to the model card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FusionGate = Literal["mlp", "conv1", "concat"]
DecoderGate = Literal["equations", "algorithm", "concat"]


@dataclass(frozen=True)
class Fusion:
    """Fusion of audio and video in each multi-modal interaction block; meant for configuration files."""

    bidirectional: bool = True
    """Attention in both directions; without, video still attends to audio, and the gate mixes with the aligned audio
    (table 4.3, "w/o BECA"; X28)."""
    gate: FusionGate = "mlp"
    """``mlp``: Equation 3.38; ``conv1``: one 1x1x1 convolution, as Algorithm 1; ``concat``: none (table 4.3; X8)."""
    skip: bool = True
    """Residual skip from the visual features, with a learned scalar (table 4.3)."""
    skip_conv: Literal["pointwise", "compressed"] = "pointwise"
    """``pointwise``: Algorithm 1, line 12; ``compressed``: Equation 3.40, as far as it can be built (X6)."""
    skip_clamp: bool = False
    """Keep the skip's scalar in [0, 1] (X7)."""
    value_from: Literal["other", "own"] = "other"
    """Source of the attention's values: the ``other`` modality (equations) or the ``own`` one (prose; X4)."""
    attention_residual: bool = True
    """Add the input of the attention to its output (X29)."""
    sound_product: bool = False
    """Add the product of pooled audio and visual features to these, before the attention: makes the network use audio.
    Not in the thesis (X31)."""


@dataclass(frozen=True)
class Widths:
    """Sizes that follow from the chosen encoders."""

    channels: tuple[int, ...]
    """Widths C_1 .. C_4 of the visual features, finest first."""
    factors: tuple[int, ...]
    """Compression of height and width of keys and values at the four scales, finest first."""
    noise: tuple[int, ...]
    """Widths of the noise encoder's stages, finest first."""
    head_dim: int
    """Width of an attention head."""
    audio: int
    """Channels of the audio features."""
    mel_bins: int
    """Columns of the audio features (``sound_product`` only)."""
    steps: int = 8
    """T_v, time steps of the visual features."""
    slices: int = 9
    """T_a, audio slices of a clip."""


THESIS_FACTORS = (16, 8, 4, 2)
"""Compression at full size: 3x6 keys per time step at every scale (X5)."""
TINY_FACTORS = (8, 4, 2, 1)
"""Compression of the tiny network: 2x4 keys per time step at 64x128."""
THESIS_NOISE = (64, 128, 256, 512)
"""Widths of the noise encoder (section 3.2.3.2)."""
TINY_NOISE = (12, 16, 24, 32)
"""The same for the tiny network."""
