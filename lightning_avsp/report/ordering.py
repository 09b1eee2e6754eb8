"""Comparison of the order of a table's rows with the paper's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from lightning_avsp.evaluation.formatting import DIGITS, lower_is_better
from lightning_avsp.report.measured import Measured, paired_difference
from lightning_avsp.report.published import PublishedTable

NO_TARGETS = "suspect|derived"
"""Flags of numbers whose order our runs are not expected to reproduce."""
COLUMNS = ["better", "worse", "dataset", "verdict", "difference", "low", "high"]


@dataclass(frozen=True)
class Ordering:
    """All pairs of rows that the paper ranks."""

    metric: str
    pairs: pd.DataFrame
    """The paper's better and worse row, dataset, ``verdict`` (``holds``, ``reversed``, ``missing``, or ``undecided``:
    reversed or equal in ours, but by no more than the interval over videos allows), and our difference over what both
    tested with its interval, NaN where it is not known."""
    excluded: tuple[str, ...]
    """Rows with a suspect or derived number, with their dataset."""

    def sentence(self) -> str:
        """Report the result in one sentence."""
        verdicts = ["holds", "undecided", "reversed", "missing"]
        count = self.pairs.verdict.value_counts().reindex(verdicts, fill_value=0)
        total, known = len(self.pairs), len(self.pairs) - count.missing
        if not total:
            return "The paper ranks no two of its own rows here."
        if not known:
            return f"Not known yet: none of the {total} pairs that the paper ranks has runs of both rows."
        parts = [f"{count.holds} of {known} pairs are in the paper's order ({self.metric})"]
        if count.undecided:
            parts.append(f"{count.undecided} reversed, but by less than the interval over videos")
        if count.reversed:
            parts.append(f"{count.reversed} reversed by more than the interval over videos")
        if count.missing:
            parts.append(f"{count.missing} more still without a run")
        if count.holds == total:
            parts.append("the paper's ordering holds")
        return "; ".join(parts) + "."


def rank_values(values: Iterable[float | None], lower: bool = False) -> list[int]:
    """Rank values as they are printed: 1 for the best, 2 for the second best, else 0; equal values share a rank."""
    rounded = pd.Series(list(values), dtype=float).round(DIGITS)
    if rounded.count() < 2:
        return [0] * len(rounded)
    ranks = rounded.rank(method="dense", ascending=lower)
    return [int(one) if one <= 2 else 0 for one in ranks]


def worse_than_best(ours: Mapping[str, Measured], lower: bool) -> list[str]:
    """List the rows that are worse than the best one by more than the interval over the videos that both tested.

    Args:
        ours: Our numbers of one dataset and metric by row.
        lower: True if smaller values are better.
    """
    if not ours:
        return []
    sign = -1 if lower else 1
    best = max(ours.values(), key=lambda one: sign * one.interval.mean)
    gaps = {row: paired_difference(best, one) for row, one in ours.items() if one is not best}
    return [row for row, gap in gaps.items() if (gap.high < 0 if lower else gap.low > 0)]


def compare_order(table: PublishedTable, measured: Mapping[tuple[str, str, str], Measured]) -> Ordering:
    """Compare the order of rows, pair by pair.

    Rows of others and rows without a printed number, or with a suspect or derived one, are left out; so are pairs of
    equal numbers.

    Args:
        table: The paper's table.
        measured: Our numbers by (row, dataset, metric) as printed.
    """
    metric = table.order_metric or table.metrics[0]
    cells = table.cells[(table.cells.metric == metric) & ~table.cells.external & table.cells.value.notna()]
    if table.order_metric is None:
        cells = cells[:0]
    targets = ~cells["flags"].str.contains(NO_TARGETS)
    sign = -1 if lower_is_better(metric) else 1
    pairs = []
    for dataset, ranked in cells[targets].groupby("corpus", sort=False):
        for pair in combinations(zip(ranked.row, ranked.value, strict=True), 2):
            (worse, low), (better, high) = sorted(pair, key=lambda one: sign * one[1])
            if low != high:
                ours = [measured.get((row, dataset, metric)) for row in (better, worse)]
                pairs.append((better, worse, dataset, *_compare(ours[0], ours[1], sign)))
    excluded = cells[~targets]
    names = tuple(f"{row} ({corpus})" for row, corpus in zip(excluded.row, excluded.corpus, strict=True))
    return Ordering(metric, pd.DataFrame(pairs, columns=COLUMNS), names)


def _compare(better: Measured | None, worse: Measured | None, sign: int) -> tuple[str, float, float, float]:
    """Return the verdict, the difference, and its interval."""
    if better is None or worse is None:
        return "missing", math.nan, math.nan, math.nan
    interval = paired_difference(better, worse)
    # without runs of the same seed and split, the means themselves are compared, and no interval is known
    mean = interval.mean if not math.isnan(interval.mean) else better.interval.mean - worse.interval.mean
    verdict = "holds"
    if sign * mean <= 0:
        beyond = interval.high < 0 if sign > 0 else interval.low > 0
        verdict = "reversed" if beyond else "undecided"
    return verdict, mean, interval.low, interval.high
