"""Plain text and plain data of audits: aligned columns, intervals, JSON beside the checkpoint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning_avsp.evaluation.statistics import Interval
from lightning_avsp.run_folder import RunFolder


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines with columns of equal width, the first left-aligned."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def number(value: float, digits: int = 3) -> str:
    """A value, or ``-`` for none."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def change(interval: Interval, digits: int = 3) -> str:
    """``-0.123 [-0.150, -0.098]``; without the interval if there is none; ``exactly 0`` if nothing moved."""
    if math.isnan(interval.mean):
        return "-"
    if interval.mean == 0 and (math.isnan(interval.low) or interval.low == interval.high == 0):
        return "exactly 0"
    ends = "" if math.isnan(interval.low) else f" [{interval.low:+.{digits}f}, {interval.high:+.{digits}f}]"
    return f"{interval.mean:+.{digits}f}{ends}"


def plain(interval: Interval, videos: int) -> dict[str, Any]:
    """An interval for JSON."""
    return {"mean": interval.mean, "low": interval.low, "high": interval.high, "videos": videos}


def report_file(checkpoint: Path, name: str) -> Path:
    """Where an audit of a checkpoint is written: the run's ``results/``, or beside a file outside any run."""
    folder = checkpoint.resolve().parent
    run = RunFolder(folder.parent)
    if folder == run.checkpoints and run.record.is_file():
        return run.results / f"audit_{name}_{checkpoint.stem}.json"
    return checkpoint.with_name(f"{checkpoint.stem}.audit_{name}.json")
