"""A sweep's report: the paper's rows with our numbers, their order, their networks' cost, and caveats."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
import torch

from lightning_avsp.diffusion import Sampling
from lightning_avsp.errors import AVSPError, InputError
from lightning_avsp.evaluation.formatting import METRIC_NAMES, lower_is_better
from lightning_avsp.profiling.model import NetworkCost, count_cost
from lightning_avsp.profiling.random_clips import forward_inputs
from lightning_avsp.report.courses import QUANTITIES, measure_course, read_courses
from lightning_avsp.report.measured import (
    Measured,
    Ordering,
    compare_order,
    dataset_corpus,
    measure,
    rank_values,
    worse_than_best,
)
from lightning_avsp.report.notes import in_protocol, table_notes
from lightning_avsp.report.published import PublishedTable, published_tables
from lightning_avsp.report.results import ReportRow, RunResult, read_official_results, read_trial_results
from lightning_avsp.sweep import Sweep, load_sweep
from lightning_avsp.sweep.costs import DeviceSpeed, count_hours, plan_costs
from lightning_avsp.sweep.identity import tested_data
from lightning_avsp.sweep.planning import TrialPlan, plan_sweep
from lightning_avsp.sweep.sweep_file import canonical_json
from lightning_avsp.tasks.experiment import Experiment

_FAULTS = (AVSPError, AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError)
"""Errors of building or counting a network whose row sets something that does not exist."""
FIGURES = {
    "params_M": ("params", 1e6),
    "flops_G": ("macs", 1e9),  # papers write FLOPs and count multiply-accumulates
    "prediction_flops_G": ("prediction_macs", 1e9),  # of a map with every denoising step, not of one step
    "flops_with_attention_G": ("flops", 1e9),
    "memory_G": ("memory", 1e9),
}
"""Efficiency figures: property of :class:`NetworkCost` and unit by key."""


def figures(cost: NetworkCost) -> dict[str, float]:
    """Return the figures of :data:`FIGURES`, without that of a prediction whose steps the network chooses."""
    values = {key: (getattr(cost, name), unit) for key, (name, unit) in FIGURES.items()}
    return {key: value / unit for key, (value, unit) in values.items() if value is not None}


class CostCounter:
    """Counts the networks of rows, each different network once, at the sizes of the row's data; no file is read."""

    def __init__(self) -> None:
        self.known: dict[str, NetworkCost] = {}

    def count(self, config: Mapping[str, Any]) -> NetworkCost | str:
        """Count the network of a composed configuration; returns the reason where it cannot be built."""
        try:
            # neither decides the size, and the checkpoint of a stage may not be there
            own = {key: value for key, value in config.items() if key not in ("seed_everything", "init_from")}
            experiment = Experiment([f"--config={json.dumps(own)}"])
            data, network = experiment.config.data, experiment.config.model.init_args.network
            # sizes of the data decide the cost of the same network
            inputs = [str(data.get(name)) for name in ("size", "map_size", "clip", "audio")]
            key = canonical_json([str(network), data.captions is not None, *inputs])
            if key not in self.known:
                # tensors without memory: sizes are all that is counted
                task, module = experiment.build("meta")
                arguments = forward_inputs(task.network, module, experiment.text_width, torch.device("meta"))
                self.known[key] = count_cost(task.network, arguments)
            return replace(self.known[key], calls=_denoiser_calls(experiment.config.model.init_args))
        except _FAULTS as error:
            text = " ".join(str(error).split())
            # jsonargparse lists every type that a value is not
            return f"{text[:200]}..." if len(text) > 200 else text or type(error).__name__


def _denoiser_calls(settings: Any) -> int | None:
    """Return the calls of the denoiser for a map, 1 for a direct network; None if the network chooses them."""
    if settings.network.init_args.get("adaptive_steps"):
        return None
    sampling = settings.get("sampling", Sampling(steps=1)) or Sampling()
    return int(sampling.steps * sampling.samples)


