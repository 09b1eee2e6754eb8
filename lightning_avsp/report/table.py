"""A sweep's report: the paper's rows with our numbers, their order, their networks' cost, and caveats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
import yaml

from lightning_avsp.errors import InputError
from lightning_avsp.profiling.model import NetworkCost
from lightning_avsp.report.efficiency import CostCounter, trial_experiment
from lightning_avsp.report.formatting import lower_is_better, rank_values
from lightning_avsp.report.gpu_hours import count_gpu_hours
from lightning_avsp.report.measured import Measured, dataset_corpus, measure
from lightning_avsp.report.ordering import Ordering, compare_order
from lightning_avsp.report.published import FLAGS, PublishedTable, published_tables
from lightning_avsp.report.results import RunResult, read_trial_results
from lightning_avsp.sweep import Sweep, Trial, expand, load_sweep
from lightning_avsp.sweep.costs import plan_costs
from lightning_avsp.sweep.planning import plan_sweep

FAIR_SELECTION = "chosen on validation"
"""How the label of a checkpoint begins that was not chosen on test videos."""
JOINED = {
    "pooled": "several splits: mean over the videos of all test lists pooled, as STAViS does",
    "split_means": "several splits of a corpus with one list: mean of the splits' means",
}


COLUMNS = (
    *(
        "sweep",
        "paper_name",
        "table",
        "row",
        "dataset",
        "metric",
        "paper",
        "ours",
        "low",
        "high",
        "averaging",
    ),
    *(
        "ours_other_averaging",
        "spread_seeds",
        "spread_splits",
        "difference",
        "rank_paper",
        "rank",
        "state",
        "runs",
    ),
    *("planned", "seeds", "splits", "videos", "synthetic", "flags", "disagrees"),
)
"""Of the frame of a report, and of its CSV file."""


@dataclass(frozen=True)
class ReportRow:
    """One row's runs and network."""

    results: tuple[RunResult, ...]
    planned: int
    """Trials of the sweep that belong to it."""
    cost: NetworkCost | str | None
    """Cost of its network, or why it cannot be built; None for networks of others or when not asked for."""


@dataclass(frozen=True)
class SweepReport:
    """One table."""

    name: str
    """Of the sweep file, without its ending."""
    table: PublishedTable
    frame: pd.DataFrame
    """One record for each cell, and (with an empty dataset) for each efficiency figure; see :data:`COLUMNS`."""
    rows: Mapping[str, ReportRow]
    """By name as printed."""
    ordering: Ordering
    done: int
    """Trials with a result."""
    planned: int
    """Trials of the sweep; 0 for a table that no sweep reproduces."""
    notes: tuple[str, ...]
    """Caveats of the numbers."""

    @property
    def complete(self) -> bool:
        """Whether every trial has a result and every planned cell a number."""
        states = self.frame.state[self.frame.dataset != ""]
        return self.done == self.planned and not states.isin(["missing", "incomplete"]).any()

    @property
    def synthetic(self) -> bool:
        """Whether any number is of a SYNTHETIC corpus."""
        return bool(self.frame.synthetic.eq("SYNTHETIC").any())

    @property
    def title(self) -> str:
        """Source and title."""
        return f"{self.table.source}: {self.table.title}"

    @property
    def summary(self) -> str:
        """Share of the sweep that is finished."""
        if not self.planned:
            return "printed numbers alone"
        return f"{'complete' if self.complete else 'INCOMPLETE'}: {self.done} of {self.planned} trials"


def find_table(sweep: Sweep) -> PublishedTable:
    """The table that a sweep reproduces: the one named by its ``description``, else by its file.

    Raises:
        InputError: If there is no such table.
    """
    tables = published_tables()
    for name in (sweep.content.get("description"), sweep.name):
        if name in tables:
            return tables[name]
    raise InputError(
        f"{sweep.path}: no published table is called {sweep.name}; name the one that it reproduces as "
        f"`description:` in the file: {', '.join(tables)}"
    )


def read_report(
    path: Path,
    runs: Path,
    counter: CostCounter | None = None,
    table: PublishedTable | None = None,
    args: list[str] | None = None,
    speeds: tuple[float, float] | None = None,
) -> SweepReport:
    """The report of a sweep file.

    Args:
        path: Sweep file.
        runs: Folder of all runs.
        counter: Counts the cost of networks; None omits it.
        table: The table that it reproduces; by default that of :func:`find_table`.
        args: ``--args`` of the results; needed where there are results of different ones.
        speeds: Training and predicted clips per second of one GPU, for the GPU hours of the sweep.

    Raises:
        InputError: If a file cannot be read, or the sweep has fewer rows than the table.
    """
    sweep = load_sweep(path)
    table = table or find_table(sweep)
    trials, rows = expand(sweep), sweep.row_count()
    own = [name for name, index in table.rows.sweep_index.items() if index >= 0]
    if len(own) != rows:
        raise InputError(
            f"{path} lists {rows} rows, but {table.source} has {len(own)} of its own: {', '.join(own)}"
        )
    results, strays = read_trial_results(sweep, trials, runs, args)
    by_row: dict[int | None, list[Trial]] = {}
    for trial in trials:
        by_row.setdefault(trial.row, []).append(trial)
    report = _report(sweep.name, table, by_row, results, counter, strays)
    if speeds is None:
        return report
    hours = count_gpu_hours(plan_costs(plan_sweep(sweep, args or (), with_data=False)), *speeds)
    return replace(report, notes=(hours.sentence(), *report.notes))


