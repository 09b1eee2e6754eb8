"""What AVRSP can show of a clip: the relevance of figure 6, the weights of the heads, and the gates."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightning_avsp.papers.avrsp.relevance import Relevance
from lightning_avsp.structures import Explanation


@dataclass
class Trace:
    """What is worth showing of one pass."""

    grid: torch.Size = field(default_factory=torch.Size)
    """Time steps, height and width of the scale that sound meets."""
    relevance: list[Relevance] = field(default_factory=list)
    """Findings of the RAVF blocks."""
    gates: dict[int, Tensor] = field(default_factory=dict)
    """Gates (B, C, T, h, w) by scale, 0 the coarsest."""


def explain_relevance(trace: Trace) -> list[Explanation]:
    """RetA and RetV of the last block as maps per head, and the strengths and head weights of all blocks as numbers.

    The retentions are shown as the network uses them: without a softmax they are unbounded and may be negative, and
    whoever draws them must use one scale for all clips that are compared (contradiction X13).
    """
    if not trace.relevance:
        return []
    last = trace.relevance[-1]
    shown: list[Explanation] = []
    maps = {
        "v2a": ("RetA, visual to audio", last.ret_a.mean(dim=3)),  # (B, heads, N)
        "a2v": ("RetV, audio to visual", last.ret_v.mean(dim=2)),
    }
    for direction, (title, values) in maps.items():
        for head in range(values.shape[1]):
            grid = values[:, head].unflatten(1, trace.grid)  # (B, T, h, w)
            shown.append(
                Explanation(
                    f"relevance_{direction}_head{head + 1}",
                    f"{title} attention, head {head + 1}, mean over audio tokens, not normalised",
                    grid,
                )
            )
    numbers = {
        "retention_v2a": (
            "mean of |RetA|",
            [found.ret_a.abs().mean(dim=(2, 3)) for found in trace.relevance],
        ),
        "retention_a2v": (
            "mean of |RetV|",
            [found.ret_v.abs().mean(dim=(2, 3)) for found in trace.relevance],
        ),
        "head_weights": (
            "adaptive weights of the heads, sum 1 per block",
            [found.head_weights for found in trace.relevance],
        ),
    }
    labels = tuple(
        f"block {block + 1} head {head + 1}"
        for block, found in enumerate(trace.relevance)
        for head in range(found.head_weights.shape[1])
    )
    return shown + [
        Explanation(name, title, torch.cat(values, dim=1), labels)
        for name, (title, values) in numbers.items()
    ]


def explain_gates(trace: Trace) -> list[Explanation]:
    """The gate of each scale as a map (mean over channels), and its mean as a number."""
    if not trace.gates:
        return []
    shown = [
        Explanation(
            f"gate_scale{scale}", f"gate of scale X^{scale}, mean over channels, 0 to 1", gate.mean(dim=1)
        )
        for scale, gate in trace.gates.items()
    ]
    means = torch.stack([gate.mean(dim=(1, 2, 3, 4)) for gate in trace.gates.values()], dim=1)
    labels = tuple(f"X^{scale}" for scale in trace.gates)
    return [*shown, Explanation("gate_means", "mean gate of each scale, 0 to 1", means, labels)]
