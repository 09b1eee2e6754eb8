"""AUCs of fixated pixels: against all others, after Judd et al. (ICCV 2009), and against fixations of other frames."""

from __future__ import annotations

from functools import partial
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from lightning_avsp.metrics.functional.fixations import FixationPoints
from lightning_avsp.metrics.functional.inputs import Fixations, Frames, score_frames
from lightning_avsp.metrics.functional.maps import undefined_where

Ties: TypeAlias = Literal["expected", "mit_nojitter"]
"""Treatment of equal values: expectation over their orders, or the benchmark's code without jitter."""


def auc_judd_kernel(frames: Frames, ties: Ties = "expected") -> Tensor:
    """AUC-Judd of each frame: float64 (B,)."""
    prediction, points = frames.prediction, frames.fixations
    assert points is not None
    # padding sorts last
    fixated = points.pad(points.read(prediction.flat).to(torch.float64), fill=torch.inf)  # (B, K)
    parts = [_counts(_sort_rows(prediction.sort_keys(part)), fixated[part]) for part in prediction.chunks()]
    # How many pixels are below each fixated one, and how many at most as high: each (B, K).
    lower, lower_equal = torch.cat(parts, dim=1).unbind(0)
    if ties == "mit_nojitter":
        values = _trapezoids(points, prediction.pixels - lower, prediction.pixels)
        return undefined_where(values, prediction.undefined)
    fixated_lower, fixated_equal = _counts(fixated.sort(dim=-1).values, fixated).unbind(0)
    negatives = prediction.pixels - points.count  # (B,) pixels without a fixation
    lower, lower_equal = lower - fixated_lower, lower_equal - fixated_equal  # among the negatives alone
    weight = points.pad(points.weight, fill=0.0)  # (B, K), 0 in the padding
    won_pairs = (weight * 0.5 * (lower + lower_equal)).sum(-1)
    values = won_pairs / (points.total * negatives)
    values = values + _judd_excess(fixated, lower, lower_equal, points, negatives)
    values = torch.where(prediction.constant, _all_tied(points), values)  # rounding noise is no order
    nothing_to_rank = (points.count == 0) | (negatives == 0)
    return undefined_where(values, nothing_to_rank | ~prediction.finite)


def auc_judd(
    prediction: Tensor, fixations: Fixations, *, repeats: bool = False, ties: Ties = "expected"
) -> Tensor:
    r"""AUC-Judd: area under the ROC curve whose thresholds are the fixated values.

    The benchmark adds noise of 1e-7 to break ties; this is the exact expectation over all orders of equal values, so it
    is deterministic, and without ties it equals the benchmark's code:

    .. math:: AUC_J = \frac{1}{n m} \sum_{f, x} \left([P_f > P_x] + \tfrac12 [P_f = P_x]\right)
        + \frac{g + b \frac{a}{a + 1}}{2 n m}

    over n fixated pixels f and the m pixels x without fixation. The second term is what trapezoids between n
    thresholds add to the Mann-Whitney area: with v the lowest fixated value, g negatives are > v, b are = v,
    and a fixated pixels are = v. It makes few fixations look better: one gains up to 0.5.

    In [0, 1], higher is better; NaN without fixations, when every pixel is fixated, or where the prediction is not
    finite. A constant prediction has the expectation 0.5 + 0.5 / (n + 1). ``ties="mit_nojitter"`` is what the
    benchmark's code gives with its noise switched off: badly wrong on ties (a binary map .175 instead of .578), NaN for
    a constant prediction, and every pixel counts once; for comparison only.

    Example:
        >>> import torch
        >>> prediction = torch.tensor([[[0.1, 0.2], [0.3, 0.4]]])
        >>> auc_judd(prediction, [torch.tensor([[1, 0], [1, 1]])])
        tensor([1.], dtype=torch.float64)
    """
    kernel = partial(auc_judd_kernel, ties=ties)
    return score_frames(kernel, prediction, fixations=fixations, repeats=repeats)


