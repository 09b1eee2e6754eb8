"""Parts of explanations that several networks share: their gates, and the input of their first denoising step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lightning_avsp.structures import Explanation

FIRST_STEP = 999
"""Diffusion step of the first of any number of steps out of 1000."""


def draw_first_step(clips: int, size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Draw the noisy maps (B, 1, H, W) and steps (B,) of a first denoising step, the same noise for every clip."""
    noise = torch.randn((1, 1, *size), generator=torch.Generator().manual_seed(0)).to(device)
    return noise.expand(clips, -1, -1, -1), torch.full((clips,), FIRST_STEP, device=device)


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
