"""Cells of tables: names of metrics, numbers, intervals, for the terminal and for reports alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lightning_avsp.metrics.functional.scores import LOWER_IS_BETTER

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
    synthetic: bool = False


def number(value: float | None, text: str | None = None, rank: int = 0) -> Value:
    """Format a number, by default with :data:`DIGITS` decimals; None and NaN as a dash."""
    if value is None or math.isnan(value):
        return Value(DASH)
    return Value(f"{value:.{DIGITS}f}" if text is None else text, value, rank)


def signed(value: float | None) -> str:
    """Format a number with its sign and without ``-0.000``; None and NaN as a dash."""
    return DASH if value is None or math.isnan(value) else f"{round(value, DIGITS) + 0.0:+.{DIGITS}f}"


def interval_text(low: float, high: float, sign: str = "") -> tuple[str, ...]:
    """Format an interval as ``[0.710, 0.760]``; empty where it is not known."""
    if math.isnan(low):
        return ()
    ends = (f"{round(end, DIGITS) + 0.0:{sign}.{DIGITS}f}" for end in (low, high))
    return (f"[{', '.join(ends)}]",)


def lower_is_better(metric: str) -> bool:
    """Return true if smaller values of a metric, as printed, are better."""
    return METRIC_NAMES.get(metric, metric) in LOWER_IS_BETTER or metric.endswith("loss")


def arrow(metric: str) -> str:
    """Add the direction that is better to a printed metric's name."""
    return f"{metric} {'↓' if lower_is_better(metric) else '↑'}"


def heading(name: str) -> str:
    """Return the printed name of one of our metrics with the direction that is better."""
    return arrow(next((printed for printed, ours in METRIC_NAMES.items() if ours == name), name))
