"""Our number of one cell of a table, from all runs of a row, and the order of rows beside that of the paper."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from lightning_avsp.data.catalogue import find_corpus, known_corpora
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.formatting import DIGITS, METRIC_NAMES, lower_is_better
from lightning_avsp.evaluation.protocols import Averaging, find_protocol
from lightning_avsp.evaluation.statistics import Interval, averaging_of, bootstrap_mean
from lightning_avsp.report.published import PublishedTable
from lightning_avsp.report.results import RunResult

PROTOCOL = "plain"
"""The protocol of ``lightning test``, and so of trials."""
KEYS = ["seed", "split", "video"]


@dataclass(frozen=True)
class Measured:
    """Our number of a cell."""

    interval: Interval
    """Mean by ``averaging``, then over seeds, with its 95 % bootstrap interval over videos."""
    averaging: Averaging
    """Rule that joined the splits: over pooled videos, or the mean of split means."""
    other: float
    """The mean by the other way."""
    seed_spread: float | None
    """Standard deviation over seeds that have every split; None with fewer than two."""
    split_spread: float | None
    """Standard deviation over splits that have every seed; None with fewer than two."""
    runs: int
    """Trials behind it."""
    synthetic: bool
    """True if the corpus was made by our generator: such a number is not comparable with the paper's."""
    entries: pd.DataFrame
    """Everything behind it: columns seed, split (-1 for none), video, value."""

    def distinct(self, column: str) -> tuple[int, ...]:
        """List the seeds or splits in order."""
        return tuple(int(value) for value in sorted(self.entries[column].unique()) if value >= 0)

    @property
    def videos(self) -> int:
        """Number of distinct videos."""
        return int(self.entries.video.nunique())


def dataset_corpus(dataset: str) -> tuple[str, int | None]:
    """Return our name of a printed dataset, and the split where the name has one: ``AVAD_split1``.

    A name that is not in the catalogue is returned as it is.
    """

    def plain(name: str) -> str:
        # papers write DHF1k and Hollywood-2
        return re.sub(r"[^a-z0-9]", "", name.lower())

    found = re.fullmatch(r"(.+)_split(\d)", dataset)
    name, split = (found[1], int(found[2])) if found else (dataset, None)
    for corpus in known_corpora().values():
        if plain(name) in map(plain, corpus.names):
            return corpus.name, split
    return name, split


def measure(results: Iterable[RunResult], dataset: str, metric: str) -> Measured | None:
    """Compute our number of a cell, named as printed, from the results of a row's trials; None if none has any.

    Raises:
        InputError: If some results are of a SYNTHETIC corpus and others of the real one.
    """
    corpus, only = dataset_corpus(dataset)
    name = METRIC_NAMES.get(metric, metric)
    used = [(one, one.corpus_values(corpus, name)) for one in results if only in (None, one.split)]
    return summarise([(one, values) for one, values in used if values], corpus, _averaging(corpus))


def summarise(
    found: Sequence[tuple[RunResult, Sequence[tuple[str, float]]]], corpus: str, averaging: Averaging
) -> Measured | None:
    """Summarise the (video, value) of some results; None if there is no value.

    Raises:
        InputError: If some results are of a SYNTHETIC corpus and others of the real one.
    """
    entries = pd.DataFrame(
        [
            # -1, as pandas leaves missing values out of its groups
            (-1 if one.seed is None else one.seed, -1 if one.split is None else one.split, video, value)
            for one, values in found
            for video, value in values
        ],
        columns=[*KEYS, "value"],
    )
    if entries.value.isna().all():  # a metric is undefined on frames without fixations
        return None
    used = [one for one, _ in found]
    synthetic = [result for result in used if corpus in result.synthetic]
    if synthetic and len(synthetic) < len(used):
        real = next(result for result in used if corpus not in result.synthetic)
        raise InputError(
            f"{synthetic[0].path} is of a SYNTHETIC {corpus}, {real.path} of the real one; one table may not mix them: "
            "keep them in different folders and give --runs"
        )
    return Measured(
        interval=_bootstrap(entries, averaging),
        averaging=averaging,
        other=_mean(entries, "split_means" if averaging == "pooled" else "pooled"),
        seed_spread=_spread(entries, "seed", "split", averaging),
        split_spread=_spread(entries, "split", "seed", averaging),
        runs=len(used),
        synthetic=bool(synthetic),
        entries=entries,
    )


def paired_difference(first: Measured, second: Measured) -> Interval:
    """Subtract the second from the first over the (seed, split, video) of both, with the interval over videos."""
    # the same videos, seeds and splits: what makes some of them hard for both cancels
    shared = first.entries.merge(second.entries, on=KEYS, suffixes=("", "_second"))
    return _bootstrap(shared.assign(value=shared.value - shared.value_second), first.averaging)


_GROUPING = {"pooled": ["seed"], "split_means": ["seed", "split"]}
"""Columns whose groups' means are averaged."""


def _bootstrap(entries: pd.DataFrame, averaging: Averaging) -> Interval:
    groups = entries.groupby(_GROUPING[averaging])
    return bootstrap_mean([list(zip(group.video, group.value, strict=True)) for _, group in groups])


def _mean(entries: pd.DataFrame, averaging: Averaging) -> float:
    return float(entries.groupby(_GROUPING[averaging]).value.mean().mean())


def _spread(entries: pd.DataFrame, by: str, over: str, averaging: Averaging) -> float | None:
    """Compute the deviation over seeds or splits, of those alone that have every split or seed."""
    parts = [part for _, part in entries.groupby(by) if part[over].nunique() == entries[over].nunique()]
    means = pd.Series([_mean(part, averaging) for part in parts]).dropna()
    return float(means.std()) if len(means) > 1 else None


def _averaging(corpus: str) -> Averaging:
    protocol = find_protocol(PROTOCOL)
    try:
        return averaging_of(find_corpus(corpus), protocol)
    except InputError:  # a user's own corpus has fold lists like the published ones
        return protocol.averaging


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
    # nobody sees a difference behind the printed digits
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
