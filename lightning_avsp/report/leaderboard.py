"""Published results on one corpus, each with its places, and our runs among them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from lightning_avsp.data.catalogue import find_corpus
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.formatting import METRIC_NAMES, lower_is_better
from lightning_avsp.evaluation.statistics import Interval
from lightning_avsp.report.measured import dataset_corpus, measure
from lightning_avsp.report.notes import in_protocol, score_notes, start_notes
from lightning_avsp.report.published import printed, published, published_tables
from lightning_avsp.report.results import RunResult, read_all_results

SCORING = (
    "published numbers as their papers print them, by their own evaluation; docs/evaluation.md compares protocols. "
    "results on generated corpora and results with test-set contamination are never ranked"
)


@dataclass(frozen=True)
class Entry:
    """One network, or one of our runs."""

    name: str
    """Model with its inputs and setting, or the name of our run."""
    ours: bool
    values: Mapping[str, Interval]
    """By metric as printed. Ours: mean and interval over videos. Published: a mean alone; where papers disagree, the
    value that most of them print, or the first printed."""
    places: tuple[str, ...]
    """Tables that print it, with the printed name; or our result files."""
    flags: tuple[str, ...] = ()
    """Disagreements of papers, suspect values, limits of our number."""
    synthetic: bool = False
    """Ours, on a SYNTHETIC corpus: never ranked."""
    ranked: bool = True
    rank: int | None = None


@dataclass(frozen=True)
class Leaderboard:
    """Results on one corpus."""

    corpus: str
    metric: str
    """The metric that sorts it, as printed."""
    metrics: tuple[str, ...]
    entries: tuple[Entry, ...]
    """Ranked ones, best first; then those without the metric."""
    aside: tuple[Entry, ...]
    """Our results that are not ranked: SYNTHETIC ones, and ones with test-set contamination."""
    notes: tuple[str, ...] = ()
    """Foundation of our numbers: protocol, frames and weights."""


def read_leaderboard(corpus: str, metric: str, runs: Path, protocol: str = "") -> Leaderboard:
    """Rank the published comparison numbers of a corpus with the runs in a folder.

    Args:
        corpus: Name of the corpus.
        metric: Sorts the entries: ``cc`` or ``CC``, and so on.
        runs: Folder of all runs; it may be missing.
        protocol: Protocol of our numbers; by default that in which papers score the corpus.

    Raises:
        InputError: If nothing is published on the corpus or with the metric, or a result file cannot be read.
    """
    compared = published()
    compared = compared[(compared.kind == "sota") & (compared.corpus != "") & compared.value.notna()]
    name = dataset_corpus(corpus)[0]
    found = compared[[dataset_corpus(one)[0] == name for one in compared.corpus]]
    if found.empty:
        known = sorted(set(compared.corpus))
        raise InputError(f"nothing is published on {corpus!r} in these papers; there is {', '.join(known)}")
    metrics = tuple(found.metric.unique())
    sort = next((one for one in metrics if metric.casefold() in (one.casefold(), METRIC_NAMES[one])), None)
    if sort is None:
        raise InputError(f"nothing is published on {name} with {metric!r}; there is {', '.join(metrics)}")
    # of a mixed test the videos of this corpus alone, before notes count frames and protocols
    ours = [
        (sweep, replace(one, videos=tuple(row for row in one.videos if row["corpus"] == name)))
        for sweep, one in read_all_results(runs)
        if any(row["corpus"] == name for row in one.videos)
    ]
    results = [one for _, one in ours]
    # before the protocol replaces the scores, as they name its difference to plain
    notes = [*score_notes(results, {name}, protocol), *start_notes(results)]
    ours = [(sweep, in_protocol(one, protocol)) for sweep, one in ours]
    entries = [*_published_entries(found), *_our_entries(name, metrics, ours)]
    ranked = [entry for entry in entries if entry.ranked and sort in entry.values]
    ranked.sort(key=lambda entry: entry.values[sort].mean, reverse=not lower_is_better(sort))
    # equal numbers share a rank, that of the first
    order = [entry.values[sort].mean for entry in ranked]
    numbered = [replace(entry, rank=1 + order.index(mean)) for entry, mean in zip(ranked, order, strict=True)]
    rest = [entry for entry in entries if entry.ranked and sort not in entry.values]
    aside = tuple(entry for entry in entries if not entry.ranked)
    return Leaderboard(name, sort, metrics, (*numbered, *rest), aside, tuple(notes))


def _published_entries(found: pd.DataFrame) -> list[Entry]:
    """List one entry per network, from all places that print it."""
    entries = []
    for (model, inputs, setting), cells in found.groupby(["model", "inputs", "setting"], sort=False):
        flags: dict[str, None] = {}
        chosen: dict[str, Interval] = {}
        for metric, group in cells.groupby("metric", sort=False):
            values = list(group.value)
            # the first of equally frequent ones
            chosen[metric] = Interval(max(dict.fromkeys(values), key=values.count), math.nan, math.nan)
            if (group.disagrees != "").any():
                each = [f"{cell.place} {printed(cell.value, metric)}" for cell in group.itertuples()]
                flags[f"papers disagree on {metric}: {', '.join(each)}"] = None
            flags |= {f"{cell.flags} in {cell.place}": None for cell in group.itertuples() if cell.flags}
        places = dict.fromkeys(f"{cell.place} ({cell.row})" for cell in cells.itertuples())
        name = f"{model} ({inputs}{f', {setting}' if setting else ''})"
        entries.append(Entry(name, False, chosen, tuple(places), tuple(flags)))
    return entries


def _our_entries(corpus: str, metrics: Sequence[str], ours: Sequence[tuple[str, RunResult]]) -> list[Entry]:
    """List our results: trials of sweeps by their row, and single runs by experiment."""
    tables = published_tables()
    named: dict[tuple[str, bool], list[RunResult]] = {}
    for sweep, result in ours:
        # a user's own sweep reproduces no table
        rows = tables[sweep].rows.sweep_index if sweep in tables else pd.Series()
        row = next(iter(rows.index[rows == result.row]), result.label)
        # real and SYNTHETIC results of a row must not be averaged
        named.setdefault((f"{sweep} {row}".strip(), corpus in result.synthetic), []).append(result)
    entries = []
    for (name, synthetic), results in sorted(named.items()):
        found = {metric: measure(results, corpus, metric) for metric in metrics}
        values = {metric: one.interval for metric, one in found.items() if one is not None}
        # without one of its metrics there is no number to limit
        flags = _limits(corpus, results) if values else []
        flags += sorted({f"checkpoint {one.selection}" for one in results if "TEST" in one.selection})
        contamination = sorted({line for one in results for line in one.contamination})
        entries.append(
            Entry(
                name=name,
                ours=True,
                values=values,
                places=tuple(str(result.path) for result in results),
                flags=(*flags, *contamination),
                synthetic=synthetic,
                # either would stand above the papers for another reason than its quality
                ranked=not synthetic and not contamination,
            )
        )
    return entries


def _limits(corpus: str, results: Sequence[RunResult]) -> list[str]:
    """List the numbers of runs and seeds, and the splits that they cover."""
    seeds = len({result.seed for result in results})
    words = [f"{len(results)} run{'s'[: len(results) > 1]}, {seeds} seed{'s'[: seeds > 1]}"]
    try:
        published = find_corpus(corpus).splits
    except InputError:  # a user's own corpus, of which no split can be missing
        return words
    splits = sorted({result.split for result in results if result.split is not None})
    if splits and len(published) > 1 and set(splits) != set(published):
        words.append(f"split {', '.join(map(str, splits))} of {len(published)} only")
    return words