def auc_shuffled_kernel(frames: Frames) -> Tensor:
    """Shuffled AUC on the benchmark's grid, of each frame: float64 (B,)."""
    prediction, fixations, other = frames.prediction, frames.fixations, frames.other
    assert fixations is not None
    assert other is not None
    # 1.0, 0.9, ..., 0.0 as the benchmark's 0:0.1:1 rounds them: 6 * 0.1 is above 0.6.
    grid = torch.arange(10, -1, -1, device=prediction.flat.device, dtype=torch.float64) * 0.1
    low, span = prediction.minimum, prediction.maximum - prediction.minimum

    def rates(points: FixationPoints) -> Tensor:
        values = points.read(prediction.flat).to(torch.float64)  # (M,)
        values = (values - low[points.frame]) / span[points.frame]
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
    r"""Shuffled AUC (sAUC) as the benchmark computes it: eleven thresholds 0, 0.1, ..., 1.

    .. math:: sAUC = \int TP \, dFP, \quad TP(\theta) = \tfrac1n |\{f : S_f \ge \theta\}|, \;
        FP(\theta) = \tfrac1k |\{o : S_o \ge \theta\}|

    by trapezoids, with S the prediction scaled to [0, 1]. The benchmark averages 100 random draws of
    negatives from ``other``; the area is linear in FP, so taking FP over all k points of ``other`` is their
    exact expectation. The grid makes it a different metric from :func:`auc_shuffled_exact` (up to .09 apart).

    In [0, 1], 0.5 at chance, higher is better; NaN without fixations, without other points, or where the prediction is
    constant or not finite.

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
        points.pad(points.read(prediction.flat).to(torch.float64), fill=torch.inf)
        for points in (fixations, other)
    )  # (B, K), (B, L)
    ranked, order = negatives.sort(dim=-1)  # (B, L)
    # whole numbers, whose cumulative sum is the same in every order
    weight = other.pad(other.weight, fill=0.0).gather(1, order).to(torch.int64)
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

    In [0, 1], 0.5 at chance and for a constant prediction, higher is better; NaN without fixations, without other
    points, or where the prediction is not finite.

    Example:
        >>> import torch
        >>> prediction = torch.tensor([[[0.0, 0.2], [0.6, 1.0]]])
        >>> auc_shuffled_exact(prediction, [torch.tensor([[1, 1]])], [torch.tensor([[0, 1], [1, 0]])])
        tensor([1.], dtype=torch.float64)
    """
    return score_frames(
        auc_shuffled_exact_kernel, prediction, fixations=fixations, other=other, repeats=repeats
    )


def _sort_rows(flat: Tensor) -> Tensor:
    """Each row of float32 or float64 (b, N) in ascending order."""
    if flat.device.type == "cpu":
        # torch.sort is 10 to 25 times slower there: it carries indices and is not vectorised.
        return torch.from_numpy(np.sort(flat.numpy(), axis=-1))
    return flat.sort(dim=-1).values


def _counts(ranked: Tensor, values: Tensor) -> Tensor:
    """Count entries of each ascending row (b, N) below, and at most, each of ``values`` (b, K): (2, b, K)."""
    values = values.to(ranked.dtype)  # exact: they came from there
    sides = [torch.searchsorted(ranked, values, right=right) for right in (False, True)]
    return torch.stack(sides).to(torch.float64)


def _judd_excess(
    fixated: Tensor, lower: Tensor, lower_equal: Tensor, points: FixationPoints, negatives: Tensor
) -> Tensor:
    """Expected area that trapezoids add: half a step times the last threshold's false positive rate, (B,)."""
    if fixated.shape[1] == 0:
        return torch.full_like(negatives, torch.nan)
    lowest, where = fixated.min(dim=-1, keepdim=True)  # (B, 1)
    above = negatives - lower_equal.gather(1, where).squeeze(1)
    tied = (lower_equal - lower).gather(1, where).squeeze(1)
    tied_fixated = (fixated == lowest).sum(-1).to(torch.float64)
    # A negative tied with a fixated pixels ranks above the lowest of them in a of a + 1 places.
    return (above + tied * tied_fixated / (tied_fixated + 1)) / (2 * points.total * negatives)


def _all_tied(points: FixationPoints) -> Tensor:
    """The expectation when every pixel has the same value, (B,); the number of negatives cancels."""
    return 0.5 + points.count / (points.count + 1) / (2 * points.total)


def _trapezoids(points: FixationPoints, at_least: Tensor, pixels: int) -> Tensor:
    """Area of the benchmark's curve as coded: thresholds at the fixated values, equal ones counted in turn.

    Args:
        points: Fixated pixels; weights are not read.
        at_least: For every fixated pixel, how many pixels of the map are at least as high: (B, K).
        pixels: Pixels per map.
    """
    count = points.count[:, None]  # (B, 1)
    order = torch.arange(1, at_least.shape[1] + 1, device=at_least.device, dtype=torch.float64)
    real = order <= count  # (B, K): the rest is padding
    found = at_least.masked_fill(~real, torch.inf).sort(dim=-1).values
    one = torch.ones_like(count)
    true_positives = torch.cat([0 * one, torch.where(real, order / count, 1.0), one], dim=1)
    rates = (found - order) / (pixels - count)
    # Padding repeats the last corner, so that its trapezoids have no width.
    last = rates.masked_fill(~real, -torch.inf).amax(-1, keepdim=True) if at_least.shape[1] else one
    false_positives = torch.cat([0 * one, torch.where(real, rates, last), one], dim=1)
    area = torch.trapezoid(true_positives, false_positives, dim=-1)
    return undefined_where(area, (points.count == 0) | (points.count == pixels))
