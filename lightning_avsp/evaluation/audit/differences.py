"""Paired differences between two score tables over the same frames, with their uncertainty over videos."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection

from lightning_avsp.data.entries import VideoKey
from lightning_avsp.evaluation.statistics import Interval, bootstrap_mean
from lightning_avsp.metrics import ScoreTable


def video_differences(first: ScoreTable, second: ScoreTable, metric: str) -> dict[VideoKey, float]:
    """Mean over a video's frames of ``first - second``; frames without a value in either do not count.

    Videos without such a frame are left out.
    """
    base = {(row.corpus, row.video, row.frame): row.values[metric] for row in second.frames}
    found: dict[VideoKey, list[float]] = defaultdict(list)
    for row in first.frames:
        difference = row.values[metric] - base[row.corpus, row.video, row.frame]
        if not math.isnan(difference):
            found[row.corpus, row.video].append(difference)
    return {key: math.fsum(values) / len(values) for key, values in found.items()}


def mean_difference(
    first: ScoreTable, second: ScoreTable, metric: str, videos: Collection[VideoKey]
) -> tuple[Interval, int]:
    """Mean of :func:`video_differences` over some videos with its 95 % bootstrap interval, and how many count."""
    wanted = set(videos)
    differences = {k: v for k, v in video_differences(first, second, metric).items() if k in wanted}
    return bootstrap_mean([[("/".join(k), v) for k, v in differences.items()]], seed=0), len(differences)


def mean_value(table: ScoreTable, metric: str, videos: Collection[VideoKey]) -> float:
    """Mean over some videos of their means over frames; NaN of nothing."""
    wanted = set(videos)
    values = [row.values[metric] for row in table.videos if (row.corpus, row.video) in wanted]
    counted = [value for value in values if not math.isnan(value)]
    return math.fsum(counted) / len(counted) if counted else math.nan