def report_published(table: PublishedTable) -> SweepReport:
    """The report of a table without a sweep: the paper's numbers alone."""
    return _report(table.id, table, {}, {}, None, [])


def _report(
    name: str,
    table: PublishedTable,
    trials: Mapping[int | None, list[Trial]],
    results: Mapping[str, RunResult],
    counter: CostCounter | None,
    strays: list[str],
) -> SweepReport:
    rows: dict[str, ReportRow] = {}
    measured: dict[tuple[str, str, str], Measured] = {}
    records: list[dict[str, Any]] = []
    for row, index in table.rows.sweep_index.items():
        own = trials.get(index, [])
        found = tuple(results[trial.id] for trial in own if trial.id in results)
        cost = counter.of(own[0]) if counter is not None and own else None
        rows[row] = ReportRow(found, len(own), cost)
        cells = table.cells[table.cells.row == row]
        for cell in cells[cells.corpus != ""].itertuples():
            ours = measure(found, cell.corpus, cell.metric)
            if ours is not None:
                measured[row, cell.corpus, cell.metric] = ours
            planned = sum(_tests(trial, cell.corpus) for trial in own)
            records.append(_cell_record(cell, ours, planned))
        records += _cost_records(cells[cells.corpus == ""], rows[row], row)
    frame = pd.DataFrame(records, columns=list(COLUMNS))
    frame = frame.assign(sweep=name, paper_name=table.paper, table=table.table)
    for column, rank in (("paper", "rank_paper"), ("ours", "rank")):
        for (dataset, metric), group in frame.groupby(["dataset", "metric"]):
            if dataset:
                frame.loc[group.index, rank] = rank_values(group[column], lower_is_better(metric))
    ordering = compare_order(table, measured)
    planned = sum(map(len, trials.values()))
    report = SweepReport(name, table, frame, rows, ordering, len(results), planned, ())
    return replace(
        report, notes=tuple(_notes(report, list(measured.values()), list(results.values()), strays))
    )


def _cell_record(cell: Any, ours: Measured | None, planned: int) -> dict[str, Any]:
    """Record of a published cell with our number; no difference is given to a SYNTHETIC one."""
    record = {
        "row": cell.row,
        "dataset": cell.corpus,
        "metric": cell.metric,
        "paper": cell.value,
        "flags": cell.flags,
        "disagrees": cell.disagrees,
        "planned": planned,
        "runs": 0 if ours is None else ours.runs,
    }
    if ours is None:
        return record | {"state": "external" if cell.external else "missing" if planned else "not planned"}
    return record | {
        "state": "incomplete" if ours.runs < planned else "complete",
        "ours": ours.interval.mean,
        "low": ours.interval.low,
        "high": ours.interval.high,
        "averaging": ours.averaging,
        "ours_other_averaging": ours.other,
        "spread_seeds": ours.seed_spread,
        "spread_splits": ours.split_spread,
        "difference": None if ours.synthetic else ours.interval.mean - cell.value,
        "seeds": " ".join(map(str, ours.seeds)),
        "splits": " ".join(map(str, ours.splits)),
        "videos": ours.videos,
        "synthetic": "SYNTHETIC" if ours.synthetic else "",
    }


