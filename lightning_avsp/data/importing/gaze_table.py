"""Raw gaze from CSV (any delimiter, decimal comma, UTF-8 or UTF-16) or parquet, as plain columns."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from lightning_avsp.data.importing.settings import Columns
from lightning_avsp.errors import InputError, MissingDependencyError

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", ".", "-", "--"})
"""Cells that stand for no value, in lower case."""
_GOOD = frozenset({"true", "1", "1.0", "valid", "yes", "y"})
_BAD = frozenset({"false", "0", "0.0", "invalid", "no", "n"}) | MISSING
_DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class GazeTable:
    """Samples of all observers, in the order of the file."""

    path: Path
    observer: np.ndarray
    """Number of the observer, int64 (N,), an index into ``observers``."""
    observers: tuple[str, ...]
    time: np.ndarray
    """Time or frame number as written, float64 (N,); NaN where there is none."""
    x: np.ndarray
    """float64 (N,); NaN where there is none."""
    y: np.ndarray
    valid: np.ndarray
    """bool (N,): what the table's own column says; all true without one."""

    def __len__(self) -> int:
        """Samples."""
        return len(self.time)


def read_gaze(path: Path, columns: Columns) -> GazeTable:
    """Read a table of gaze.

    Args:
        path: ``.parquet`` or ``.pq``; anything else is read as text with one header line. Lines that begin with
            ``#`` are passed over.
        columns: Names of the columns.

    Raises:
        InputError: If the file is missing or empty, lacks a column, or a cell is no number; the message names line
            and column.
        MissingDependencyError: If the file is parquet and pyarrow is not installed.
    """
    if not path.is_file():
        raise InputError(f"no gaze table at {path}; check the path")
    wanted = [name for name in (columns.observer, columns.time, columns.x, columns.y, columns.valid) if name]
    if len(set(wanted)) < len(wanted):
        raise InputError(f"each column must have a name of its own, got {', '.join(wanted)}")
    parquet = path.suffix.lower() in (".parquet", ".pq")
    cells, place = _read_parquet(path, wanted) if parquet else _read_text(path, wanted)
    count = len(cells[columns.time])
    if count == 0:
        raise InputError(f"{path} has a header but no sample; export it again")
    observer, observers = _number_observers(cells[columns.observer] if columns.observer else ["1"] * count)
    time, x, y = (_numbers(cells[name], name, path, place) for name in (columns.time, columns.x, columns.y))
    valid = np.ones(count, bool)
    if columns.valid:
        valid = _truths(cells[columns.valid], columns, path, place)
    return GazeTable(path, observer, observers, time, x, y, valid)


