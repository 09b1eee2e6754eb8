"""Our number of one cell of a table, from all runs of a row: mean, spread and interval."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from lightning_avsp.data.catalogue import find_corpus, known_corpora
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.formatting import METRIC_NAMES
from lightning_avsp.evaluation.protocols import Averaging, find_protocol
from lightning_avsp.evaluation.statistics import Interval, bootstrap_mean
from lightning_avsp.evaluation.summary import averaging_of
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
        return re.sub(r"[^a-z0-9]", "", name.lower())

    found = re.fullmatch(r"(.+)_split(\d)", dataset)
    name, split = (found[1], int(found[2])) if found else (dataset, None)
    for corpus in known_corpora().values():
        if plain(name) in map(plain, corpus.names):
            return corpus.name, split
    return name, split


def measure(results: Iterable[RunResult], dataset: str, metric: str) -> Measured | None:
    """Compute our number of a cell from a row's results; None if none of them has the dataset and metric.

    Args:
        results: Results of the row's trials.
        dataset: As printed.
        metric: As printed.

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
            (-1 if one.seed is None else one.seed, -1 if one.split is None else one.split, video, value)
            for one, values in found
            for video, value in values
        ],
        columns=[*KEYS, "value"],
    )
    if entries.value.isna().all():
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
