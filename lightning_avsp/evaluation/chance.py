"""Scores of a uniform prediction, the reference row `uniform`, in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_avsp.evaluation.protocols import Protocol
from lightning_avsp.metrics.functional import kld

_KNOWN = {"cc": 0.0, "nss": 0.0, "auc_shuffled": 0.5, "auc_shuffled_exact": 0.5}


def chance_scores(
    protocol: Protocol, target: Tensor, points: Tensor, other: Tensor | None
) -> tuple[dict[str, float], dict[str, str]]:
    r"""Score the uniform map on one frame, as limits where the formulas divide by its range.

    CC and NSS are 0 and the shuffled AUCs 0.5: the expectation of any map that is independent of the gaze. SIM is the
    overlap with the uniform distribution, AUC-Judd the expectation over all orders of equal values,
    :math:`\tfrac12 + \tfrac{1}{2 (n + 1)}` for n fixated pixels (0.5 where a protocol counts repeats).

    Args:
        protocol: Defines the metrics.
        target: Continuous ground truth (Hg, Wg).
        points: Fixations (N, 2).
        other: Other fixations (K, 2), for the shuffled AUCs.

    Returns:
        Values by metric, NaN where the frame's ground truth leaves them undefined, and the reasons.
    """
    truth = target.to(torch.float64)
    low, high = float(truth.min()), float(truth.max())
    blank = "zero_target" if low == high == 0 else "constant_target" if low == high else None
    unseen = "no_fixations" if len(points) == 0 else None
    fixated = len(points.unique(dim=0))
    values: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for name in protocol.metrics:
        reason: str | None = None
        if name in ("cc", "sim"):
            reason = blank
        elif name in ("nss", "auc_judd"):
            reason = unseen
        elif name.startswith("auc_shuffled"):
            reason = unseen or ("no_other_points" if other is None or len(other) == 0 else None)
        if name == "sim" and blank == "zero_target" and protocol.policy == "field":
            values[name] = 0.0
            continue
        if reason is not None:
            values[name], reasons[name] = float("nan"), reason
        elif name == "sim":
            share = (truth - low) / (truth - low).sum()
            values[name] = float(torch.clamp(share, max=1 / truth.numel()).sum())
        elif name == "auc_judd":
            values[name] = 0.5 if protocol.repeats else 0.5 + 0.5 / (fixated + 1)
        elif name == "kld":
            values[name] = float(kld(torch.ones_like(truth)[None], truth[None]))
        else:
            values[name] = _KNOWN[name]
    return values, reasons
