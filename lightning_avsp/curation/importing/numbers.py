"""Numbers of a table as text: each column is read by one decimal mark, decided from the whole column."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from lightning_avsp.errors import InputError

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", ".", "-", "--"})
"""Cells without a value, in lower case."""
Decimal = Literal["auto", ".", ","]
# gaze moves little from sample to sample: the smoother reading of a column is its own, if clearly so
_CLEARER = 2.0


def parse_numbers(
    cells: Mapping[str, pd.Series], path: Path, decimal: Decimal = "auto"
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Parse columns of a table.

    Args:
        cells: Columns by name, text or numbers, with line numbers as index.
        path: The file, for messages.
        decimal: Decimal mark, where it is known.

    Returns:
        float64 (N,) by name, NaN for infinite and missing cells, and what was decided about columns with commas.

    Raises:
        InputError: If a cell is not a number, or a column can be read in two ways; the message names line and column.
    """
    texts = {name: _clean(each) for name, each in cells.items() if not pd.api.types.is_numeric_dtype(each)}
    marks = {name: decimal if decimal != "auto" else _decimal_mark(text) for name, text in texts.items()}
    # a program writes all its columns with one mark
    clear = {mark for name, mark in marks.items() if mark and texts[name].str.contains("[.,]").any()}
    numbers, notes = {}, []
    for name, each in cells.items():
        if name not in texts:
            values = each.to_numpy(np.float64, na_value=np.nan)
        else:
            mark, text = marks[name], texts[name]
            if mark is None:  # the other columns of the same program decide
                mark = clear.copy().pop() if len(clear) == 1 else None
            if mark is None:
                example = text[text.str.contains(",", regex=False)].iloc[0]
                raise InputError(
                    f"{path}: column {name!r} holds {example!r}, which may be {example.replace(',', '')} or "
                    f"{example.replace(',', '.')}; give --columns.decimal , (a decimal comma) or . (a decimal point)"
                )
            if text.str.contains(",", regex=False).any() or _groups(text, "." if mark == "," else ",").any():
                example = next(iter(text[text.str.contains("[.,]")]))
                notes.append(
                    f"column {name!r}: {example!r} was read as {_plain(pd.Series([example]), mark).iloc[0]}"
                )
            values = _as_floats(_plain(text, mark), each, path, name)
        numbers[name] = np.where(np.isfinite(values), values, np.nan)
    return numbers, notes


def _clean(cells: pd.Series) -> pd.Series:
    """Text of cells without spaces and apostrophes between groups of digits; ``nan`` for missing ones."""
    text = cells.astype(str).str.strip()
    # thousands in French, Swiss and typeset tables, by spaces of any width or apostrophes
    text = text.str.replace(r"(?<=\d)[ \u00a0\u2009\u202f'’](?=\d{3}(?!\d))", "", regex=True)
    return text.where(~text.str.lower().isin(MISSING), "nan")


def _groups(text: pd.Series, mark: str) -> pd.Series:
    """True for cells such as 1,005 that may have thousands separated by a mark."""
    other = "," if mark == "." else "."
    return text.str.fullmatch(rf"[-+]?[1-9]\d{{0,2}}(?:\{mark}\d{{3}})+(?:\{other}\d*)?")


def _decimal_mark(text: pd.Series) -> str | None:
    """Decimal mark of a column; None if a comma may be either."""
    dots, commas = text.str.count(r"\."), text.str.count(",")
    both = text[(dots > 0) & (commas > 0)]
    if len(both):  # the last of the two, in every such cell
        return "," if (both.str.rfind(",") > both.str.rfind(".")).all() else "."
    if not commas.any():
        return "," if (dots > 1).any() or _is_smoother(text, ".") else "."
    if dots.any():  # 1,005 beside 980.5, or 1.005 beside 980,5
        return "." if _groups(text[commas > 0], ",").all() else ","
    if (commas > 1).any():
        return "."
    if not _groups(text[commas > 0], ",").all():
        return ","
    if not (commas == 0).any():
        return None
    return "." if _is_smoother(text, ",") else "," if _is_smoother(text, ",", inverse=True) else None


def _is_smoother(text: pd.Series, mark: str, inverse: bool = False) -> bool:
    """True if a column is clearly smoother when a mark separates thousands (with ``inverse``: decimals)."""
    marked = text.str.contains(mark, regex=False)
    # A column that has the mark in every cell is as smooth in both readings.
    if not marked.any() or marked.all() or not _groups(text[marked], mark).all():
        return False
    plain = pd.to_numeric(text.str.replace(mark, "", regex=False), errors="coerce")
    share = pd.to_numeric(text.str.replace(mark, ".", regex=False), errors="coerce")
    thousands, decimals = (float(np.log1p(each.dropna().abs()).diff().abs().sum()) for each in (plain, share))
    return decimals * _CLEARER < thousands if inverse else thousands * _CLEARER < decimals


def _plain(text: pd.Series, mark: str) -> pd.Series:
    """Numbers as Python writes them."""
    other = "," if mark == "." else "."
    grouped = _groups(text, other)
    text = text.where(~grouped, text.str.replace(other, "", regex=False))
    if mark == ".":
        return text
    # A point that separates nothing stays a fault here.
    return text.where(~text.str.contains(".", regex=False), "?" + text).str.replace(mark, ".", regex=False)


def _as_floats(text: pd.Series, cells: pd.Series, path: Path, name: str) -> np.ndarray:
    # "_": Python would read 1_000 as a number
    bad = (pd.to_numeric(text, errors="coerce").isna() & (text.str.lower() != "nan")) | text.str.contains(
        "_", regex=False
    )
    if bad.any():
        raise InputError(
            f"{path}, line {bad.idxmax()}: column {name!r} holds {cells[bad.idxmax()]!r}, which is not a number; leave "
            "the cell empty where there is none"
        )
    return text.to_numpy(object).astype(np.float64)  # exact, as to_numeric is not
