"""Whether the rows of a table come out in the paper's order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from lightning_avsp.metrics.functional.scores import LOWER_IS_BETTER
from lightning_avsp.report.cells import Cell, paired_difference
from lightning_avsp.report.expected import Expected, Ordering
from lightning_avsp.report.published import METRIC_NAMES

Verdict = Literal["holds", "reversed", "undecided", "missing"]


@dataclass(frozen=True)
class Pair:
    """Two rows that the paper ranks, in its order."""

    dataset: str
    better: str
    worse: str
    verdict: Verdict
    """``undecided``: reversed in ours, or equal, but by no more than the interval over videos allows."""
    difference: float
    """Ours: the first minus the second over what both tested; NaN without runs."""
    low: float
    high: float


@dataclass(frozen=True)
class OrderingResult:
    """All pairs of rows that the paper ranks."""

    metric: str
    pairs: tuple[Pair, ...]
    excluded: tuple[str, ...]
    """Rows that are no targets, with their dataset."""
    synthetic: bool
    """Whether any of our numbers is of a SYNTHETIC corpus."""

    def count(self, verdict: Verdict) -> int:
        """Pairs with a verdict."""
        return sum(pair.verdict == verdict for pair in self.pairs)

    def sentence(self) -> str:
        """The result in one sentence."""
        known = len(self.pairs) - self.count("missing")
        mark = "SYNTHETIC: " if self.synthetic else ""
        if not self.pairs:
            return f"The paper ranks no two of its own rows by {self.metric} here."
        if not known:
            return f"Not known yet: of no pair that the paper ranks ({len(self.pairs)}) both rows have a run."
        parts = [f"{mark}{self.count('holds')} of {known} pairs are in the paper's order ({self.metric})"]
        if self.count("undecided"):
            parts.append(f"{self.count('undecided')} reversed, but by less than the interval over videos")
        if self.count("reversed"):
            parts.append(f"{self.count('reversed')} reversed by more than the interval over videos")
        if self.count("missing"):
            parts.append(f"{self.count('missing')} more still without a run")
        whole = "the paper's ordering holds" if self.count("holds") == len(self.pairs) else ""
        return "; ".join([*parts, whole] if whole else parts) + "."


def compare_order(expected: Expected, cells: Mapping[str, Mapping[tuple[str, str], Cell]]) -> OrderingResult:
    """Compare the order of rows, pair by pair.

    Rows of others, rows without a printed number, and what the table excludes are left out; so are equal numbers.

    Args:
        expected: The paper's table; without an ``ordering`` nothing is compared.
        cells: Cells by row and by (dataset, metric).
    """
    ordering = expected.ordering or Ordering(expected.metrics[0], ())
    sign = -1 if METRIC_NAMES.get(ordering.metric, ordering.metric) in LOWER_IS_BETTER else 1
    pairs: list[Pair] = []
    excluded: list[str] = []
    synthetic = False
    for dataset in ordering.datasets:
        ranked: list[tuple[str, float, Cell]] = []
        for row in expected.rows:
            cell = cells[row.name].get((dataset, ordering.metric))
            if row.external or cell is None or cell.paper is None:
                continue
            if ordering.excludes(row.name, dataset):
                excluded.append(f"{row.name} ({dataset})")
                continue
            ranked.append((row.name, sign * cell.paper, cell))
            synthetic = synthetic or (cell.ours is not None and cell.ours.synthetic)
        for first, second in combinations(ranked, 2):
            if first[1] != second[1]:
                better, worse = (first, second) if first[1] > second[1] else (second, first)
                pairs.append(_pair(dataset, better, worse, sign))
    return OrderingResult(ordering.metric, tuple(pairs), tuple(excluded), synthetic)


def _pair(dataset: str, better: tuple[str, float, Cell], worse: tuple[str, float, Cell], sign: int) -> Pair:
    first, second = better[2].ours, worse[2].ours
    if first is None or second is None:
        return Pair(dataset, better[0], worse[0], "missing", math.nan, math.nan, math.nan)
    interval = paired_difference(first, second)
    # without runs of the same seed and split, the means themselves are compared, and no interval is known
    mean = interval.mean if not math.isnan(interval.mean) else first.interval.mean - second.interval.mean
    verdict: Verdict = "holds"
    if sign * mean <= 0:
        beyond = interval.high < 0 if sign > 0 else interval.low > 0
        verdict = "reversed" if beyond else "undecided"
    return Pair(dataset, better[0], worse[0], verdict, mean, interval.low, interval.high)
