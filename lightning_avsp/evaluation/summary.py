"""Averages of a corpus: frames to videos, videos to splits, splits to the corpus, with intervals and counts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from lightning_avsp.data.catalogue import Corpus
from lightning_avsp.evaluation.protocols import Averaging, Protocol
from lightning_avsp.evaluation.statistics import Interval, bootstrap_mean
from lightning_avsp.metrics import FrameRow, ScoreTable
from lightning_avsp.metrics.averages import VideoRow


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
