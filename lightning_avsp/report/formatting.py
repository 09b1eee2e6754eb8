"""Markdown, LaTeX and HTML of tables, which are pandas DataFrames of formatted values."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import pandas as pd

from lightning_avsp.evaluation.formatting import DIGITS, Value


def rank_values(values: Iterable[float | None], lower: bool = False) -> list[int]:
    """Rank values as they are printed: 1 for the best, 2 for the second best, else 0; equal values share a rank."""
    rounded = pd.Series(list(values), dtype=float).round(DIGITS)
    if rounded.count() < 2:
        return [0] * len(rounded)
    ranks = rounded.rank(method="dense", ascending=lower)
    return [int(one) if one <= 2 else 0 for one in ranks]


def as_markdown(frame: pd.DataFrame) -> str:
    """Write a table in Markdown; the best values are bold, the second best underlined."""

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
    """Write a ``booktabs`` table as wide as the text; columns and rows may have several levels."""

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
    """Write a table that the page's script sorts by any column.

    Args:
        frame: One level of rows and columns.
        caption: Plain text.
        hidden: True if the caption is for screen readers alone, as a heading above has the same words.
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
    """Escape characters that LaTeX would interpret."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def escape_markdown(text: str) -> str:
    """Escape characters that Markdown or HTML would interpret."""
    for sign in "\\`*_[]<>|":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", "; ")
