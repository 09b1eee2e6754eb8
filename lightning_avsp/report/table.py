"""A sweep's report: the paper's rows with our numbers, their order, what they cost, and what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from lightning_avsp.errors import InputError
from lightning_avsp.report.cells import Cell, dataset_corpus, measure
from lightning_avsp.report.efficiency import CostCounter, NetworkCost, trial_experiment
from lightning_avsp.report.expected import Expected, ExpectedRow, expected_path, read_expected
from lightning_avsp.report.ordering import OrderingResult, compare_order
from lightning_avsp.report.outcomes import Outcome, RowIndex, find_outcomes
from lightning_avsp.sweep import Trial, expand, load_sweep

HONEST = "chosen on validation"
"""How the label of a checkpoint begins that no test video has chosen."""
JOINED = {
    "pooled": "several splits: mean over the videos of all test lists pooled, as STAViS does",
    "split_means": "several splits of a corpus with one list: mean of the splits' means",
}
"""How splits were joined, in words."""


@dataclass(frozen=True)
class ReportRow:
    """One row."""

    expected: ExpectedRow
    cells: Mapping[tuple[str, str], Cell]
    """By (dataset, metric) as printed."""
    cost: NetworkCost | str | None
    """What its network costs, or why it cannot be built; None for networks of others or when not asked for."""
    outcomes: tuple[Outcome, ...]
    planned: int
    """Trials of the sweep that belong to it."""
    train_wall_s: float | None
    """Mean seconds of its trainings."""
    test_wall_s: float | None
    """Mean seconds of its tests."""
    device: str
    """What they ran on; empty without runs."""

    @property
    def name(self) -> str:
        """As printed."""
        return self.expected.name


@dataclass(frozen=True)
class SweepReport:
    """One table."""

    name: str
    """Of the sweep file, without its ending."""
    expected: Expected
    rows: tuple[ReportRow, ...]
    ordering: OrderingResult
    done: int
    """Trials with a result."""
    planned: int
    """Trials of the sweep; 0 for a table that no sweep reproduces."""
    notes: tuple[str, ...]
    """What limits the numbers."""

    @property
    def complete(self) -> bool:
        """Whether every trial has a result and every cell that one is planned for has a number."""
        cells = [cell for row in self.rows for cell in row.cells.values()]
        return self.done == self.planned and not any(
            cell.state in ("missing", "incomplete") for cell in cells
        )

    @property
    def synthetic(self) -> bool:
        """Whether any number is of a SYNTHETIC corpus."""
        return any(cell.ours.synthetic for row in self.rows for cell in row.cells.values() if cell.ours)

    @property
    def title(self) -> str:
        """Where it is printed, and what it is about."""
        place = self.expected.source or f"{self.expected.paper} {self.expected.table}"
        return f"{place}: {self.expected.title}"


def read_report(path: Path, runs: Path, counter: CostCounter | None = None) -> SweepReport:
    """The report of a sweep file.

    Args:
        path: Sweep file; its printed rows lie beside it.
        runs: Folder of all runs.
        counter: Counts what networks cost; None leaves that out.

    Raises:
        InputError: If a file cannot be read, or the sweep's rows do not fit the printed ones.
    """
    sweep = load_sweep(path)
    expected = read_expected(expected_path(path))
    trials = expand(sweep)
    rows = RowIndex(sweep)
    found, strays = find_outcomes(sweep, trials, runs)
    by_row: dict[int, list[Trial]] = {}
    for trial in trials:
        by_row.setdefault(rows.of(trial.overrides), []).append(trial)
    _check_rows(expected, rows.count)
    made = [
        _row(expected, row, by_row.get(-1 if row.index is None else row.index, []), found, counter)
        for row in expected.rows
    ]
    return _report(sweep.name, expected, made, found, len(trials), strays)


def read_printed(path: Path) -> SweepReport:
    """The report of printed rows that have no sweep: the paper's numbers alone.

    Args:
        path: ``NAME.expected.yaml``.

    Raises:
        InputError: If it cannot be read.
    """
    expected = read_expected(path)
    rows = [_row(expected, row, [], {}, None) for row in expected.rows]
    return _report(path.name.removesuffix(".expected.yaml"), expected, rows, {}, 0, [])


def _report(
    name: str,
    expected: Expected,
    rows: list[ReportRow],
    found: Mapping[str, Outcome],
    planned: int,
    strays: list[str],
) -> SweepReport:
    ordering = compare_order(expected, {row.name: row.cells for row in rows})
    report = SweepReport(name, expected, tuple(rows), ordering, len(found), planned, ())
    return replace(report, notes=tuple(_notes(report, found, strays)))


def _check_rows(expected: Expected, count: int) -> None:
    names = [name for name, times in Counter(row.name for row in expected.rows).items() if times > 1]
    if names:
        raise InputError(f"{expected.path} has more than one row called {', '.join(names)}")
    indices = [row.index for row in expected.rows if row.index is not None]
    if any(not 0 <= index < count for index in indices):
        raise InputError(
            f"{expected.path} names rows {indices}, but the sweep beside it lists {count}: index counts from 0 in "
            "the sweep's list of rows"
        )


def _row(
    expected: Expected,
    row: ExpectedRow,
    trials: list[Trial],
    found: Mapping[str, Outcome],
    counter: CostCounter | None,
) -> ReportRow:
    outcomes = tuple(found[trial.id] for trial in trials if trial.id in found)
    cells = {
        (dataset, metric): Cell(
            dataset=dataset,
            metric=metric,
            paper=row.printed(dataset, metric),
            ours=measure(outcomes, dataset, metric),
            planned=sum(_tests(trial, dataset) for trial in trials),
            external=row.external,
        )
        for dataset in expected.datasets
        for metric in expected.metrics
    }
    trainings = {one.training: one.train_wall_s for one in outcomes if one.train_wall_s is not None}
    tests = [one.wall_s for one in outcomes if one.wall_s is not None]
    return ReportRow(
        expected=row,
        cells=cells,
        cost=counter.of(trials[0]) if counter is not None and trials else None,
        outcomes=outcomes,
        planned=len(trials),
        train_wall_s=fmean(trainings.values()) if trainings else None,
        test_wall_s=fmean(tests) if tests else None,
        device=", ".join(sorted({one.device for one in outcomes if one.device})),
    )


def _tests(trial: Trial, dataset: str) -> bool:
    """Whether a trial gives numbers of a dataset."""
    corpus, split = dataset_corpus(dataset)
    given: Any = trial.overrides.get("data") or {}
    corpora = given.get("corpora")
    if corpora is None:
        corpora = _experiment_data(trial).get("corpora")
    if corpora is not None and corpus not in (dataset_corpus(str(name))[0] for name in corpora):
        return False
    return split is None or given.get("split") in (None, split)


def _experiment_data(trial: Trial) -> Mapping[str, Any]:
    """The ``data`` part of the experiment file; nothing where it is missing."""
    try:
        path = trial_experiment(trial)
        content = yaml.safe_load(path.read_text()).get("data") or {}
        if isinstance(content, str):
            content = yaml.safe_load((path.parent / content).read_text()) or {}
    except (InputError, OSError, yaml.YAMLError, AttributeError):
        return {}  # building its network says what is wrong; here nothing is known of its corpora
    return content if isinstance(content, Mapping) else {}


def _notes(report: SweepReport, found: Mapping[str, Outcome], strays: list[str]) -> list[str]:
    """What a reader has to know before comparing."""
    notes = [] if report.planned else ["no sweep reproduces this table: printed numbers alone"]
    measured = [cell.ours for row in report.rows for cell in row.cells.values() if cell.ours is not None]
    if report.synthetic:
        notes.append(
            "SYNTHETIC: numbers with this word are of a generated corpus; they say nothing about the paper's, and no "
            "difference to it is given"
        )
    ways = {cell.averaging for cell in measured if len(cell.splits) > 1}
    notes += [text for way, text in JOINED.items() if way in ways]
    labels = sorted({one.selection for one in found.values() if not one.selection.startswith(HONEST)} - {""})
    notes += [f"checkpoints {label}" for label in labels]
    leaks = sorted({line for one in found.values() for line in one.leaks})
    notes += [f"{line}" for line in leaks]
    notes += [line for row in report.rows for line in _other_network(row)]
    if measured and min(cell.videos for cell in measured) < 10:
        notes.append("some cells rest on fewer than 10 videos, with which bootstrap intervals are too narrow")
    if strays:
        notes.append(
            f"{len(strays)} results belong to trials that the sweep file no longer lists, and are left out: "
            + ", ".join(strays[:5])
            + (", ..." if len(strays) > 5 else "")
        )
    if report.expected.notes:
        notes.append(f"printed table: {report.expected.notes}")
    flagged: dict[str, list[str]] = {}
    for row in report.rows:
        for flag in row.expected.flags:
            flagged.setdefault(flag, []).append(row.name)
    notes += [f"{', '.join(names)}: {flag}" for flag, names in flagged.items()]
    return notes


def _other_network(row: ReportRow) -> list[str]:
    """A line if the row's runs trained a network of another size than the sweep describes, as trial runs do."""
    if not isinstance(row.cost, NetworkCost):
        return []
    described = row.cost.all_params
    trained = {one.parameters for one in row.outcomes if one.parameters not in (None, described)}
    sizes = ", ".join(
        f"{count / 1e6:.2f}" for count in sorted(count for count in trained if count is not None)
    )
    if not sizes:
        return []
    return [
        f"{row.name}: its runs trained a network of {sizes} M parameters, but the sweep describes one of "
        f"{described / 1e6:.2f} M: they were started with other options"
    ]
