"""Paired comparison of two result files over the videos that both scored."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.results import read_results
from lightning_avsp.evaluation.statistics import Interval, bootstrap_mean, sign_test
from lightning_avsp.metrics.functional.scores import LOWER_IS_BETTER

_Entry = tuple[str, str, str]


@dataclass(frozen=True)
class Difference:
    """One metric of one corpus: the first minus the second."""

    corpus: str
    metric: str
    first: float
    """Mean of the first over the shared videos."""
    second: float
    """Mean of the second over the same videos."""
    difference: Interval
    """Mean of the differences, and its bootstrap interval over videos."""
    videos: int
    """Videos with a value in both."""
    better: int
    """Videos on which the first is better, by the metric's direction."""
    worse: int
    """Videos on which it is worse; the others are equal."""
    p_value: float
    """Two-sided sign test."""
    undefined: int
    """Shared videos on which one of both has no value."""


@dataclass(frozen=True)
class Comparison:
    """Two result files side by side."""

    first: str
    second: str
    protocol: str
    rows: tuple[Difference, ...]
    only_first: tuple[str, ...]
    """``<split>/<corpus>/<video>`` that only the first scored."""
    only_second: tuple[str, ...]
    uneven: tuple[str, ...]
    """Shared entries of which a different number of frames was scored."""

    def as_plain(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self)


def compare_results(first: Path, second: Path, *, seed: int = 0) -> Comparison:
    """Compare two results of the same protocol, video by video.

    A video that several splits test is one pair: its values are averaged first. Every video weighs the same.

    Args:
        first: JSON file of `avsp evaluate`.
        second: Another one.
        seed: Seed of the bootstrap.

    Raises:
        InputError: If a file is not a result, the protocols differ, or nothing is shared.
    """
    records = [read_results(Path(path)) for path in (first, second)]
    protocols = [record["protocol"] for record in records]
    if protocols[0] != protocols[1]:
        differing = sorted(key for key in protocols[0] if protocols[0][key] != protocols[1].get(key))
        raise InputError(
            f"{first} was scored with protocol {protocols[0]['name']}, {second} with {protocols[1]['name']} "
            f"(different: {', '.join(differing)}); score both with the same --protocol"
        )
    entries = [{_entry(row): row for row in record["videos"]} for record in records]
    shared = [key for key in entries[0] if key in entries[1]]
    if not shared:
        raise InputError(
            f"{first} and {second} share no video: the first has {_some(entries[0])}, the second {_some(entries[1])}"
        )
    rows = [
        _difference(corpus, metric, [key for key in shared if key[1] == corpus], entries, seed)
        for corpus in dict.fromkeys(key[1] for key in shared)
        for metric in protocols[0]["metrics"]
    ]
    return Comparison(
        first=str(first),
        second=str(second),
        protocol=str(protocols[0]["name"]),
        rows=tuple(rows),
        only_first=tuple("/".join(key) for key in entries[0] if key not in entries[1]),
        only_second=tuple("/".join(key) for key in entries[1] if key not in entries[0]),
        uneven=tuple(
            "/".join(key) for key in shared if entries[0][key]["frames"] != entries[1][key]["frames"]
        ),
    )


def _difference(
    corpus: str, metric: str, shared: list[_Entry], entries: list[dict[_Entry, dict[str, Any]]], seed: int
) -> Difference:
    pairs: dict[str, list[tuple[float, float]]] = {}
    undefined: set[str] = set()
    for key in shared:
        first, second = (entries[side][key][metric] for side in (0, 1))
        if first is None or second is None:
            undefined.add(key[2])
        else:
            pairs.setdefault(key[2], []).append((first, second))
    means = {
        video: tuple(math.fsum(pair[side] for pair in values) / len(values) for side in (0, 1))
        for video, values in pairs.items()
    }
    differences = {video: first - second for video, (first, second) in means.items()}
    positive, negative, p_value = sign_test(list(differences.values()))
    better, worse = (negative, positive) if metric in LOWER_IS_BETTER else (positive, negative)
    count = len(means)
    return Difference(
        corpus=corpus,
        metric=metric,
        first=math.fsum(pair[0] for pair in means.values()) / count if count else math.nan,
        second=math.fsum(pair[1] for pair in means.values()) / count if count else math.nan,
        difference=bootstrap_mean([list(differences.items())], seed=seed),
        videos=count,
        better=better,
        worse=worse,
        p_value=p_value,
        undefined=len(undefined),
    )


def _entry(row: dict[str, Any]) -> _Entry:
    return str(row["split"]), str(row["corpus"]), str(row["video"])


def _some(entries: dict[_Entry, Any]) -> str:
    names = ["/".join(key) for key in entries]
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "none"
