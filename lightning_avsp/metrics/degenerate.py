"""Degenerate frames: on which a metric is undefined, the reasons, and their treatment in averages."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from lightning_avsp.metrics.functional.inputs import Frames
from lightning_avsp.metrics.functional.scores import READS, MetricName, Source

DegeneratePolicy: TypeAlias = Literal["field", "skip", "zero"]
"""Treatment of degenerate frames in an average.

- ``field``: drop undefined values, metric by metric, as the evaluation code of STAViS (CVPR 2020) and ViNet
  (IROS 2021) does. A blank frame is dropped from CC, NSS and the AUCs but counts as SIM 0. KLD, which that code does
  not have and which would be 0 there, its best value, is dropped too.
- ``skip``: also drop defined values of frames where any map or point set that the metric reads is degenerate,
  so that all metrics rest on the same frames.
- ``zero``: undefined values count as 0, as ViNet++ (2025) has it. For KLD that is the best value there is.
"""

Reason: TypeAlias = Literal[
    "non_finite_target",
    "zero_target",
    "constant_target",
    "no_fixations",
    "all_fixated",
    "no_other_points",
    "unusable_baseline",
    "non_finite_prediction",
    "constant_prediction",
]
"""Why a frame is degenerate for a metric."""

REASONS: tuple[Reason, ...] = get_args(Reason)

_CONCERNS: dict[Source, tuple[Reason, ...]] = {
    "target": ("non_finite_target", "zero_target", "constant_target"),
    "fixations": ("no_fixations",),
    "other": ("no_other_points",),
    "baseline": ("unusable_baseline",),
    "prediction": ("non_finite_prediction", "constant_prediction"),
}


def diagnose(frames: Frames) -> Tensor:
    """Find the ``REASONS`` that hold for each frame: bool (len(REASONS), B)."""
    prediction, target, fixations = frames.prediction, frames.target, frames.fixations
    holds: dict[Reason, Tensor] = {
        "non_finite_prediction": ~prediction.finite,
        "constant_prediction": prediction.constant,
    }
    if target is not None:
        holds["non_finite_target"] = ~target.finite
        holds["zero_target"] = target.zero
        holds["constant_target"] = target.constant
    if fixations is not None:
        holds["no_fixations"] = fixations.count == 0
        holds["all_fixated"] = fixations.count == prediction.pixels
    if frames.other is not None:
        holds["no_other_points"] = frames.other.count == 0
    if frames.baseline is not None:
        holds["unusable_baseline"] = frames.baseline.undefined
    never = torch.zeros_like(prediction.constant)
    return torch.stack([holds.get(reason, never) for reason in REASONS])


def judge(
    name: MetricName, value: float, present: frozenset[Reason], policy: DegeneratePolicy
) -> tuple[float, str | None]:
    """Decide the contribution of a frame of some ``value`` (NaN if undefined), for which ``present`` reasons hold.

    Returns:
        The value that counts, NaN if the frame is dropped; and why it is dropped, or counted as 0, None if it is an
        ordinary frame.
    """
    # the ground truth is to blame first
    reason = next((one for one in _concerns(name) if one in present), None)
    undefined = value != value  # NaN alone differs from itself
    if reason is not None and (
        policy == "skip" or (policy == "field" and name == "kld" and reason == "zero_target")
    ):
        return float("nan"), reason
    if not undefined:  # the 0 of a blank frame is a convention, and counted as such
        return value, reason if name == "sim" and reason == "zero_target" else None
    # Undefined without a known cause would be a numerical accident; it is counted under its own name.
    return 0.0 if policy == "zero" else value, reason or "undefined"


def _concerns(name: MetricName) -> tuple[Reason, ...]:
    """Reasons that make a frame degenerate for a metric, the ground truth's before the prediction's."""
    reasons = [reason for source in READS[name] for reason in _CONCERNS[source]]
    if name == "auc_judd":
        reasons.insert(1, "all_fixated")  # no negatives
    return tuple(reasons)
