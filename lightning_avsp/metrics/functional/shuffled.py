"""Shuffled AUC: fixated pixels against the fixations of other frames."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_avsp.metrics.functional.fixations import FixationPoints
from lightning_avsp.metrics.functional.inputs import Fixations, Frames, score_frames
from lightning_avsp.metrics.functional.maps import undefined_where


def auc_shuffled_kernel(frames: Frames) -> Tensor:
    """Shuffled AUC on the benchmark's grid, of each frame: float64 (B,)."""
    prediction, fixations, other = frames.prediction, frames.fixations, frames.other
    assert fixations is not None
    assert other is not None
    # 1.0, 0.9, ..., 0.0 as the benchmark's 0:0.1:1 rounds them: 6 * 0.1 is above 0.6.
    grid = torch.arange(10, -1, -1, device=prediction.flat.device, dtype=torch.float64) * 0.1
    low, span = prediction.minimum, prediction.maximum - prediction.minimum

    def rates(points: FixationPoints) -> Tensor:
        values = (points.read(prediction.flat).to(torch.float64) - low[points.frame]) / span[
            points.frame
        ]  # (M,)
        hits = (values[:, None] >= grid).to(torch.float64) * points.weight[:, None]  # (M, 11)
        return points.sum_by_frame(hits) / points.total[:, None]  # (B, 11)

    corner = torch.zeros_like(low)[:, None]
    true_positives = torch.cat([corner, rates(fixations), corner + 1], dim=1)
    false_positives = torch.cat([corner, rates(other), corner + 1], dim=1)
    area = torch.trapezoid(true_positives, false_positives, dim=-1)
    return undefined_where(area, prediction.undefined)


def auc_shuffled(
    prediction: Tensor, fixations: Fixations, other: Fixations, *, repeats: bool = False
) -> Tensor:
    r"""Shuffled AUC (sAUC) as the MIT saliency benchmark computes it: eleven thresholds 0, 0.1, ..., 1.

    .. math:: sAUC = \int TP \, dFP, \quad TP(\theta) = \tfrac1n |\{f : S_f \ge \theta\}|, \;
        FP(\theta) = \tfrac1k |\{o : S_o \ge \theta\}|

    by trapezoids, with S the prediction scaled to [0, 1]. The benchmark averages 100 random draws of
    negatives from ``other``; the area is linear in FP, so taking FP over all k points of ``other`` is their
    exact expectation. The grid makes it a different metric from :func:`auc_shuffled_exact` (up to .09 apart).

    Args:
        prediction: Predicted maps (B, H, W), any real type and range.
        fixations: Binary maps (B, H, W), fixated where > 0, or one int64 (N, 2) tensor of (row, column) per
            frame.
        other: Fixations of other frames, in either form, taken as given: leave this frame's out beforehand if
            the protocol does.
        repeats: Whether a pixel fixated n times counts n times, in both.

    Returns:
        sAUC in [0, 1], 0.5 at chance, float64 (B,); higher is better; NaN without fixations, without other
        points, or where the prediction is constant or not finite.

    Raises:
        InputError: If shapes or types do not fit, or a point lies outside the map.

    Example:
        >>> import torch
        >>> prediction = torch.tensor([[[0.0, 0.2], [0.6, 1.0]]])
        >>> auc_shuffled(prediction, [torch.tensor([[1, 1]])], [torch.tensor([[0, 1], [1, 1]])])
        tensor([0.7500], dtype=torch.float64)
    """
    return score_frames(auc_shuffled_kernel, prediction, fixations=fixations, other=other, repeats=repeats)


def auc_shuffled_exact_kernel(frames: Frames) -> Tensor:
    """Shuffled AUC over all thresholds, of each frame: float64 (B,)."""
    prediction, fixations, other = frames.prediction, frames.fixations, frames.other
    assert fixations is not None
    assert other is not None
    fixated, negatives = (
        points.read(prediction.flat).to(torch.float64) for points in (fixations, other)
    )  # (M,)
    fixated = fixations.pad(fixated, fill=torch.inf)  # (B, K)
    ranked, order = other.pad(negatives, fill=torch.inf).sort(dim=-1)  # (B, L)
    weight = (
        other.pad(other.weight, fill=0.0).gather(1, order).to(torch.int64)
    )  # whole; sums are deterministic
    below = torch.nn.functional.pad(weight.cumsum(-1), (1, 0)).to(torch.float64)  # (B, L + 1): of the first l
    lower = below.gather(1, torch.searchsorted(ranked, fixated))
    lower_equal = below.gather(1, torch.searchsorted(ranked, fixated, right=True))
    won_pairs = (fixations.pad(fixations.weight, fill=0.0) * 0.5 * (lower + lower_equal)).sum(-1)
    values = won_pairs / (fixations.total * other.total)
    return undefined_where(torch.where(prediction.constant, 0.5, values), ~prediction.finite | values.isnan())


def auc_shuffled_exact(
    prediction: Tensor, fixations: Fixations, other: Fixations, *, repeats: bool = False
) -> Tensor:
    r"""Shuffled AUC over all thresholds: the Mann-Whitney statistic, ties counted half.

    .. math:: sAUC = \frac{1}{n k} \sum_{f, o} [P_f > P_o] + \tfrac12 [P_f = P_o]

    Args:
        prediction: Predicted maps (B, H, W), any real type and range.
        fixations: Binary maps (B, H, W), fixated where > 0, or one int64 (N, 2) tensor of (row, column) per
            frame.
        other: Fixations of other frames, in either form, taken as given.
        repeats: Whether a pixel fixated n times counts n times, in both.

    Returns:
        sAUC in [0, 1], 0.5 at chance and for a constant prediction, float64 (B,); higher is better; NaN
        without fixations, without other points, or where the prediction is not finite.

    Raises:
        InputError: If shapes or types do not fit, or a point lies outside the map.

    Example:
        >>> import torch
        >>> prediction = torch.tensor([[[0.0, 0.2], [0.6, 1.0]]])
        >>> auc_shuffled_exact(prediction, [torch.tensor([[1, 1]])], [torch.tensor([[0, 1], [1, 0]])])
        tensor([1.], dtype=torch.float64)
    """
    return score_frames(
        auc_shuffled_exact_kernel, prediction, fixations=fixations, other=other, repeats=repeats
    )
