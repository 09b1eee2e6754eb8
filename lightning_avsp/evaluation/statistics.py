"""Uncertainty of a mean over videos: bootstrap intervals and the sign test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
"""Resamples of an interval; its ends vary by about 1 % of its width from seed to seed."""
LEVEL = 0.95
FEW_VIDEOS = 10
"""Below so many videos, percentile intervals contain the true mean clearly less often than their level."""
_DRAWS_AT_ONCE = 2**22  # counts held in memory: 32 MiB


@dataclass(frozen=True)
class Interval:
    """A mean and its bootstrap interval."""

    mean: float
    """NaN without any value."""
    low: float
    """NaN with values of fewer than two videos."""
    high: float


def bootstrap_mean(
    groups: Sequence[Sequence[tuple[str, float]]], *, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """Bootstrap a mean over videos by percentiles (Efron and Tibshirani, *An Introduction to the Bootstrap*, ch. 13).

    Videos are resampled with replacement, each with all its values: a video that several splits test counts as one
    observation, which scipy's bootstrap cannot express.

    Args:
        groups: Values with the name of their video, grouped: the statistic is the mean of the groups' means (one
            group: a plain mean). NaN values do not count.
        seed: Seed of the resampling.
        resamples: Number of resamples.

    Example:
        >>> interval = bootstrap_mean([[("a", 0.2), ("b", 0.4), ("c", 0.6)]])
        >>> round(interval.mean, 3), interval.low >= 0.2, interval.high <= 0.6
        (0.4, True, True)
    """
    counted = [[(video, value) for video, value in group if not math.isnan(value)] for group in groups]
    counted = [group for group in counted if group]
    if not counted:
        return Interval(math.nan, math.nan, math.nan)
    mean = math.fsum(math.fsum(v for _, v in group) / len(group) for group in counted) / len(counted)
    row = {
        video: index for index, video in enumerate(sorted({video for group in counted for video, _ in group}))
    }
    videos = len(row)
    if videos < 2:
        return Interval(mean, math.nan, math.nan)
    sums, counts = np.zeros((2, videos, len(counted)))
    for column, group in enumerate(counted):
        for video, value in group:
            sums[row[video], column] += value
            counts[row[video], column] += 1
    generator, draws = np.random.default_rng(seed), []
    step = max(1, _DRAWS_AT_ONCE // videos)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        times = generator.multinomial(videos, np.full(videos, 1 / videos), size=size)  # (size, V)
        total, number = times @ sums, times @ counts  # (size, G)
        present = number > 0
        means = np.divide(total, number, out=np.zeros_like(total), where=present)
        with np.errstate(invalid="ignore"):  # a resample may have drawn no value at all: NaN
            draws.append(means.sum(axis=1) / present.sum(axis=1))
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(np.concatenate(draws), [tail, 1 - tail])
    return Interval(mean, float(low), float(high))


def sign_test(differences: Sequence[float]) -> tuple[int, int, float]:
    """Test paired differences by their signs, two-sided; equal pairs and NaN are left out.

    Returns:
        Numbers of positive and of negative differences, and the probability of a split at least as uneven if both
        were as likely; 1.0 without any difference.
    """
    from scipy.stats import binomtest

    positive = sum(value > 0 for value in differences)
    negative = sum(value < 0 for value in differences)
    if positive + negative == 0:
        return 0, 0, 1.0
    return positive, negative, float(binomtest(positive, positive + negative).pvalue)
