"""Published results on one corpus, each with its places, and our runs among them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from lightning_avsp.data.catalogue import find_corpus
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.statistics import Interval
from lightning_avsp.report.cells import dataset_corpus, measure
from lightning_avsp.report.expected import expected_path, read_expected
from lightning_avsp.report.marks import lower_is_better
from lightning_avsp.report.outcomes import RESULT, Outcome, RowIndex, read_outcome
from lightning_avsp.report.published import METRIC_NAMES, PublishedValue, printed, published_tables
from lightning_avsp.sweep import expand, load_sweep

TEST = Path("results") / "test.json"


@dataclass(frozen=True)
class Entry:
    """One line."""

    name: str
    """Model with its inputs and setting, or the name of our run."""
    ours: bool
    values: Mapping[str, float]
    """By metric as printed; where papers disagree, the value that most of them print, or the first printed."""
    places: tuple[str, ...]
    """Where it is printed, with the printed name; or our result files."""
    flags: tuple[str, ...] = ()
    """Where papers disagree, what is suspect, what limits our number."""
    intervals: Mapping[str, Interval] | None = None
    """Ours: mean and interval over videos."""
    synthetic: bool = False
    """Ours, on a SYNTHETIC corpus: never ranked."""
    ranked: bool = True
    rank: int | None = None


@dataclass(frozen=True)
class Leaderboard:
    """Results on one corpus."""

    corpus: str
    metric: str
    """What it is sorted by, as printed."""
    metrics: tuple[str, ...]
    entries: tuple[Entry, ...]
    """Ranked ones, best first; then those without the metric."""
    aside: tuple[Entry, ...]
    """Our results that are not ranked: SYNTHETIC ones, and ones that have seen their test videos."""


def read_leaderboard(corpus: str, metric: str, runs: Path, sweeps: Path) -> Leaderboard:
    """Published comparison numbers of a corpus with the runs in a folder.

    Args:
        corpus: Name of the corpus.
        metric: Sorted by it: ``cc`` or ``CC``, and so on.
        runs: Folder of all runs; it may be missing.
        sweeps: Folder of the sweep files, which name the rows that trials belong to; it may be missing.

    Raises:
        InputError: If nothing is published on the corpus or with the metric, or a result file cannot be read.
    """
    rows = [
        value
        for table in published_tables()
        if table.kind == "sota"
        for value in table.values
        if value.corpus is not None and value.value is not None
    ]
    name = dataset_corpus(corpus)[0]
    found = [value for value in rows if dataset_corpus(value.corpus or "")[0] == name]
    if not found:
        known = sorted({value.corpus or "" for value in rows})
        raise InputError(f"nothing is published on {corpus!r} in these papers; there is {', '.join(known)}")
    metrics = tuple(dict.fromkeys(value.metric for value in found))
    sort = next((one for one in metrics if metric.casefold() in (one.casefold(), METRIC_NAMES[one])), None)
    if sort is None:
        raise InputError(f"nothing is published on {name} with {metric!r}; there is {', '.join(metrics)}")
    entries = [*_published(found), *_ours(name, metrics, runs, sweeps)]
    ranked = [entry for entry in entries if entry.ranked and sort in entry.values]
    ranked.sort(key=lambda entry: entry.values[sort], reverse=not lower_is_better(sort))
    numbered = [
        replace(entry, rank=1 + sum(_before(other, entry, sort) for other in ranked)) for entry in ranked
    ]
    rest = [entry for entry in entries if entry.ranked and sort not in entry.values]
    aside = tuple(entry for entry in entries if not entry.ranked)
    return Leaderboard(name, sort, metrics, (*numbered, *rest), aside)


def _before(first: Entry, second: Entry, metric: str) -> bool:
    a, b = first.values[metric], second.values[metric]
    return a < b if lower_is_better(metric) else a > b


def _published(found: Sequence[PublishedValue]) -> list[Entry]:
    """One entry per network, from all places that print it."""
    models: dict[tuple[str, str, str], list[PublishedValue]] = {}
    for value in found:
        models.setdefault((value.model, value.inputs, value.setting), []).append(value)
    entries = []
    for (model, inputs, setting), values in models.items():
        flags: dict[str, None] = {}
        chosen: dict[str, float] = {}
        for metric in dict.fromkeys(value.metric for value in values):
            of_metric = [value for value in values if value.metric == metric]
            numbers = [value.value for value in of_metric if value.value is not None]
            chosen[metric] = max(
                dict.fromkeys(numbers), key=numbers.count
            )  # the first of equally frequent ones
            if any(value.disagrees for value in of_metric):
                each = ", ".join(f"{value.place} {printed(value.value or 0, metric)}" for value in of_metric)
                flags[f"papers disagree on {metric}: {each}"] = None
            for value in of_metric:
                flags |= {f"{flag} in {value.place}": None for flag in value.flags}
        places = dict.fromkeys(f"{value.place} ({value.row})" for value in values)
        name = f"{model} ({inputs}{f', {setting}' if setting else ''})"
        entries.append(Entry(name, False, chosen, tuple(places), tuple(flags)))
    return entries


def _ours(corpus: str, metrics: Sequence[str], runs: Path, sweeps: Path) -> list[Entry]:
    """Our results: trials of sweeps by what they train and test, and single runs by experiment."""
    named: dict[tuple[str, bool], list[Outcome]] = {}
    for name, outcome in _results(runs, sweeps):
        if any(row["corpus"] == corpus for row in outcome.videos):
            named.setdefault((name, corpus in outcome.synthetic), []).append(outcome)
    entries = []
    for (name, synthetic), outcomes in sorted(named.items()):
        measured = {metric: measure(outcomes, corpus, metric) for metric in metrics}
        intervals = {metric: one.interval for metric, one in measured.items() if one is not None}
        some = next((one for one in measured.values() if one is not None), None)
        flags = [] if some is None else _limits(corpus, some.splits, some.seeds, len(outcomes))
        flags += sorted({f"checkpoint {one.selection}" for one in outcomes if "TEST" in one.selection})
        leaks = sorted({line for one in outcomes for line in one.leaks})
        entries.append(
            Entry(
                name=name,
                ours=True,
                values={metric: interval.mean for metric, interval in intervals.items()},
                places=tuple(str(outcome.path) for outcome in outcomes),
                flags=(*flags, *leaks),
                intervals=intervals,
                synthetic=synthetic,
                ranked=not synthetic and not leaks,
            )
        )
    return entries


def _limits(corpus: str, splits: Sequence[int], seeds: Sequence[int], count: int) -> list[str]:
    """What our number covers."""
    words = [
        f"{count} run{'s' if count > 1 else ''}, {max(1, len(seeds))} seed{'s' if len(seeds) > 1 else ''}"
    ]
    try:
        published = find_corpus(corpus).splits
    except InputError:
        return words
    if splits and len(published) > 1 and set(splits) != set(published):
        words.append(f"split {', '.join(map(str, splits))} of {len(published)} only")
    return words


def _results(runs: Path, sweeps: Path) -> Iterable[tuple[str, Outcome]]:
    """Every result under a folder, with the name that its repetitions over seeds and splits share."""
    trained: set[Path] = set()
    rows: dict[str, dict[str, str]] = {}
    for path in sorted(runs.glob(f"sweeps/*/*/{RESULT}")):
        outcome = read_outcome(path)
        sweep = path.parents[1].name
        if sweep not in rows:
            rows[sweep] = _row_names(sweeps / f"{sweep}.yaml")
        row = rows[sweep].get(outcome.trial) or _short(_overrides(path))
        trained |= {outcome.run_dir.resolve(), (runs / "trainings" / outcome.training).resolve()}
        yield f"{sweep} {row}".strip(), outcome
    for path in sorted(runs.glob(f"**/{TEST}")):
        folder = path.parent.parent
        if path.relative_to(runs).parts[0] != "sweeps" and folder.resolve() not in trained:
            yield _run(path, folder)


def _row_names(path: Path) -> dict[str, str]:
    """Printed names of the rows of a sweep's trials; nothing without the sweep file and its printed rows."""
    if not path.is_file() or not expected_path(path).is_file():
        return {}
    sweep = load_sweep(path)
    index = RowIndex(sweep)
    names = {row.index: row.name for row in read_expected(expected_path(path)).rows if row.index is not None}
    return {trial.id: names.get(index.of(trial.overrides), "") for trial in expand(sweep)}