COLUMNS = [
    *("sweep", "paper_name", "table", "row", "dataset", "metric", "paper", "ours", "low", "high"),
    *("averaging", "ours_other_averaging", "spread_seeds", "spread_splits", "difference"),
    *("rank_paper", "rank", "state", "runs", "planned", "seeds", "splits", "videos", "synthetic"),
    *("flags", "disagrees", "worse"),
]
"""Of the frame of a report, and of its CSV file."""


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
    notes: tuple[str, ...] = ()
    """Caveats of the numbers."""

    @property
    def done(self) -> int:
        """Trials with a result."""
        return sum(len(row.results) for row in self.rows.values())

    @property
    def planned(self) -> int:
        """Trials of the sweep; 0 without one."""
        return sum(row.planned for row in self.rows.values())

    @property
    def complete(self) -> bool:
        """True once every trial has a result and every planned cell a number."""
        states = self.frame.state[self.frame.dataset != ""]
        return self.done == self.planned and not states.isin(["missing", "incomplete"]).any()

    def courses(self) -> pd.DataFrame:
        """Read the training courses behind it, see :func:`read_courses`; of a table along a training, what it prints.

        Raises:
            InputError: If a metrics file cannot be read.
        """
        courses = read_courses(self.rows)
        if (course := self.table.course) is None:
            return courses
        printed = {course.quantity.format(metric=METRIC_NAMES.get(one, one)) for one in self.table.metrics}
        found = courses[courses.quantity.isin(printed)]
        # every row of such a table is another epoch of one course
        found = found.assign(row=course.row, value=found.value * course.scale).drop_duplicates()
        if course.scale != 1:
            found["quantity"] = found.quantity.map(
                lambda one: f"{QUANTITIES.get(one, one)} x {course.scale:,g}"
            )
        return found

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
    """Find the table that a sweep reproduces: the one named by its ``description``, else by its file.

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
    speeds: Mapping[str, DeviceSpeed] | None = None,
    protocol: str = "",
) -> SweepReport:
    """Report on a sweep file.

    Args:
        path: Sweep file.
        runs: Folder of all runs.
        counter: Counts the cost of networks; None omits it.
        table: The table that it reproduces; by default that of :func:`find_table`.
        args: ``--args`` of the results; needed where there are results of different ones.
        speeds: Measured speeds of one GPU by experiment or paper, for the GPU hours of the sweep.
        protocol: Protocol of our numbers; by default that in which papers score each corpus.

    Raises:
        InputError: If a file cannot be read, or the sweep has fewer rows than the table.
    """
    sweep = load_sweep(path)
    table = table or find_table(sweep)
    rows = sweep.row_count()
    own = [name for name, index in table.rows.sweep_index.items() if index >= 0]
    if table.course is None and len(own) != rows:
        raise InputError(
            f"{path} lists {rows} rows, but {table.source} has {len(own)} of its own: {', '.join(own)}"
        )
    # a report is made where the results are, seldom beside the corpora
    plan = plan_sweep(sweep, args or (), with_data=False)
    results, strays = read_trial_results(sweep, [one.trial for one in plan.trials], runs, args)
    official = read_official_results(table.official, runs) if table.official else {}
    name = sweep.name if table.course is None else table.id
    report = _report(name, table, plan.trials, results, counter, strays, protocol, official)
    if speeds is None:
        return report
    return replace(report, notes=(count_hours(plan_costs(plan), speeds), *report.notes))


def report_published(table: PublishedTable) -> SweepReport:
    """Report on a table without a sweep: the paper's numbers alone."""
    return _report(table.id, table, (), {}, None, [])


