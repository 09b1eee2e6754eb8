"""A report as sections of text and tables, one DataFrame a table, which every format renders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from lightning_avsp.evaluation.formatting import (
    DASH,
    Value,
    arrow,
    interval_text,
    lower_is_better,
    number,
    signed,
)
from lightning_avsp.evaluation.statistics import Interval
from lightning_avsp.report.formatting import rank_values
from lightning_avsp.report.leaderboard import SCORING, Entry, Leaderboard
from lightning_avsp.report.ordering import Ordering
from lightning_avsp.report.published import COSTS, printed
from lightning_avsp.report.table import SweepReport

LEGEND = (
    "ours: mean over seeds ± standard deviation over seeds / over splits, in brackets its 95 % bootstrap interval over "
    "videos; Δ: ours minus the paper's; best of a column bold, second underlined; runs: finished of planned"
)
COST_LEGEND = (
    "one clip, one pass (of a denoiser: one step), counted on the network that the row builds; parameters and MACs as "
    "the papers count (papers call MACs FLOPs); memory: weights and peak of activations in float32, attention matrices "
    "materialised; times: means over the row's runs on their devices"
)

COST_COLUMNS = {
    "params_M": (COSTS["params_M"], 2),
    "flops_G": (COSTS["flops_G"], 2),
    "flops_with_attention_G": ("FLOPs with attention, G", 1),
    "memory_G": (COSTS["memory_G"], 2),
    "train_wall_s": ("training, s", 0),
    "test_wall_s": ("test, s", 0),
}
"""Headings and decimals of efficiency figures."""


@dataclass(frozen=True)
class Scores:
    """Our numbers beside the paper's: rows by (dataset, metric, paper | ours | Δ), and finished runs of each row."""

    frame: pd.DataFrame
    runs: pd.Series

    def by_dataset(self) -> dict[str, pd.DataFrame]:
        """Split into one table for each dataset, with flat columns."""
        tables = {}
        for dataset in self.frame.columns.unique(0):
            part = self.frame[dataset]
            names = {"paper": "{0} paper", "ours": "{1} ours", "Δ": "Δ {0}"}
            flat = [names[kind].format(metric, arrow(metric)) for metric, kind in part.columns]
            tables[dataset] = part.set_axis(flat, axis=1).assign(runs=self.runs)
        return tables

    def stacked(self) -> pd.DataFrame:
        """Join all datasets in one table: our number above the paper's."""
        lines = {}
        for name, runs in self.runs.items():
            for kind in ("ours", "paper"):
                line = self.frame.loc[name].xs(kind, level=2)
                lines[name, kind] = [*line, runs if kind == "ours" else Value("")]
        columns = [(dataset, arrow(metric)) for dataset, metric in line.index] + [("", "runs")]
        frame = pd.DataFrame.from_dict(lines, orient="index", columns=pd.MultiIndex.from_tuples(columns))
        return frame.set_axis(pd.MultiIndex.from_tuples(lines), axis=0)


@dataclass(frozen=True)
class Table:
    """A captioned table."""

    caption: str
    frame: pd.DataFrame
    folded: bool = False
    """True if only the page has it, closed."""


Part = str | list[str] | Scores | Table
"""A paragraph, a bulleted list, or a table."""


@dataclass(frozen=True)
class Section:
    """One table of a paper with everything about it, or a leaderboard."""

    id: str
    title: str
    status: str
    parts: tuple[Part, ...]
    synthetic: bool
    report: SweepReport | None = None
    """The report behind it, for curves and pictures."""


def report_section(report: SweepReport) -> Section:
    """Lay out a table of a paper."""
    ordering = report.ordering
    parts: list[Part] = [list(report.notes), scores(report), f"Order of rows: {ordering.sentence()}"]
    if ordering.excluded:
        parts.append(f"Suspect or derived, so not compared: {', '.join(ordering.excluded)}.")
    wrong = ordering.pairs[ordering.pairs.verdict.isin(["reversed", "undecided"])]
    parts.append(
        [
            f"{pair.dataset}: {pair.better} should be above {pair.worse}; ours differ by {signed(pair.difference)} "
            f"({'reversed' if pair.verdict == 'reversed' else 'within the interval'})"
            for pair in wrong.itertuples()
        ]
    )
    if len(ordering.pairs):
        parts.append(Table(f"All {len(ordering.pairs)} pairs of rows", pairs(ordering), folded=True))
    faults = [
        f"{name} cannot be built: {row.cost}"
        for name, row in report.rows.items()
        if isinstance(row.cost, str)
    ]
    devices = sorted({one.device for row in report.rows.values() for one in row.results} - {""})
    faults += [f"times were taken on {'; '.join(devices)}"] if devices else []
    if not report.table.no_sweep:
        parts += [Table("Cost", costs(report)), faults, f"{COST_LEGEND}."]
    kept = tuple(part for part in parts if not isinstance(part, list) or part)
    return Section(report.name, report.title, report.summary, kept, report.synthetic, report)


