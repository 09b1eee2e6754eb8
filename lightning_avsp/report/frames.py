"""A report as sections of captioned tables with notes, one DataFrame a table, which every format renders."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from lightning_avsp.evaluation.formatting import (
    DASH,
    Value,
    arrow,
    lower_is_better,
    number,
    signed,
    with_interval,
)
from lightning_avsp.evaluation.statistics import Interval
from lightning_avsp.report.courses import QUANTITIES
from lightning_avsp.report.leaderboard import SCORING, Entry, Leaderboard
from lightning_avsp.report.measured import Ordering, rank_values
from lightning_avsp.report.published import COSTS, printed
from lightning_avsp.report.table import SweepReport

WORSE = "†"
"""Mark of a number that is worse than the best of ours."""
OURS_LEGEND = (
    "ours: mean over seeds ± standard deviation over seeds / over splits, in brackets its 95 % bootstrap interval over "
    "videos; † worse than the best of ours by more than the 95 % interval of their paired difference over videos"
)
LEGEND = (
    f"{OURS_LEGEND}; Δ: ours minus the paper's; best of a column bold, second underlined; "
    "runs: finished of planned"
)
COST_LEGEND = (
    "one clip, one pass (of a denoiser: one step; all steps: encoding once and every step of the row's sampling), "
    "counted on the network that the row builds; parameters and MACs as the papers count (papers call MACs FLOPs); "
    "memory: weights and peak of activations in float32, attention matrices materialised; times: means over the row's "
    "runs on their devices"
)
COST_COLUMNS = {
    "params_M": (COSTS["params_M"], 2),
    "flops_G": (COSTS["flops_G"], 2),
    "prediction_flops_G": ("MACs of all steps, G", 1),
    "flops_with_attention_G": ("FLOPs with attention, G", 1),
    "memory_G": (COSTS["memory_G"], 2),
    "train_wall_s": ("training, s", 0),
    "test_wall_s": ("test, s", 0),
}
"""Headings and decimals of efficiency figures."""


@dataclass(frozen=True)
class Table:
    """One table, or several that share their notes."""

    frames: Mapping[str, pd.DataFrame]
    """By caption."""
    notes: Sequence[str] = ()
    """Sentences below it."""
    joint: pd.DataFrame | None = None
    """All frames in one, for LaTeX."""
    folded: bool = False
    """True if only the page has it, closed."""


@dataclass(frozen=True)
class Section:
    """One table of a paper with everything about it, or a leaderboard."""

    id: str
    title: str
    status: str
    tables: tuple[Table, ...]
    report: SweepReport | None = None
    """The report behind it, for curves and pictures."""


def report_section(report: SweepReport) -> Section:
    """Lay out a table of a paper."""
    ordering = report.ordering
    notes = [*report.notes, f"order of rows: {ordering.sentence()}"]
    if ordering.excluded:
        notes.append(f"suspect or derived, so not compared: {', '.join(ordering.excluded)}")
    wrong = ordering.pairs[ordering.pairs.verdict.isin(["reversed", "undecided"])]
    notes += [
        f"{pair.dataset}: {pair.better} should be above {pair.worse}; ours differ by {signed(pair.difference)} "
        f"({'reversed' if pair.verdict == 'reversed' else 'within the interval'})"
        for pair in wrong.itertuples()
    ]
    by_dataset, joint = scores(report)
    tables = [Table(by_dataset, notes, joint)]
    if len(ordering.pairs):
        caption = f"All {len(ordering.pairs)} pairs of rows"
        # closed at first: ten rows have 45 pairs
        tables.append(Table({caption: pairs(ordering)}, folded=True))
    if report.table.course is None:
        faults = [
            f"{name} cannot be built: {row.cost}"
            for name, row in report.rows.items()
            if isinstance(row.cost, str)
        ]
        devices = sorted({one.device for row in report.rows.values() for one in row.results} - {""})
        faults += [f"times were taken on {'; '.join(devices)}"] if devices else []
        tables.append(Table({"Cost": costs(report)}, [*faults, COST_LEGEND]))
    return Section(report.name, report.title, report.summary, tuple(tables), report)


def leaderboard_section(board: Leaderboard) -> Section:
    """Lay out a leaderboard."""
    title = f"{board.corpus}, by {board.metric}"
    tables = [Table({title: entries(board, board.entries)}, [*board.notes, SCORING])]
    if board.aside:
        generated = ", ".join(entry.name for entry in board.aside if entry.synthetic)
        notes = [f"SYNTHETIC, of a generated corpus: {generated}"] if generated else []
        tables.append(Table({"Not ranked": entries(board, board.aside)}, notes))
    return Section("leaderboard", f"Leaderboard: {title}", "", tuple(tables))


def scores(report: SweepReport) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Tabulate printed numbers, ours, and differences.

    Returns:
        One table for each dataset, and all in one: our number above the paper's.
    """
    rows = list(report.rows)
    runs = [
        number(len(row.results) / row.planned, f"{len(row.results)}/{row.planned}")
        if row.planned
        else Value(DASH)
        for row in report.rows.values()
    ]
    flat: dict[str, dict[str, list[Value]]] = {}
    stacked: dict[tuple[str, str], list[Value]] = {}
    cells = report.frame[report.frame.dataset != ""]
    for (dataset, metric), column in cells.groupby(["dataset", "metric"], sort=False):
        records = list(column.itertuples())
        paper = [number(c.paper, printed(c.paper, metric), c.rank_paper) for c in records]
        ours = [_ours(cell) for cell in records]
        of_dataset = flat.setdefault(dataset, {})
        of_dataset[f"{metric} paper"], of_dataset[f"{arrow(metric)} ours"] = paper, ours
        of_dataset[f"Δ {metric}"] = [number(c.difference, signed(c.difference)) for c in records]
        stacked[dataset, arrow(metric)] = [one for pair in zip(ours, paper, strict=True) for one in pair]
    # once for both lines of a row
    stacked["", "runs"] = [one for run in runs for one in (run, Value(""))]
    names = pd.Index(rows, name="row")
    frames = {dataset: pd.DataFrame({**of, "runs": runs}, index=names) for dataset, of in flat.items()}
    lines = pd.MultiIndex.from_product([rows, ["ours", "paper"]])
    return frames, pd.DataFrame(stacked, index=lines)


