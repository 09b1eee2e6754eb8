"""Averages of a corpus: frames to videos, videos to splits, splits to the corpus, with intervals and counts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lightning_avsp.data.catalogue import Corpus
from lightning_avsp.evaluation.protocols import Averaging, Protocol
from lightning_avsp.evaluation.statistics import Interval, bootstrap_mean
from lightning_avsp.metrics import ScoreTable


@dataclass(frozen=True)
class MetricSummary:
    """One metric of one corpus."""

    interval: Interval
    """Mean and bootstrap interval over videos."""
    videos: int
    """Entries (split, video) with a value."""
    frames: int
    """Frames with a value."""
    skipped: dict[str, int]
    """Frames without one, by reason."""
    zeroed: dict[str, int]
    """Frames counted as 0 or at another fixed value although degenerate, by reason."""

    def as_plain(self) -> dict[str, Any]:
        """Return everything flat: mean, low, high, counts."""
        return {
            name: one for name, one in (asdict(self.interval) | asdict(self)).items() if name != "interval"
        }


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
    corpus: Corpus, protocol: Protocol, tables: Mapping[int, ScoreTable], *, seed: int = 0
) -> CorpusSummary:
    """Compute averages, intervals and counts of one corpus.

    Args:
        corpus: Rows of other corpora are passed over.
        protocol: Its metrics and its rule for splits.
        tables: Rows by split.
        seed: Seed of the bootstrap.
    """
    averaging = averaging_of(corpus, protocol)
    videos = {n: [row for row in table.videos if row.corpus == corpus.name] for n, table in tables.items()}
    frames = [row for table in tables.values() for row in table.frames if row.corpus == corpus.name]
    metrics: dict[str, MetricSummary] = {}
    for name in protocol.metrics:
        groups = [[(row.video, row.values[name]) for row in rows] for rows in videos.values()]
        if averaging == "pooled":
            groups = [[pair for group in groups for pair in group]]
        reasons = Counter(
            (math.isnan(row.values[name]), row.reasons[name]) for row in frames if name in row.reasons
        )
        metrics[name] = MetricSummary(
            interval=bootstrap_mean(groups, seed=seed),
            videos=sum(not math.isnan(value) for group in groups for _, value in group),
            frames=sum(not math.isnan(row.values[name]) for row in frames),
            skipped={reason: count for (undefined, reason), count in reasons.items() if undefined},
            zeroed={reason: count for (undefined, reason), count in reasons.items() if not undefined},
        )
    return CorpusSummary(sum(map(len, videos.values())), len(frames), averaging, metrics)
