"""Averages over frames, videos and splits of a corpus, bootstrap intervals over videos, and the sign test."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lightning_avsp.data.catalogue import Corpus
from lightning_avsp.evaluation.protocols import Averaging, Protocol
from lightning_avsp.metrics import FrameRow, ScoreTable
from lightning_avsp.metrics.averages import VideoRow

RESAMPLES = 10_000  # the ends of an interval vary by about 1 % of its width from seed to seed
LEVEL = 0.95
FEW_VIDEOS = 10  # below, percentile intervals contain the true mean clearly less often than their level
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

    Videos are resampled with replacement, each with all its values.

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
    # exact sums, so that the order of videos never shows in a table
    mean = math.fsum(math.fsum(v for _, v in group) / len(group) for group in counted) / len(counted)
    row = {
        video: index for index, video in enumerate(sorted({video for group in counted for video, _ in group}))
    }
    videos = len(row)
    if videos < 2:
        return Interval(mean, math.nan, math.nan)
    # a video that several splits test counts as one observation, which scipy's bootstrap cannot express
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

    # equal pairs say nothing about a direction
    positive = sum(value > 0 for value in differences)
    negative = sum(value < 0 for value in differences)
    if positive + negative == 0:
        return 0, 0, 1.0
    return positive, negative, float(binomtest(positive, positive + negative).pvalue)


@dataclass(frozen=True)
class MetricSummary(Interval):
    """One metric of one corpus: mean and bootstrap interval over videos, and counts."""

    videos: int
    """Entries (split, video) with a value."""
    frames: int
    """Frames with a value."""
    skipped: dict[str, int]
    """Frames without one, by reason."""
    zeroed: dict[str, int]
    """Frames counted as 0 or at another fixed value although degenerate, by reason."""


@dataclass(frozen=True)
class CorpusSummary:
    """One corpus."""

    videos: int
    """Entries (split, video) scored."""
    frames: int
    """Frames scored."""
    averaging: Averaging
    """Rule that joined the splits."""
    metrics: dict[str, MetricSummary]


def averaging_of(corpus: Corpus, protocol: Protocol) -> Averaging:
    """Return the rule that joins a corpus' splits: split means where one list serves every split, as DIEM's does."""
    # DIEM's one list is tested by each split's model: pooled, a video would count three times
    return protocol.averaging if "{split}" in corpus.list_pattern else "split_means"


def summarise_corpus(
    corpus: Corpus,
    protocol: Protocol,
    tables: Mapping[int, ScoreTable],
    *,
    seed: int = 0,
    only: Collection[str] | None = None,
) -> CorpusSummary:
    """Compute averages, intervals and counts of one corpus.

    Args:
        corpus: Rows of other corpora are passed over.
        protocol: Its metrics and its rule for splits.
        tables: Rows by split.
        seed: Seed of the bootstrap.
        only: Videos of the corpus that count; all by default.
    """
    averaging = averaging_of(corpus, protocol)

    def counts_here(row: VideoRow | FrameRow) -> bool:
        return row.corpus == corpus.name and (only is None or row.video in only)

    videos = [[row for row in table.videos if counts_here(row)] for table in tables.values()]
    frames = [row for table in tables.values() for row in table.frames if counts_here(row)]
    metrics: dict[str, MetricSummary] = {}
    for name in protocol.metrics:
        groups = [[(row.video, row.values[name]) for row in rows] for rows in videos]
        values = [pair for group in groups for pair in group]
        # left out of the mean or counted at a fixed value: two different things, reported apart
        counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        for row in frames:
            if name in row.reasons:
                counts[math.isnan(row.values[name])][row.reasons[name]] += 1
        metrics[name] = MetricSummary(
            **vars(bootstrap_mean([values] if averaging == "pooled" else groups, seed=seed)),
            videos=sum(not math.isnan(value) for _, value in values),
            frames=sum(not math.isnan(row.values[name]) for row in frames),
            skipped=dict(counts[True]),
            zeroed=dict(counts[False]),
        )
    return CorpusSummary(sum(map(len, videos)), len(frames), averaging, metrics)
