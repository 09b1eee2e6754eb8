"""Reports as flat records, one for every cell and every efficiency figure: the CSV form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lightning_avsp.report.cells import Cell
from lightning_avsp.report.efficiency import NetworkCost
from lightning_avsp.report.marks import column_ranks
from lightning_avsp.report.table import ReportRow, SweepReport
from lightning_avsp.run_folder import as_csv


def reports_as_csv(reports: Sequence[SweepReport]) -> str:
    """One line per cell; efficiency figures have no dataset."""
    return as_csv([record for report in reports for record in _records(report)])


def _records(report: SweepReport) -> list[dict[str, Any]]:
    found = []
    for place, row in enumerate(report.rows):
        for (dataset, metric), cell in row.cells.items():
            _, ranks = column_ranks(report, dataset, metric)
            found.append(_cell(report, row, cell, ranks[place]))
        found += _costs(report, row)
    return found


def _cell(report: SweepReport, row: ReportRow, cell: Cell, rank: int) -> dict[str, Any]:
    ours = cell.ours
    record = _empty(report, row) | {
        "dataset": cell.dataset,
        "metric": cell.metric,
        "paper": cell.paper,
        "state": cell.state,
        "runs": 0 if ours is None else ours.runs,
        "planned": cell.planned,
    }
    if ours is None:
        return record
    return record | {
        "ours": ours.interval.mean,
        "low": _number(ours.interval.low),
        "high": _number(ours.interval.high),
        "averaging": ours.averaging,
        "ours_other_averaging": _number(ours.other),
        "spread_seeds": ours.seed_spread,
        "spread_splits": ours.split_spread,
        "difference": cell.difference,
        "rank": rank or None,
        "seeds": " ".join(map(str, ours.seeds)),
        "splits": " ".join(map(str, ours.splits)),
        "videos": ours.videos,
        "synthetic": "SYNTHETIC" if ours.synthetic else "",
    }


def _costs(report: SweepReport, row: ReportRow) -> list[dict[str, Any]]:
    cost = row.cost
    known = isinstance(cost, NetworkCost)
    ours: dict[str, float | None] = {
        "params_M": cost.params / 1e6 if isinstance(cost, NetworkCost) else None,
        "flops_G": cost.macs / 1e9 if isinstance(cost, NetworkCost) else None,
        "flops_with_attention_G": cost.flops / 1e9 if isinstance(cost, NetworkCost) else None,
        "memory_G": cost.memory / 1e9 if isinstance(cost, NetworkCost) else None,
        "train_wall_s": row.train_wall_s,
        "test_wall_s": row.test_wall_s,
    }
    state = "external" if row.expected.external else "complete" if known else f"cannot be built: {cost}"
    found = []
    for name, value in ours.items():
        paper = row.expected.efficiency.get(name)
        timed = name.endswith("_wall_s")
        found.append(
            _empty(report, row)
            | {
                "metric": name,
                "paper": paper,
                "ours": value,
                "difference": None if value is None or paper is None else value - paper,
                "state": ("missing" if value is None else "complete") if timed else state,
                "runs": len(row.outcomes),
                "planned": row.planned,
            }
        )
    return [] if row.expected.external and not row.expected.efficiency else found


def _empty(report: SweepReport, row: ReportRow) -> dict[str, Any]:
    """Every column, in the order of the file."""
    record: dict[str, Any] = dict.fromkeys(
        (
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
            "ours_other_averaging",
            "spread_seeds",
            "spread_splits",
            "difference",
            "rank",
            "state",
            "runs",
            "planned",
            "seeds",
            "splits",
            "videos",
            "synthetic",
            "flags",
        )
    )
    return record | {
        "sweep": report.name,
        "paper_name": report.expected.paper,
        "table": report.expected.table,
        "row": row.name,
        "flags": "; ".join(row.expected.flags),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
