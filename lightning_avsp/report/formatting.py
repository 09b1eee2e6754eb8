"""Tables as pandas DataFrames of formatted values, and the three markups that they are written in."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

import pandas as pd

from lightning_avsp.metrics.functional.scores import LOWER_IS_BETTER
from lightning_avsp.report.published import METRIC_NAMES

DIGITS = 3
"""Decimals of our numbers."""
DASH = "–"
"""Stands where there is no number."""


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
    """A cell with a number, by default with :data:`DIGITS` decimals; a dash for None and NaN."""
    if value is None or math.isnan(value):
        return Value(DASH)
    return Value(f"{value:.{DIGITS}f}" if text is None else text, value, rank)


def signed(value: float | None) -> str:
    """A number with its sign and without ``-0.000``; a dash for None and NaN."""
    if value is None or math.isnan(value):
        return DASH
    return f"{round(value, DIGITS) + 0.0:+.{DIGITS}f}"


def interval_text(low: float, high: float, sign: str = "") -> tuple[str, ...]:
    """``[0.710, 0.760]``; empty where the interval is not known."""
    return () if math.isnan(low) else (f"[{low:{sign}.{DIGITS}f}, {high:{sign}.{DIGITS}f}]",)


def lower_is_better(metric: str) -> bool:
    """Whether smaller values of a metric, as printed, are better."""
    return METRIC_NAMES.get(metric, metric) in LOWER_IS_BETTER or metric.endswith("loss")


def arrow(metric: str) -> str:
    """The metric's name with the direction that is better."""
    return f"{metric} {'↓' if lower_is_better(metric) else '↑'}"


def rank_values(values: Iterable[float | None], lower: bool = False) -> list[int]:
    """1 for the best, 2 for the second best value as it is shown, else 0; equal values share their rank."""
    shown = pd.Series(list(values), dtype=float).round(DIGITS)
    if shown.count() < 2:
        return [0] * len(shown)  # the best of one is no news
    ranks = shown.rank(method="dense", ascending=lower)
    return [int(one) if one <= 2 else 0 for one in ranks]


def as_markdown(frame: pd.DataFrame) -> str:
    """The table in Markdown; marked values are bold and underlined."""

    def cell(value: Value | str) -> str:
        if isinstance(value, str):
            return escape_markdown(value)
        text = {1: f"**{value.text}**", 2: f"<u>{value.text}</u>"}.get(value.rank, value.text)
        return " ".join([text, *value.details, *(["SYNTHETIC"] if value.synthetic else [])])

    rows = [
        [escape_markdown(str(name)), *map(cell, row)]
        for name, row in zip(frame.index, frame.values, strict=True)
    ]
    lines = [[frame.index.name or "", *frame.columns], ["---", *["---:"] * frame.shape[1]], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def as_latex(frame: pd.DataFrame, caption: str, label: str) -> str:
    """A ``booktabs`` table as wide as the text; columns and rows may have several levels."""

    def cell(value: Value | str) -> str:
        if isinstance(value, str):
            return escape_latex(value)
        text = escape_latex(value.text)
        text = {1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}.get(value.rank, text)
        small = [*value.details, *(["SYNTHETIC"] if value.synthetic else [])]
        return " ".join([text, *(rf"{{\scriptsize {escape_latex(one)}}}" for one in small)])

    styler = frame.style.format(cell)
    for axis in (0, 1):
        styler = styler.format_index(lambda name: escape_latex(str(name)), axis=axis)
    text = (
        styler.hide(names=True)
        .hide(names=True, axis=1)
        .to_latex(
            hrules=True,
            position_float="centering",
            multicol_align="c",
            multirow_align="naive",
            column_format="l" * frame.index.nlevels + "r" * frame.shape[1],
            caption=escape_latex(caption),
            label=label,
        )
    )
    text = text.replace(r"\begin{tabular}", "\\resizebox{\\linewidth}{!}{%\n\\begin{tabular}")
    return text.replace(r"\end{tabular}", r"\end{tabular}}")


def as_html(frame: pd.DataFrame, caption: str, hidden: bool = False) -> str:
    """A table that the page's script sorts by any column.

    Args:
        frame: One level of rows and columns.
        caption: Plain text.
        hidden: Whether the caption is only read out, as a heading above has the same words.
    """

    def cell(value: Value | str) -> str:
        if isinstance(value, str):
            return "<br>".join(map(escape, value.split("\n")))
        text = escape(value.text)
        text = {1: f"<b>{text}</b>", 2: f"<u>{text}</u>"}.get(value.rank, text)
        text += "".join(f"<small>{escape(one)}</small>" for one in value.details)
        key = "" if value.value is None else f"{value.value:.6g}"
        return f'<data value="{key}">{text}{SYNTHETIC if value.synthetic else ""}</data>'

    styler = frame.style.format(cell).hide(names=True)
    for axis in (0, 1):
        styler = styler.format_index(lambda name: escape(str(name)), axis=axis)
    title = f'<span class="{"unseen" if hidden else "title"}">{escape(caption)}</span>'
    # without its styles, which the page's security policy forbids, Styler leaves attributes and caption out too
    text = styler.to_html(exclude_styles=True).replace(
        "<table>", f'<table class="sortable"><caption>{title}</caption>', 1
    )
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">{text}</div>'


SYNTHETIC = '<strong class="synthetic">SYNTHETIC</strong>'
"""The word in HTML."""

_LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "[": "{[}",  # else read as an option of a line break before it
    "–": "--",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "\n": " ",
}


def escape_latex(text: str) -> str:
    """Text without characters that LaTeX would interpret."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def escape_markdown(text: str) -> str:
    """Text without characters that Markdown or HTML would interpret."""
    for sign in "\\`*_[]<>|":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", "; ")
