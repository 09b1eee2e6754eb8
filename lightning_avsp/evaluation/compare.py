"""Paired comparison of two result files over the videos that both scored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.formatting import heading, number, print_table, shorten, with_interval
from lightning_avsp.evaluation.results import read_results
from lightning_avsp.evaluation.statistics import Interval, bootstrap_mean, sign_test
from lightning_avsp.metrics.functional.scores import LOWER_IS_BETTER

if TYPE_CHECKING:
    from rich.console import Console

_KEYS = ["split", "corpus", "video"]


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


def compare_results(first: Path, second: Path, *, seed: int = 0) -> Comparison:
    """Compare two results of the same protocol, video by video; every video weighs the same.

    Args:
        first: JSON file of `avsp evaluate`.
        second: Another one.
        seed: Seed of the bootstrap.

    Raises:
        InputError: If a file is not a result, the protocols differ, or nothing is shared.
    """
    records = [read_results(Path(path)) for path in (first, second)]
    mine, theirs = (record["protocol"] for record in records)
    if mine != theirs:
        differing = sorted(key for key in mine if mine[key] != theirs.get(key))
        raise InputError(
            f"{first} was scored with protocol {mine['name']}, {second} with {theirs['name']} "
            f"(different: {', '.join(differing)}); score both with the same --protocol"
        )
    entries = [
        {"/".join(str(row[key]) for key in _KEYS): row for row in record["videos"]} for record in records
    ]
    shared = [(entries[0][key], entries[1][key]) for key in entries[0] if key in entries[1]]
    if not shared:
        named = [shorten(list(of), 3) or "none" for of in entries]
        raise InputError(
            f"{first} and {second} share no video: the first has {named[0]}, the second {named[1]}"
        )
    return Comparison(
        first=str(first),
        second=str(second),
        protocol=str(mine["name"]),
        rows=tuple(
            _difference(
                corpus,
                metric,
                pd.DataFrame(
                    [(a["video"], a[metric], b[metric]) for a, b in shared if a["corpus"] == corpus],
                    columns=["video", "first", "second"],
                ),
                seed,
            )
            for corpus in dict.fromkeys(a["corpus"] for a, _ in shared)
            for metric in mine["metrics"]
        ),
        only_first=tuple(key for key in entries[0] if key not in entries[1]),
        only_second=tuple(key for key in entries[1] if key not in entries[0]),
        uneven=tuple(
            key
            for key, row in entries[0].items()
            if key in entries[1] and row["frames"] != entries[1][key]["frames"]
        ),
    )


def _difference(corpus: str, metric: str, values: pd.DataFrame, seed: int) -> Difference:
    """Compare one metric: columns video, first and second, a row for each split and video."""
    known = values.dropna().astype({"first": float, "second": float})
    # a video that several splits test is one observation
    means = known.groupby("video", sort=False)[["first", "second"]].agg(
        lambda column: math.fsum(column) / len(column)
    )
    differences = means["first"] - means["second"]
    # makes no assumption on the differences' distribution
    positive, negative, p_value = sign_test(list(differences))
    better, worse = (negative, positive) if metric in LOWER_IS_BETTER else (positive, negative)
    first, second = (math.fsum(means[side]) / len(means) if len(means) else math.nan for side in means)
    return Difference(
        corpus=corpus,
        metric=metric,
        first=first,
        second=second,
        difference=bootstrap_mean([list(differences.items())], seed=seed),
        videos=len(means),
        better=better,
        worse=worse,
        p_value=p_value,
        undefined=values.video[values.isna().any(axis=1)].nunique(),
    )


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print one row per corpus and metric, and what both do not share."""
    records = [
        {
            "metric": heading(row.metric),
            "first": number(row.first),
            "second": number(row.second),
            "difference": with_interval(row.difference, sign=True),
            "videos": str(row.videos),
            "better /\nworse": f"{row.better} / {row.worse}",
            "sign\ntest p": f"{row.p_value:.2g}",
        }
        for row in comparison.rows
    ]
    title = (
        f"protocol {comparison.protocol}: first minus second over shared videos, below it its 95 % interval"
    )
    lines = [f"first: {comparison.first}; second: {comparison.second}"]
    notes = {
        "only the first scored": comparison.only_first,
        "only the second scored": comparison.only_second,
        "different numbers of frames in": comparison.uneven,
    }
    lines += [f"{note} {len(names)}: {shorten(names)}" for note, names in notes.items() if names]
    undefined = [
        f"{row.corpus} {heading(row.metric)} {row.undefined}" for row in comparison.rows if row.undefined
    ]
    if undefined:
        lines.append(f"shared videos without a value in one of both: {', '.join(undefined)}")
    print_table(title, pd.DataFrame(records, index=[row.corpus for row in comparison.rows]), console, lines)