def _overrides(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8")).get("overrides")
    return content if isinstance(content, dict) else {}


def _short(overrides: Mapping[str, Any]) -> str:
    """What a trial varies beside seed, split and corpora, in one line."""
    words: list[str] = []

    def walk(value: Any, name: str) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                walk(inner, str(key))
        else:
            words.append(f"{name}={value}")

    for key, value in overrides.items():
        if key == "data" and isinstance(value, Mapping):
            walk({name: one for name, one in value.items() if name not in ("split", "corpora", "root")}, key)
        elif key not in ("seed_everything", "init_from"):
            walk(value, key)
    return ", ".join(words)


def _run(path: Path, folder: Path) -> tuple[str, Outcome]:
    """A single run's test: its name and its result."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        record_path = folder / "run.json"
        record = json.loads(record_path.read_text(encoding="utf-8")) if record_path.is_file() else {}
        config_path = folder / "config.yaml"
        config = yaml.safe_load(config_path.read_text(encoding="utf-8")) if config_path.is_file() else {}
        split = (config.get("data") or {}).get("split")
        limits = [
            f"every {content['test_every']}th frame only" if (content.get("test_every") or 1) > 1 else "",
            f"sound: {content['test_audio']}" if content.get("test_audio") not in (None, "true") else "",
            f"captions: {content['test_text']}" if content.get("test_text") not in (None, "true") else "",
        ]
        limits = [limit for limit in limits if limit]
        experiment = str(record.get("experiment") or folder.name)
        outcome = Outcome(
            path=path,
            trial="",
            training="",
            run_dir=folder,
            videos=tuple(dict(row) for row in content["videos"]),
            synthetic=frozenset(content.get("synthetic") or ()),
            selection=str(content.get("selection") or ""),
            seed=None if record.get("seed") is None else int(record["seed"]),
            split=split if isinstance(split, int) else None,
            wall_s=None,
            train_wall_s=None,
            device=str(record.get("device") or ""),
            leaks=tuple(content.get("leaks") or ()),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise InputError(
            f"{path} is no result of `lightning test` ({type(error).__name__}: {error})"
        ) from error
    return " ".join([experiment, *(f"({limit})" for limit in limits)]), outcome


def interval_text(entry: Entry, metric: str) -> str:
    """``[0.70, 0.74]``, or nothing."""
    interval = (entry.intervals or {}).get(metric)
    if interval is None or math.isnan(interval.low):
        return ""
    return f"[{interval.low:.3f}, {interval.high:.3f}]"