def _ours(cell: Any) -> Value:
    if math.isnan(cell.ours):
        return Value(DASH if cell.state == "external" else cell.state)
    details = list(with_interval(Interval(cell.ours, cell.low, cell.high)).details)
    spreads = [number(spread).text for spread in (cell.spread_seeds, cell.spread_splits)]
    if spreads != [DASH, DASH]:
        details.insert(0, f"± {' / '.join(spreads)}")
    if cell.state == "incomplete":
        details.append(f"({cell.runs} of {cell.planned} runs)")
    found = number(cell.ours, rank=cell.rank, details=tuple(details))
    # in the text, so that every format shows it
    return replace(found, text=f"{found.text}{WORSE}") if cell.worse else found


def costs(report: SweepReport) -> pd.DataFrame:
    """Tabulate printed efficiency figures beside ours, and times."""
    columns: dict[str, list[Value]] = {}
    for key, (heading, decimals) in COST_COLUMNS.items():
        # rows without the figure become NaN, shown as a dash
        cells = report.frame[report.frame.metric == key].set_index("row").reindex(report.rows)
        if key in COSTS:
            columns[f"{heading} (paper)"] = [number(value, f"{value:g}") for value in cells.paper]
        ours = [number(value, f"{value:.{decimals}f}") for value in cells.ours.astype(float)]
        columns[f"{heading} (ours)"] = ours
    for position, row in enumerate(report.rows.values()):
        if isinstance(row.cost, str):
            columns[f"{COSTS['params_M']} (ours)"][position] = Value("cannot be built")
        elif row.cost is not None and row.cost.calls != 1:
            steps = "steps chosen by clip" if row.cost.calls is None else f"{row.cost.calls} steps"
            column = columns["MACs of all steps, G (ours)"]
            column[position] = replace(column[position], details=(steps,))
    return pd.DataFrame(columns, index=pd.Index(list(report.rows), name="row"))


def pairs(ordering: Ordering) -> pd.DataFrame:
    """Tabulate every two rows that the paper ranks."""
    shown = ordering.pairs
    differences = [
        with_interval(Interval(pair.difference, pair.low, pair.high), sign=True)
        for pair in shown.itertuples()
    ]
    columns = {"its worse row": shown.worse, "dataset": shown.dataset, "in ours": shown.verdict}
    columns[f"difference in {ordering.metric} [95 % interval]"] = differences
    return pd.DataFrame(columns).set_index(pd.Index(shown.better, name="the paper's better row"))


def entries(board: Leaderboard, rows: Sequence[Entry]) -> pd.DataFrame:
    """Tabulate entries of a leaderboard."""
    columns: dict[str, list[Any]] = {"rank": [number(entry.rank, str(entry.rank)) for entry in rows]}
    for metric in board.metrics:
        found = [entry.values.get(metric, Interval(math.nan, math.nan, math.nan)) for entry in rows]
        ranks = rank_values([one.mean for one in found], lower_is_better(metric))
        columns[arrow(metric)] = [
            number(
                one.mean,
                # published numbers keep the decimals of their papers
                None if entry.ours else printed(one.mean, metric),
                rank if entry.ranked else 0,
                with_interval(one).details,
            )
            for entry, one, rank in zip(rows, found, ranks, strict=True)
        ]
    columns["printed in"] = [
        # paths of many runs would hide the table
        f"{len(entry.places)} results" if entry.ours and len(entry.places) > 2 else "\n".join(entry.places)
        for entry in rows
    ]
    columns["care"] = ["\n".join(entry.flags) for entry in rows]
    names = [f"{entry.name} (ours)" if entry.ours else entry.name for entry in rows]
    return pd.DataFrame(columns, index=pd.Index(names, name="model"))


def course_tables(courses: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Tabulate training courses, a table for each quantity: mean over seeds by row and split, and epoch."""
    found = {}
    for name, points in courses.groupby("quantity", sort=False):
        names = points.row + points.split.map(lambda split: "" if split < 0 else f", split {split}")
        means = points.assign(row=names).pivot_table("value", "row", "epoch", sort=False).sort_index(axis=1)
        title = f"Training course: {QUANTITIES.get(str(name), str(name))} by epoch"
        found[title] = means.map(lambda value: number(value, f"{value:.4g}"))
    return found