def _read_text(path: Path, wanted: Sequence[str]) -> tuple[dict[str, list[Any]], Callable[[int], str]]:
    with path.open("rb") as file:
        mark = file.read(4)
    encoding = "utf-16" if mark[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    lines: list[int] = []
    cells: dict[str, list[Any]] = {name: [] for name in wanted}
    try:
        with path.open(encoding=encoding, newline="") as file:
            content = _lines(file)
            first = next(content, None)
            if first is None:
                raise InputError(f"{path} is empty; export the gaze again")
            delimiter, header = _header(first[1], wanted, path)
            places = [header.index(name) for name in wanted]
            numbers: list[int] = []
            rows = csv.reader(_note_numbers(content, numbers), delimiter=delimiter)
            for row in rows:
                if not any(cell.strip() for cell in row):
                    continue
                if len(row) != len(header):
                    raise InputError(
                        f"{path}, line {numbers[-1]}: {len(row)} cells, the header has {len(header)}; a decimal comma "
                        "needs another delimiter than ','"
                    )
                lines.append(numbers[-1])
                for name, position in zip(wanted, places, strict=True):
                    cells[name].append(row[position].strip())
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8 or UTF-16 text ({error}); export it as UTF-8") from error
    except csv.Error as error:
        raise InputError(f"{path} cannot be read as CSV: {error}; export it again") from error
    return cells, lambda index: f"line {lines[index]}"


def _lines(file: Iterable[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(file, start=1):
        if line.strip() and not line.startswith("#"):
            yield number, line


def _note_numbers(lines: Iterable[tuple[int, str]], numbers: list[int]) -> Iterator[str]:
    """Lines without their numbers; the number of the last one is kept in ``numbers``."""
    numbers.append(1)
    for number, line in lines:
        numbers[0] = number
        yield line


def _header(line: str, wanted: Sequence[str], path: Path) -> tuple[str, list[str]]:
    """The delimiter under which the header has the wanted columns, and its cells."""
    split = {
        mark: [cell.strip() for cell in next(csv.reader([line], delimiter=mark))] for mark in _DELIMITERS
    }
    for mark, header in split.items():
        if all(name in header for name in wanted):
            return mark, header
    _refuse_columns(max(split.values(), key=len), wanted, path)
    raise AssertionError


def _refuse_columns(header: Sequence[str], wanted: Sequence[str], path: Path) -> None:
    missing = [name for name in wanted if name not in header]
    raise InputError(
        f"{path} has no column {', '.join(map(repr, missing))}; its columns: {', '.join(header)}. Name yours with "
        "--observer_column, --time_column, --x_column, --y_column and --valid_column; an empty --observer_column or "
        "--valid_column says that there is none"
    )


def _read_parquet(path: Path, wanted: Sequence[str]) -> tuple[dict[str, list[Any]], Callable[[int], str]]:
    try:
        pyarrow = import_module("pyarrow")
        parquet = import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingDependencyError(
            f"reading {path.name} needs pyarrow: pip install pyarrow, or export the table as CSV"
        ) from error
    try:
        with parquet.ParquetFile(path) as file:
            header = list(file.schema_arrow.names)
            if any(name not in header for name in wanted):
                _refuse_columns(header, wanted, path)
            table = file.read(columns=list(wanted))
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read as parquet: {error}; export it again") from error
    return {name: table.column(name).to_pylist() for name in wanted}, lambda index: f"row {index + 1}"


def _number_observers(cells: Sequence[Any]) -> tuple[np.ndarray, tuple[str, ...]]:
    known: dict[str, int] = {}
    numbers = np.array([known.setdefault(str(cell), len(known)) for cell in cells], dtype=np.int64)
    return numbers, tuple(known)


def _numbers(cells: Sequence[Any], name: str, path: Path, place: Callable[[int], str]) -> np.ndarray:
    values = np.empty(len(cells))
    for index, cell in enumerate(cells):
        try:
            values[index] = _number(cell)
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{path}, {place(index)}: column {name!r} holds {cell!r}, which is no number; leave the cell empty "
                "where there is none"
            ) from error
    return values


def _number(cell: Any) -> float:
    if cell is None:
        return math.nan
    if isinstance(cell, str):
        if cell.lower() in MISSING:
            return math.nan
        cell = cell.replace(",", ".") if cell.count(",") == 1 and "." not in cell else cell
    value = float(cell)
    return value if math.isfinite(value) else math.nan


def _truths(cells: Sequence[Any], columns: Columns, path: Path, place: Callable[[int], str]) -> np.ndarray:
    if columns.valid_is:
        good = {value.strip().lower() for value in columns.valid_is}
        return np.array([str(cell).strip().lower() in good for cell in cells], dtype=bool)
    values = np.empty(len(cells), bool)
    for index, cell in enumerate(cells):
        text = "" if cell is None else str(cell).strip().lower()
        if text not in _GOOD and text not in _BAD:
            raise InputError(
                f"{path}, {place(index)}: column {columns.valid!r} holds {cell!r}; say which values mean a good "
                "sample, e.g. --valid_is 0 for trackers whose code 0 is good"
            )
        values[index] = text in _GOOD
    return values