def _report(
    name: str,
    table: PublishedTable,
    plans: Sequence[TrialPlan],
    results: Mapping[str, RunResult],
    counter: CostCounter | None,
    strays: list[str],
    protocol: str = "",
    official: Mapping[str, tuple[RunResult, ...]] = {},  # never changed
) -> SweepReport:
    rows: dict[str, ReportRow] = {}
    measured: dict[tuple[str, str, str], Measured] = {}
    records: list[dict[str, Any]] = []
    course = table.course

    def add(row: str, cells: pd.DataFrame, own: Sequence[TrialPlan]) -> None:
        found = tuple(in_protocol(one, protocol) for one in rows[row].results)
        for cell in cells.assign(row=row)[cells.corpus != ""].itertuples():
            if course is None:
                ours = measure(found, cell.corpus, cell.metric)
            else:
                ours = measure_course(found, cell.corpus, cell.metric, cell.epoch, course)
            if ours is not None:
                measured[row, cell.corpus, cell.metric] = ours
            planned = sum(_tests(plan, cell.corpus) for plan in own)
            records.append(_cell_record(cell, ours, planned))

    for row, index in table.rows.sweep_index.items():
        if course is not None:
            index = published_tables()[course.sweep].rows.sweep_index[course.row]
        own = [plan for plan in plans if plan.trial.row == index]
        done = tuple(results[plan.trial.id] for plan in own if plan.trial.id in results)
        # seeds and splits of a row share its network
        cost = counter.count(own[0].config) if counter is not None and own and course is None else None
        rows[row] = ReportRow(done, len(own), cost)
        cells = table.cells[table.cells.row == row]
        add(row, cells, own)
        records += _cost_records(cells[cells.corpus == ""], rows[row], row)
    for row, done in official.items():  # beside the printed numbers of the row that it should give
        rows[row] = ReportRow(done, len(done), None)
        add(row, table.cells[~table.cells.external], ())
    # all columns even without a result, so that CSV files are of one form
    frame = pd.DataFrame(records, columns=COLUMNS)
    frame = frame.assign(sweep=name, paper_name=table.paper, table=table.table, worse=False)
    for (dataset, metric), group in frame[frame.dataset != ""].groupby(["dataset", "metric"]):
        lower = lower_is_better(metric)
        for column, rank in (("paper", "rank_paper"), ("ours", "rank")):
            frame.loc[group.index, rank] = rank_values(group[column], lower)
        shown = {
            row: measured[row, dataset, metric] for row in group.row if (row, dataset, metric) in measured
        }
        frame.loc[group.index, "worse"] = group.row.isin(worse_than_best(shown, lower))
    ordering = compare_order(table, measured)
    notes = table_notes(table, frame, rows, list(measured.values()), strays, protocol)
    return SweepReport(name, table, frame, rows, ordering, notes)


def _cell_record(cell: Any, ours: Measured | None, planned: int) -> dict[str, Any]:
    """Join a published cell and our number; a SYNTHETIC one has no difference."""
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
        "seeds": " ".join(map(str, ours.distinct("seed"))),
        "splits": " ".join(map(str, ours.distinct("split"))),
        "videos": ours.videos,
        "synthetic": "SYNTHETIC" if ours.synthetic else "",
    }


def _cost_records(cells: pd.DataFrame, row: ReportRow, name: str) -> list[dict[str, Any]]:
    """List a row's efficiency figures in the papers' units, and its mean seconds."""
    trainings = {one.training: one.train_wall_s for one in row.results}
    times = {"train_wall_s": trainings.values(), "test_wall_s": [one.wall_s for one in row.results]}
    known = {key: [one for one in values if one is not None] for key, values in times.items()}
    ours = {key: fmean(values) for key, values in known.items() if values}
    if isinstance(row.cost, NetworkCost):
        ours |= figures(row.cost)
    printed = {cell.metric: cell for cell in cells.itertuples()}
    records = []
    for key in (*FIGURES, *times):
        cell, value = printed.get(key), ours.get(key)
        if cell is None and not row.planned:  # nothing printed, and nothing to run
            continue
        state = "missing" if value is None else "complete"
        if not row.planned:
            state = "external" if cell is not None and cell.external else "not planned"
        elif isinstance(row.cost, str) and key in FIGURES:
            state = f"cannot be built: {row.cost}"
        record = {"row": name, "dataset": "", "metric": key, "ours": value, "state": state}
        record |= {"planned": row.planned, "runs": len(row.results)}
        if cell is not None:
            record |= {"paper": cell.value, "flags": cell.flags, "disagrees": cell.disagrees}
            record["difference"] = None if value is None else value - cell.value
        records.append(record)
    return records


def _tests(plan: TrialPlan, dataset: str) -> bool:
    """Return true if a trial gives numbers of a dataset."""
    corpus, split = dataset_corpus(dataset)
    # the data module's default
    corpora = tested_data(plan.config).get("corpora") or ["AVAD"]
    return split in (None, plan.split) and corpus in (dataset_corpus(str(name))[0] for name in corpora)
