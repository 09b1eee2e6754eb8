"""One cell of a table: our number from all runs of a row, its spread and interval, beside the paper's."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from lightning_avsp.data.catalogue import find_corpus, known_corpora
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.protocols import Averaging, find_protocol
from lightning_avsp.evaluation.statistics import Interval, bootstrap_mean
from lightning_avsp.evaluation.summary import averaging_of
from lightning_avsp.report.outcomes import Outcome
from lightning_avsp.report.published import METRIC_NAMES

PROTOCOL = "plain"
"""What ``lightning test`` computes, and so what trials do."""

Entry = tuple[int | None, int | None, str, float]
"""Seed, split, video, value."""


@dataclass(frozen=True)
class Measured:
    """Our number of a cell."""

    interval: Interval
    """Mean by ``averaging``, then over seeds, with its 95 % bootstrap interval over videos."""
    averaging: Averaging
    """How splits were joined: over pooled videos, or the mean of split means."""
    other: float
    """The mean by the other way."""
    seed_spread: float | None
    """Standard deviation over seeds that have every split; None with fewer than two."""
    split_spread: float | None
    """Standard deviation over splits that have every seed; None with fewer than two."""
    runs: int
    """Trials behind it."""
    seeds: tuple[int, ...]
    splits: tuple[int, ...]
    videos: int
    """Distinct videos."""
    synthetic: bool
    """Whether the corpus is one that our generator made: such a number says nothing about the paper's."""
    entries: tuple[Entry, ...]
    """Everything behind it."""


@dataclass(frozen=True)
class Cell:
    """A dataset and metric of a row."""

    dataset: str
    metric: str
    paper: float | None
    """The printed number; None where none is printed."""
    ours: Measured | None
    planned: int
    """Trials of the sweep that would give a number here; 0 where none does."""
    external: bool = False
    """Whether the row is somebody else's network, which no run reproduces."""

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's; None without one of both, or where ours is of a SYNTHETIC corpus."""
        if self.ours is None or self.paper is None or self.ours.synthetic:
            return None
        return self.ours.interval.mean - self.paper

    @property
    def state(self) -> str:
        """``external``, ``not planned``, ``missing``, ``incomplete`` or ``complete``."""
        if self.external:
            return "external"
        done = 0 if self.ours is None else self.ours.runs
        if self.planned == 0 and done == 0:
            return "not planned"
        if done == 0:
            return "missing"
        return "incomplete" if done < self.planned else "complete"


def dataset_corpus(dataset: str) -> tuple[str, int | None]:
    """Our name of a printed dataset, and the split where the name has one: ``AVAD_split1``.

    A name that the catalogue does not know is its own.
    """
    found = re.fullmatch(r"(.+)_split(\d)", dataset)
    name, split = (found[1], int(found[2])) if found else (dataset, None)
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    for corpus in known_corpora().values():
        if plain in (re.sub(r"[^a-z0-9]", "", known.lower()) for known in corpus.names):
            return corpus.name, split
    return name, split


def measure(outcomes: Iterable[Outcome], dataset: str, metric: str) -> Measured | None:
    """Our number of a cell from a row's results; None if none of them has the dataset and metric.

    Args:
        outcomes: Results of the row's trials.
        dataset: As printed.
        metric: As printed.

    Raises:
        InputError: If some results are of a SYNTHETIC corpus and others of the real one.
    """
    corpus, only = dataset_corpus(dataset)
    name = METRIC_NAMES.get(metric, metric)
    entries: list[Entry] = []
    used: list[Outcome] = []
    for outcome in outcomes:
        values = outcome.corpus_values(corpus, name)
        if values and (only is None or outcome.split == only):
            used.append(outcome)
            entries += [(outcome.seed, outcome.split, video, value) for video, value in values]
    if not any(not math.isnan(entry[3]) for entry in entries):
        return None
    made = [outcome for outcome in used if corpus in outcome.synthetic]
    if made and len(made) < len(used):
        real = next(outcome for outcome in used if corpus not in outcome.synthetic)
        raise InputError(
            f"{made[0].path} is of a SYNTHETIC {corpus}, {real.path} of the real one; one table may not mix them: "
            "keep them in different folders and give --runs"
        )
    averaging = _averaging(corpus)
    other: Averaging = "split_means" if averaging == "pooled" else "pooled"
    seeds = sorted({entry[0] for entry in entries}, key=_none_first)
    splits = sorted({entry[1] for entry in entries}, key=_none_first)
    by_seed = [_mean(groups(part, averaging)) for part in _balanced(entries, 0, 1)]
    by_split = [_mean(groups(part, averaging)) for part in _balanced(entries, 1, 0)]
    return Measured(
        interval=bootstrap_mean(groups(entries, averaging)),
        averaging=averaging,
        other=_mean(groups(entries, other)),
        seed_spread=_spread(by_seed),
        split_spread=_spread(by_split),
        runs=len(used),
        seeds=tuple(seed for seed in seeds if seed is not None),
        splits=tuple(split for split in splits if split is not None),
        videos=len({entry[2] for entry in entries}),
        synthetic=bool(made),
        entries=tuple(entries),
    )


def _balanced(entries: Sequence[Entry], by: Literal[0, 1], over: Literal[0, 1]) -> list[list[Entry]]:
    """Entries by seed (0) or split (1), only those with every split or seed: others differ by what they lack."""
    parts: dict[int | None, list[Entry]] = {}
    for entry in entries:
        parts.setdefault(entry[by], []).append(entry)
    every = {entry[over] for entry in entries}
    return [part for part in parts.values() if {entry[over] for entry in part} == every]


def groups(entries: Sequence[Entry], averaging: Averaging) -> list[list[tuple[str, float]]]:
    """(video, value) in the groups whose means are averaged: by seed, or by seed and split."""
    found: dict[tuple[int | None, int | None], list[tuple[str, float]]] = {}
    for seed, split, video, value in entries:
        key = (seed, None if averaging == "pooled" else split)
        found.setdefault(key, []).append((video, value))
    return list(found.values())


def paired_difference(first: Measured, second: Measured) -> Interval:
    """First minus second over the (seed, split, video) that both have, with its interval over videos."""
    of_second = {entry[:3]: entry[3] for entry in second.entries}
    shared: list[Entry] = [
        (*entry[:3], entry[3] - of_second[entry[:3]]) for entry in first.entries if entry[:3] in of_second
    ]
    return bootstrap_mean(groups(shared, first.averaging))


def _averaging(corpus: str) -> Averaging:
    protocol = find_protocol(PROTOCOL)
    try:
        return averaging_of(find_corpus(corpus), protocol)
    except InputError:  # a corpus of one's own has fold lists like the published ones
        return protocol.averaging


def _mean(found: Sequence[Sequence[tuple[str, float]]]) -> float:
    counted = [[value for _, value in group if not math.isnan(value)] for group in found]
    means = [fmean(group) for group in counted if group]
    return fmean(means) if means else math.nan


def _spread(values: Sequence[float]) -> float | None:
    counted = [value for value in values if not math.isnan(value)]
    return stdev(counted) if len(counted) > 1 else None


def _none_first(value: int | None) -> tuple[bool, int]:
    return value is not None, value or 0
