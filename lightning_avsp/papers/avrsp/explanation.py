"""Explanation of AVRSP on a clip: the relevance of figure 6, and the weights of the heads."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightning_avsp.papers.avrsp.relevance import Relevance
from lightning_avsp.structures import Explanation


@dataclass
class Trace:
    """Intermediate results of one pass, to be shown."""

    grid: torch.Size = field(default_factory=torch.Size)
    """Time steps, height and width of the scale that audio is fused into."""
    relevance: list[Relevance] = field(default_factory=list)
    """Relevance in the RAVF blocks."""
    gates: dict[int, Tensor] = field(default_factory=dict)
    """Gates (B, C, T, h, w) by scale, 0 the coarsest."""


def explain_relevance(trace: Trace) -> list[Explanation]:
    """Show RetA and RetV of the last block as maps per head, and strengths and head weights of all blocks as numbers.

    The retentions are those that the network uses: without a softmax they are unbounded and may be negative, so that
    plots of several clips need one common scale (contradiction X13).
    """
    if not trace.relevance:
        return []
    last = trace.relevance[-1]
    maps = {
        "v2a": ("RetA, visual to audio", last.ret_a.mean(dim=3)),  # (B, heads, N)
        "a2v": ("RetV, audio to visual", last.ret_v.mean(dim=2)),
    }
    shown = [
        Explanation(
            f"relevance_{direction}_head{head + 1}",
            f"{title} attention, head {head + 1}, mean over audio tokens, not normalised",
            values[:, head].unflatten(1, trace.grid),  # (B, T, h, w)
        )
        for direction, (title, values) in maps.items()
        for head in range(values.shape[1])
    ]
    found = trace.relevance
    numbers = {
        "retention_v2a": ("mean of |RetA|", [block.ret_a.abs().mean(dim=(2, 3)) for block in found]),
        "retention_a2v": ("mean of |RetV|", [block.ret_v.abs().mean(dim=(2, 3)) for block in found]),
        "head_weights": (
            "adaptive weights of the heads, sum 1 per block",
            [block.head_weights for block in found],
        ),
    }
    labels = tuple(
        f"block {block + 1} head {head + 1}"
        for block, relevance in enumerate(found)
        for head in range(relevance.head_weights.shape[1])
    )
    return shown + [
        # blocks side by side, in the order of the labels
        Explanation(name, title, torch.cat(values, dim=1), labels)
        for name, (title, values) in numbers.items()
    ]