def _cost_records(cells: pd.DataFrame, row: ReportRow, name: str) -> list[dict[str, Any]]:
    """Records of a row's efficiency figures in the papers' units, and of its mean seconds."""
    ours: dict[str, float | None] = dict.fromkeys(
        ("params_M", "flops_G", "flops_with_attention_G", "memory_G")
    )
    if isinstance(row.cost, NetworkCost):
        cost = row.cost
        ours |= {"params_M": cost.params / 1e6, "flops_G": cost.macs / 1e9}
        ours |= {"flops_with_attention_G": cost.flops / 1e9, "memory_G": cost.memory / 1e9}
    trainings = {one.training: one.train_wall_s for one in row.results if one.train_wall_s is not None}
    tests = [one.wall_s for one in row.results if one.wall_s is not None]
    ours["train_wall_s"] = fmean(trainings.values()) if trainings else None
    ours["test_wall_s"] = fmean(tests) if tests else None
    printed = {cell.metric: cell for cell in cells.itertuples()}
    records = []
    for key, value in ours.items():
        cell = printed.get(key)
        record = {"row": name, "dataset": "", "metric": key, "ours": value, "planned": row.planned}
        record |= {"runs": len(row.results), "state": "missing" if value is None else "complete"}
        if isinstance(row.cost, str) and not key.endswith("_wall_s"):
            record["state"] = f"cannot be built: {row.cost}"
        if cell is not None:
            record |= {"paper": cell.value, "flags": cell.flags, "disagrees": cell.disagrees}
            record["difference"] = None if value is None else value - cell.value
        if not row.planned:
            record["state"] = "external" if cell is not None and cell.external else "not planned"
        if cell is not None or row.planned:
            records.append(record)
    return records


def _tests(trial: Trial, dataset: str) -> bool:
    """Whether a trial gives numbers of a dataset."""
    corpus, split = dataset_corpus(dataset)
    given: Any = trial.overrides.get("data") or {}
    corpora = given.get("corpora") or _experiment_data(trial).get("corpora")
    if corpora is not None and corpus not in (dataset_corpus(str(name))[0] for name in corpora):
        return False
    return split is None or given.get("split") in (None, split)


def _experiment_data(trial: Trial) -> Mapping[str, Any]:
    """The ``data`` part of the experiment file; empty where it is missing."""
    try:
        path = trial_experiment(trial)
        content = yaml.safe_load(path.read_text()).get("data") or {}
        if isinstance(content, str):
            content = yaml.safe_load((path.parent / content).read_text()) or {}
    except (InputError, OSError, yaml.YAMLError, AttributeError):
        return {}  # counting its network reports the fault
    return content if isinstance(content, Mapping) else {}


def _notes(
    report: SweepReport, measured: Sequence[Measured], results: Sequence[RunResult], strays: list[str]
) -> list[str]:
    """Everything that a reader has to consider before comparing."""
    notes = [] if report.planned else ["no sweep reproduces this table: printed numbers alone"]
    if report.table.no_sweep:
        notes.append(f"ours are {report.table.no_sweep}")
    if report.synthetic:
        notes.append(
            "SYNTHETIC: numbers with this word are of a generated corpus; they are not comparable with the paper's, "
            "and no difference is given"
        )
    ways = {cell.averaging for cell in measured if len(cell.splits) > 1}
    notes += [text for way, text in JOINED.items() if way in ways]
    labels = {one.selection for one in results if not one.selection.startswith(FAIR_SELECTION)}
    notes += [f"checkpoints {label}" for label in sorted(labels - {""})]
    notes += sorted({line for one in results for line in one.contamination})
    notes += [line for name, row in report.rows.items() for line in _network_mismatch(name, row)]
    if measured and min(cell.videos for cell in measured) < 10:
        notes.append("some cells rest on fewer than 10 videos, with which bootstrap intervals are too narrow")
    if strays:
        notes.append(
            f"{len(strays)} results belong to trials that the sweep file no longer lists, and are left out: "
            + ", ".join(strays[:5])
            + (", ..." if len(strays) > 5 else "")
        )
    return notes + _printed_notes(report.table)


def _printed_notes(table: PublishedTable) -> list[str]:
    """Caveats of the printed numbers: the table's own, flags, and other places that print other numbers."""
    notes = [f"printed table: {table.note}"] if table.note else []
    cells = table.cells.assign(where=table.cells.corpus.where(table.cells.corpus != "", table.cells.metric))
    for flags, group in cells[cells["flags"] != ""].groupby("flags", sort=False):
        names = dict.fromkeys(f"{cell.row} ({cell.where})" for cell in group.itertuples())
        notes.append(f"{', '.join(names)}: {'; '.join(FLAGS[flag] for flag in flags.split('; '))}")
    differing = [
        f"{cell.row} {' '.join(dict.fromkeys((cell.where, cell.metric)))} ({cell.disagrees})"
        for cell in cells[cells.disagrees != ""].itertuples()
    ]
    return notes + ([f"printed differently elsewhere: {', '.join(differing)}"] if differing else [])


def _network_mismatch(name: str, row: ReportRow) -> list[str]:
    """A line if the row's runs trained a network of another size than the sweep describes, as smoke tests do."""
    if not isinstance(row.cost, NetworkCost):
        return []
    described = row.cost.all_params
    trained = sorted({one.parameters for one in row.results if one.parameters} - {described})
    if not trained:
        return []
    return [
        f"{name}: its runs trained a network of {', '.join(f'{count / 1e6:.2f}' for count in trained)} M "
        f"parameters, but the sweep describes one of {described / 1e6:.2f} M: they were started with other options"
    ]
