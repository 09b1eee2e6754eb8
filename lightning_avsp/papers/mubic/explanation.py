"""What MUBiC shows of a clip: where its gates favour which side, and how strong its skips are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_avsp.structures import Explanation

STRIDES = (4, 8, 16, 32)
"""How much larger the frame is than each scale's features, finest first."""


def gate_levels(prefix: str, gates: Sequence[Tensor]) -> dict[str, Tensor]:
    """Mean of each gate over batch, channels, time and place, by name, to be logged; finest scale first."""
    return {
        f"{prefix}_stride{stride}": gate.detach().float().mean()
        for stride, gate in zip(STRIDES, gates, strict=False)
    }


def explain_gates(
    alphas: Sequence[Tensor], betas: Sequence[Tensor], decoder_gates: Sequence[Tensor], batch: int
) -> list[Explanation]:
    """Gates as maps over time and as means, and the skips' scalars.

    Args:
        alphas: Fusion gates (B, C, T, h, w), finest first.
        betas: Skip scalars, finest first.
        decoder_gates: Decoder gates (B, C, T, h, w), finest first.
        batch: B.
    """
    shown: list[Explanation] = []
    kinds = (
        ("gate_alpha", "alpha, 0: sound that looked at the picture, 1: picture that heard the sound", alphas),
        ("gate_decoder", "decoder gate, 0: deeper stage, 1: fused features", decoder_gates),
    )
    for name, title, gates in kinds:
        if not gates:
            continue
        strides = STRIDES[: len(gates)]
        for stride, gate in zip(strides, gates, strict=True):
            maps = gate.float().mean(dim=1)  # (B, T, h, w)
            shown.append(Explanation(f"{name}_stride{stride}", f"{title}; stride {stride}", maps))
        means = torch.stack([gate.float().flatten(1).mean(dim=1) for gate in gates], dim=1)  # (B, K)
        labels = tuple(f"stride {stride}" for stride in strides)
        shown.append(Explanation(f"{name}_means", f"{title}; means per scale", means, labels))
    if betas:
        values = torch.stack([beta.detach().float() for beta in betas]).expand(batch, -1)
        labels = tuple(f"stride {stride}" for stride in STRIDES[: len(betas)])
        shown.append(
            Explanation("skip_beta", "beta, weight of the skip from the visual features", values, labels)
        )
    return shown