def leaderboard_section(board: Leaderboard) -> Section:
    """Lay out a leaderboard."""
    title = f"{board.corpus}, by {board.metric}"
    parts: list[Part] = [SCORING, Table(title, entries(board, board.entries))]
    if board.aside:
        parts.append(Table("Not ranked", entries(board, board.aside)))
    synthetic = any(entry.synthetic for entry in board.aside)
    return Section("leaderboard", f"Leaderboard: {title}", "", tuple(parts), synthetic)


def scores(report: SweepReport) -> Scores:
    """Tabulate printed numbers, ours, and differences."""
    columns: dict[tuple[str, str, str], list[Value]] = {}
    cells = report.frame[report.frame.dataset != ""]
    for (dataset, metric), column in cells.groupby(["dataset", "metric"], sort=False):
        records = list(column.itertuples())
        columns[dataset, metric, "paper"] = [
            number(c.paper, printed(c.paper, metric), c.rank_paper) for c in records
        ]
        columns[dataset, metric, "ours"] = [_ours(cell) for cell in records]
        columns[dataset, metric, "Δ"] = [number(c.difference, signed(c.difference)) for c in records]
    names = pd.Index(list(report.rows), name="row")
    runs = [
        number(len(row.results) / row.planned, f"{len(row.results)}/{row.planned}")
        if row.planned
        else Value(DASH)
        for row in report.rows.values()
    ]
    return Scores(pd.DataFrame(columns, index=names), pd.Series(runs, index=names))


def _ours(cell: Any) -> Value:
    if math.isnan(cell.ours):
        return Value(DASH if cell.state == "external" else cell.state)
    details = list(interval_text(cell.low, cell.high))
    spreads = [number(spread).text for spread in (cell.spread_seeds, cell.spread_splits)]
    if spreads != [DASH, DASH]:
        details.insert(0, f"± {' / '.join(spreads)}")
    if cell.state == "incomplete":
        details.append(f"({cell.runs} of {cell.planned} runs)")
    plain = number(cell.ours, rank=cell.rank)
    return replace(plain, details=tuple(details), synthetic=bool(cell.synthetic))


def costs(report: SweepReport) -> pd.DataFrame:
    """Tabulate printed efficiency figures beside ours, and times."""
    columns: dict[str, list[Value]] = {}
    for key, (heading, decimals) in COST_COLUMNS.items():
        cells = report.frame[report.frame.metric == key].set_index("row").reindex(report.rows)
        if key in COSTS:
            columns[f"{heading} (paper)"] = [number(value, f"{value:g}") for value in cells.paper]
        ours = [number(value, f"{value:.{decimals}f}") for value in cells.ours.astype(float)]
        columns[f"{heading} (ours)"] = ours
    for position, row in enumerate(report.rows.values()):
        if isinstance(row.cost, str):
            columns[f"{COSTS['params_M']} (ours)"][position] = Value("cannot be built")
    return pd.DataFrame(columns, index=pd.Index(list(report.rows), name="row"))


def pairs(ordering: Ordering) -> pd.DataFrame:
    """Tabulate every two rows that the paper ranks."""
    shown = ordering.pairs
    differences = [
        replace(
            number(pair.difference, signed(pair.difference)), details=interval_text(pair.low, pair.high, "+")
        )
        for pair in shown.itertuples()
    ]
    columns = {"its worse row": shown.worse, "dataset": shown.dataset, "in ours": shown.verdict}
    columns[f"difference in {ordering.metric} [95 % interval]"] = differences
    return pd.DataFrame(columns).set_index(pd.Index(shown.better, name="the paper's better row"))


def entries(board: Leaderboard, rows: Sequence[Entry]) -> pd.DataFrame:
    """Tabulate entries of a leaderboard."""
    unknown = Interval(math.nan, math.nan, math.nan)
    ranks = {
        metric: rank_values(
            [entry.values.get(metric, unknown).mean for entry in rows], lower_is_better(metric)
        )
        for metric in board.metrics
    }
    records = []
    for position, entry in enumerate(rows):
        record: dict[str, Value | str] = {"rank": number(entry.rank, str(entry.rank))}
        for metric in board.metrics:
            one = entry.values.get(metric, unknown)
            best = ranks[metric][position] if entry.ranked else 0
            plain = number(one.mean, None if entry.ours else printed(one.mean, metric), best)
            details = interval_text(one.low, one.high)
            record[arrow(metric)] = replace(
                plain, details=details, synthetic=entry.synthetic and metric in entry.values
            )
        several = entry.ours and len(entry.places) > 2
        record["printed in"] = f"{len(entry.places)} results" if several else "\n".join(entry.places)
        record["care"] = "\n".join(entry.flags)
        records.append(record)
    names = [f"{entry.name} (ours)" if entry.ours else entry.name for entry in rows]
    return pd.DataFrame(records, index=pd.Index(names, name="model"))
