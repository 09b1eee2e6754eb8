"""Cells of tables (names of metrics, numbers, intervals), and tables on the terminal and in Markdown."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from lightning_avsp.evaluation.statistics import Interval
from lightning_avsp.metrics.functional.scores import LOWER_IS_BETTER

if TYPE_CHECKING:
    from rich.console import Console

METRIC_NAMES = {
    "CC": "cc",
    "SIM": "sim",
    "NSS": "nss",
    "AUC-J": "auc_judd",
    "sAUC": "auc_shuffled",
    "sAUC exact": "auc_shuffled_exact",
    "KLD": "kld",
    "IG": "information_gain",
}
"""Our names of the metrics, by the names that papers print."""
DIGITS = 3
"""Decimals of our numbers."""
DASH = "–"
"""Cell without a number."""


@dataclass(frozen=True)
class Value:
    """One formatted cell."""

    text: str
    value: float | None = None
    """Sort key; None sorts last."""
    rank: int = 0
    """1 for the best and 2 for the second best of its column, else 0."""
    details: tuple[str, ...] = ()
    """Spread, interval and the like, set small behind or below the text."""

    def __str__(self) -> str:
        return " ".join((self.text, *self.details))


def number(
    value: float | None, text: str | None = None, rank: int = 0, details: tuple[str, ...] = ()
) -> Value:
    """Format a number, by default with :data:`DIGITS` decimals; None and NaN as a dash."""
    # never a 0: a metric that was not computed is none
    if value is None or math.isnan(value):
        return Value(DASH)
    return Value(f"{value:.{DIGITS}f}" if text is None else text, value, rank, details)


def signed(value: float | None) -> str:
    """Format a number with its sign and without ``-0.000``; None and NaN as a dash."""
    # adding 0.0 turns -0.0 into 0.0
    return DASH if value is None or math.isnan(value) else f"{round(value, DIGITS) + 0.0:+.{DIGITS}f}"


def with_interval(interval: Interval, *, sign: bool = False) -> Value:
    """Format a mean with its interval as details, ``[0.710, 0.760]``, where that is known."""
    text = signed(interval.mean) if sign else None
    if math.isnan(interval.low):
        return number(interval.mean, text)
    # adding 0.0 turns -0.0 into 0.0
    ends = (
        f"{round(end, DIGITS) + 0.0:{'+' if sign else ''}.{DIGITS}f}" for end in (interval.low, interval.high)
    )
    return number(interval.mean, text, details=(f"[{', '.join(ends)}]",))


def lower_is_better(metric: str) -> bool:
    """Return true if smaller values of a metric, as printed, are better."""
    return METRIC_NAMES.get(metric, metric) in LOWER_IS_BETTER or metric.endswith("loss")


def arrow(metric: str) -> str:
    """Add the direction that is better to a printed metric's name."""
    return f"{metric} {'↓' if lower_is_better(metric) else '↑'}"


def heading(name: str) -> str:
    """Return the printed name of one of our metrics with the direction that is better."""
    return arrow(next((printed for printed, ours in METRIC_NAMES.items() if ours == name), name))


def shorten(names: Collection[str], most: int = 5) -> str:
    """Join the first names with commas."""
    return ", ".join(list(names)[:most]) + (", ..." if len(names) > most else "")


def print_table(title: str, frame: pd.DataFrame, console: Console, notes: Iterable[str] = ()) -> None:
    """Print a table: details below the texts of cells, notes below all; indented rows belong to the row above them."""
    from rich.table import Table
    from rich.text import Text

    # rows of one corpus stay together
    grouped = any(name.startswith(" ") for name in frame.index) or not frame.index.is_unique
    table = Table(title=title, title_justify="left")
    table.add_column(str(frame.columns.name or ""), no_wrap=grouped)
    lines = {
        str(name): [
            (cell.text, *cell.details) if isinstance(cell, Value) else (str(cell),) for cell in column
        ]
        for name, column in frame.items()
    }
    for name, cells in lines.items():
        # in a narrow terminal headings are cut before numbers
        width = max(len(word) for cell in cells for line in cell for word in line.split(" "))
        words = not any(sign.isdigit() for cell in cells for sign in "".join(cell))
        table.add_column(name, justify="left" if words else "right", min_width=width)
    for position, name in enumerate(frame.index):
        if grouped and name not in frame.index[:position] and not name.startswith(" "):
            table.add_section()
        row = [cells[position] for cells in lines.values()]
        texts = [[Text(first), *(Text(one, "dim") for one in rest)] for first, *rest in row]
        table.add_row(name, *map(Text("\n").join, texts))
    console.print(table)
    for line in notes:
        console.print(line, highlight=False, markup=False)


def as_markdown(frame: pd.DataFrame) -> str:
    """Write a table in Markdown; the best values are bold, the second best underlined."""

    def cell(value: Value | str) -> str:
        if isinstance(value, str):
            return escape_markdown(value)
        # Markdown has no mark for a second best
        text = {1: f"**{value.text}**", 2: f"<u>{value.text}</u>"}.get(value.rank, value.text)
        return " ".join((text, *value.details))

    rows = [
        [escape_markdown(str(name)), *map(cell, row)]
        for name, row in zip(frame.index, frame.values, strict=True)
    ]
    corner = str(frame.columns.name or frame.index.name or "")
    lines = [[corner, *map(str, frame.columns)], ["---", *["---:"] * frame.shape[1]], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def escape_markdown(text: str) -> str:
    """Escape characters that Markdown or HTML would interpret."""
    for sign in "\\`*_[]<>|":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", "; ")
