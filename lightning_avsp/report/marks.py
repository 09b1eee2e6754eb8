"""Numbers as cells of text, and which of a column are best and second."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lightning_avsp.metrics.functional.scores import LOWER_IS_BETTER
from lightning_avsp.report.cells import Cell, Measured
from lightning_avsp.report.efficiency import NetworkCost
from lightning_avsp.report.published import METRIC_NAMES, printed
from lightning_avsp.report.table import ReportRow, SweepReport

DIGITS = 3
"""Decimals of our numbers."""
LEGEND = (
    "ours: mean over seeds ± standard deviation over seeds / over splits, in brackets its 95 % bootstrap interval over "
    "videos; Δ: ours minus the paper's; best of a column bold, second underlined; runs: finished of planned"
)


def arrow(metric: str) -> str:
    """The metric's name with the direction that is better."""
    return f"{metric} {'↓' if lower_is_better(metric) else '↑'}"


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value is better."""
    return METRIC_NAMES.get(metric, metric) in LOWER_IS_BETTER or metric.endswith("loss")


def ranks(values: Sequence[float | None], lower: bool = False) -> list[int]:
    """1 for the best, 2 for the second best value as it is shown, else 0; equal values share their rank."""
    shown = [None if value is None or math.isnan(value) else round(value, DIGITS) for value in values]
    order = sorted({value for value in shown if value is not None}, reverse=not lower)
    if len([value for value in shown if value is not None]) < 2:
        return [0] * len(shown)  # the best of one is no news
    return [
        0 if value is None else (order.index(value) + 1) % 3 * (order.index(value) < 2) for value in shown
    ]


def column_ranks(report: SweepReport, dataset: str, metric: str) -> tuple[list[int], list[int]]:
    """Ranks of a column by row: of the paper's numbers, and of ours."""
    cells = [row.cells[dataset, metric] for row in report.rows]
    lower = lower_is_better(metric)
    theirs = ranks([cell.paper for cell in cells], lower)
    ours = ranks([None if cell.ours is None else cell.ours.interval.mean for cell in cells], lower)
    return theirs, ours


def paper_number(cell: Cell) -> str:
    """The printed number, or a dash."""
    return "–" if cell.paper is None else printed(cell.paper, cell.metric)


def our_number(ours: Measured) -> str:
    """The mean alone."""
    return f"{ours.interval.mean:.{DIGITS}f}"


def our_details(ours: Measured) -> list[str]:
    """Spread and interval as far as they are known: ``± 0.004 / 0.021``, ``[0.710, 0.760]``."""
    parts = []
    if ours.seed_spread is not None or ours.split_spread is not None:
        parts.append(f"± {_spread(ours.seed_spread)} / {_spread(ours.split_spread)}")
    if not math.isnan(ours.interval.low):
        parts.append(f"[{ours.interval.low:.{DIGITS}f}, {ours.interval.high:.{DIGITS}f}]")
    return parts


def difference(cell: Cell) -> str:
    """Ours minus the paper's with its sign, or a dash."""
    return "–" if cell.difference is None else f"{round(cell.difference, DIGITS) + 0.0:+.{DIGITS}f}"


def state(cell: Cell) -> str:
    """What stands where our number would be."""
    return {"external": "–", "not planned": "not planned", "missing": "missing"}.get(cell.state, "")


def progress(row: ReportRow) -> str:
    """Finished of planned trials of a row."""
    return "–" if row.expected.external or row.planned == 0 else f"{len(row.outcomes)}/{row.planned}"


COST_HEADINGS = (
    "parameters, M (paper)",
    "parameters, M (ours)",
    "MACs, G (paper)",
    "MACs, G (ours)",
    "FLOPs with attention, G (ours)",
    "memory, GB (paper)",
    "memory, GB (ours)",
    "training, s (ours)",
    "test, s (ours)",
)
COST_LEGEND = (
    "one clip, one pass (of a denoiser: one step), counted on the network that the row builds; parameters and MACs as "
    "the papers count (papers call MACs FLOPs); memory: weights and peak of activations in float32, attention matrices "
    "materialised; times: means over the row's runs on their devices"
)


def cost_cells(row: ReportRow) -> list[str]:
    """Values under :data:`COST_HEADINGS`; the reason, once, where the network cannot be built."""
    theirs = {name: _plain(row.expected.efficiency.get(name)) for name in ("params_M", "flops_G", "memory_G")}
    cost = row.cost
    if isinstance(cost, NetworkCost):
        ours = [
            f"{cost.params / 1e6:.2f}",
            f"{cost.macs / 1e9:.2f}",
            f"{cost.flops / 1e9:.1f}",
            f"{cost.memory / 1e9:.2f}",
        ]
    else:
        ours = ["cannot be built" if isinstance(cost, str) else "–", "–", "–", "–"]
    return [
        theirs["params_M"],
        ours[0],
        theirs["flops_G"],
        ours[1],
        ours[2],
        theirs["memory_G"],
        ours[3],
        "–" if row.train_wall_s is None else f"{row.train_wall_s:.0f}",
        "–" if row.test_wall_s is None else f"{row.test_wall_s:.0f}",
    ]


def cost_faults(report: SweepReport) -> list[str]:
    """Why networks of rows cannot be built, and on what devices times were taken."""
    lines = [f"{row.name} cannot be built: {row.cost}" for row in report.rows if isinstance(row.cost, str)]
    devices = sorted({row.device for row in report.rows if row.device})
    return [*lines, *([f"times were taken on {'; '.join(devices)}"] if devices else [])]


def summary(report: SweepReport) -> str:
    """How much of the sweep is there."""
    if not report.planned:
        return "printed numbers alone"
    whole = "complete" if report.complete else "INCOMPLETE"
    return f"{whole}: {report.done} of {report.planned} trials"


def _spread(value: float | None) -> str:
    return "–" if value is None else f"{value:.{DIGITS}f}"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"
