"""Explanation of gates, for the networks that mix features by them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lightning_avsp.structures import Explanation


def explain_gates(stem: str, title: str, gates: Mapping[str, Tensor]) -> list[Explanation]:
    """Show gates as maps over time, and their means over the clip as numbers; nothing without gates.

    Args:
        stem: Start of the names: ``<stem>_<scale>`` and ``<stem>_means``.
        title: Meaning of the values, with their range.
        gates: Gates (B, C, T, h, w) by scale, e.g. ``stride 4``.
    """
    if not gates:
        return []
    maps = [
        Explanation(f"{stem}_{scale.replace(' ', '')}", f"{title}; {scale}", gate.float().mean(dim=1))
        for scale, gate in gates.items()
    ]
    # one number a scale tells a dead gate from an open one
    means = torch.stack([gate.float().flatten(1).mean(dim=1) for gate in gates.values()], dim=1)  # (B, K)
    return [*maps, Explanation(f"{stem}_means", f"{title}; means per scale", means, tuple(gates))]
