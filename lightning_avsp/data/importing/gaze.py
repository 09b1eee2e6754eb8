"""Raw gaze of all observers of a video: tables read with pandas, EyeLink recordings read with pymovements."""

from __future__ import annotations

import csv
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lightning_avsp.data.importing.settings import Columns, EyeLink
from lightning_avsp.errors import InputError, MissingDependencyError

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", ".", "-", "--"})
"""Cells without a value, in lower case."""
_VALID = frozenset({"true", "1", "1.0", "valid", "yes", "y"})
_INVALID = frozenset({"false", "0", "0.0", "invalid", "no", "n"}) | MISSING
_DELIMITERS = (",", ";", "\t", "|")


def read_gaze(path: Path, columns: Columns | None = None, eyelink: EyeLink | None = None) -> pd.DataFrame:
    """Read raw gaze of all observers, one row for each sample, in the order of the file.

    Args:
        path: Table with a row for each sample: ``.parquet``, ``.pq``, or text with one header line (any delimiter,
            decimal points or commas, UTF-8 or UTF-16; lines that begin with ``#`` are passed over). Or an EyeLink
            recording, ``.asc``, or a folder of them: one for each observer, who is named by the file.
        columns: Names of the columns of a table.
        eyelink: Settings of EyeLink recordings.

    Returns:
        Columns ``observer`` (categories in the order of their appearance), ``time`` (or frame number, as written),
        ``x``, ``y`` (float64; NaN where there is none) and ``valid`` (bool; True where the file has no such column).

    Raises:
        InputError: If the file is missing or empty, lacks a column, or a cell is not a number; the message names line
            and column.
        MissingDependencyError: If pyarrow (parquet) or pymovements (EyeLink) is not installed.
    """
    columns, eyelink = columns or Columns(), eyelink or EyeLink()
    if path.is_dir() or path.suffix.lower() == ".asc":
        recordings = sorted(path.glob("*.asc")) if path.is_dir() else [path]
        if not recordings:
            raise InputError(f"{path} holds no .asc recording; give a gaze table, or a folder of recordings")
        table = pd.concat([_read_eyelink(each, eyelink) for each in recordings], ignore_index=True)
        return _as_gaze(path, table, Columns())
    if not path.is_file():
        raise InputError(f"no gaze table at {path}; check the path")
    if eyelink != EyeLink():
        raise InputError(f"--eyelink options are for .asc recordings, {path.name} is a table; leave them out")
    wanted = [name for name in (columns.observer, columns.time, columns.x, columns.y, columns.valid) if name]
    if len(set(wanted)) < len(wanted):
        raise InputError(f"each column must have a name of its own, got {', '.join(wanted)}")
    parquet = path.suffix.lower() in (".parquet", ".pq")
    table = _read_parquet(path, wanted) if parquet else _read_text(path, wanted)
    if table.empty:
        raise InputError(f"{path} has a header but no sample; export it again")
    return _as_gaze(path, table, columns)


def _as_gaze(path: Path, table: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """Samples of a table whose index holds line numbers."""
    names = table[columns.observer].astype(str) if columns.observer else pd.Series("1", table.index)
    return pd.DataFrame(
        {
            "observer": pd.Categorical(names, categories=names.unique()),
            "time": _numbers(table[columns.time], path),
            "x": _numbers(table[columns.x], path),
            "y": _numbers(table[columns.y], path),
            "valid": _validity(table[columns.valid], columns, path) if columns.valid else True,
        }
    )


def _read_text(path: Path, wanted: list[str]) -> pd.DataFrame:
    """Cells of the wanted columns as text, by line number."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is neither UTF-8 nor UTF-16 text ({error}); export it as UTF-8") from error
    lines = {
        number: line
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip(" \t;,|") and not line.startswith("#")
    }
    if not lines:
        raise InputError(f"{path} is empty; export the gaze again")
    first = next(iter(lines.values()))
    headers = {
        mark: [cell.strip() for cell in next(csv.reader([first], delimiter=mark))] for mark in _DELIMITERS
    }
    mark = max(headers, key=lambda mark: (set(wanted) <= set(headers[mark]), len(headers[mark])))
    header = headers[mark]
    _check_columns(header, wanted, path)
    width, numbers = len(header), list(lines)[1:]
    # One column more than the header has, to notice rows that are longer: a decimal comma, as a rule.
    body = "\n".join([mark.join(map(str, range(width + 1))), *list(lines.values())[1:]])
    used = sorted({*map(header.index, wanted), width})
    try:
        table = pd.read_csv(
            io.StringIO(body), sep=mark, usecols=used, index_col=False, dtype=object, keep_default_na=False
        )
    except (pd.errors.ParserError, ValueError) as error:
        raise InputError(f"{path} cannot be read as CSV: {error}; export it again") from error
    table.columns = pd.Index(used)
    table.index = pd.Index(numbers)
    odd = table.index[table[width] != ""]
    if len(odd):
        cells = len(next(csv.reader([lines[odd[0]]], delimiter=mark)))
        raise InputError(
            f"{path}, line {odd[0]}: {cells} cells, the header has {width}; a decimal comma needs another delimiter "
            "than ','"
        )
    table = table[list(map(header.index, wanted))]
    table.columns = pd.Index(wanted)
    return table.apply(lambda cells: cells.str.strip())


def _check_columns(header: list[str], wanted: list[str], path: Path) -> None:
    missing = [name for name in wanted if name not in header]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(map(repr, missing))}; its columns: {', '.join(header)}. Name yours with "
            "--columns.observer, --columns.time, --columns.x, --columns.y and --columns.valid; --columns.observer= and "
            "--columns.valid= (empty) mean that there is none"
        )


def _read_parquet(path: Path, wanted: list[str]) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except ImportError as error:
        raise MissingDependencyError(
            f"reading {path.name} needs pyarrow: pip install 'lightning-avsp[tables]', or export the table as CSV"
        ) from error
    except (ValueError, OSError) as error:  # pyarrow's errors are ValueErrors
        raise InputError(f"{path} cannot be read as parquet: {error}; export it again") from error
    _check_columns(list(map(str, table.columns)), wanted, path)
    table = table[wanted]
    table.index = pd.RangeIndex(1, len(table) + 1)
    return table


def _read_eyelink(path: Path, settings: EyeLink) -> pd.DataFrame:
    """Samples of a recording with the columns of a table; both eyes are averaged."""
    try:
        import pymovements
    except ImportError as error:
        raise MissingDependencyError(
            f"reading {path.name} needs pymovements: pip install 'lightning-avsp[gaze]', or export a table"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the tracker's model and mount, which are not used
            recording: Any = pymovements.gaze.from_asc(path, events=True, messages=True)
    except Exception as error:  # its parser raises whatever the text provokes
        raise InputError(
            f"{path} cannot be read as an EyeLink recording: {error}; convert it again"
        ) from error
    time = recording.samples["time"].to_numpy().astype(np.float64)
    if not len(time):
        raise InputError(f"{path} holds no sample; convert it again with samples")
    pixels = np.array(recording.samples["pixel"].to_list(), np.float64)  # (N, 2), (N, 4) with both eyes
    eyes = pixels[:, :4].reshape(len(time), -1, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a blink is NaN in both eyes
        x, y = np.nanmean(eyes, axis=1).T
    valid = np.ones(len(time), bool)
    if settings.samples == "fixations":
        events = recording.events.frame.to_pandas()
        valid[:] = False
        for _, event in events[events["name"].str.startswith("fixation")].iterrows():
            valid |= (time >= event["onset"]) & (time <= event["offset"])
    if settings.start_message:
        messages = recording.messages.to_pandas()
        found = messages[messages["content"].str.contains(settings.start_message, regex=False)]
        if found.empty:
            raise InputError(
                f"{path} has no message {settings.start_message!r}; correct --eyelink.start_message"
            )
        time = time - float(found["time"].iloc[0])
    return pd.DataFrame({"observer": path.stem, "time": time, "x": x, "y": y, "valid": valid})


def _numbers(cells: pd.Series, path: Path) -> np.ndarray:
    """Cells as float64 (N,); NaN for infinite and missing ones."""
    if pd.api.types.is_numeric_dtype(cells):
        values = cells.to_numpy(np.float64, na_value=np.nan)
    else:
        text = cells.astype(str).str.strip()
        comma = (text.str.count(",") == 1) & ~text.str.contains(".", regex=False)
        text = text.where(~comma, text.str.replace(",", ".", regex=False))
        text = text.where(~text.str.lower().isin(MISSING), "nan")
        bad = pd.to_numeric(text, errors="coerce").isna() & (text != "nan")
        if bad.any():
            raise InputError(
                f"{path}, line {bad.idxmax()}: column {cells.name!r} holds {cells[bad.idxmax()]!r}, which is not a "
                "number; leave the cell empty where there is none"
            )
        values = text.to_numpy(object).astype(np.float64)  # exact, as to_numeric is not
    return np.where(np.isfinite(values), values, np.nan)


def _validity(cells: pd.Series, columns: Columns, path: Path) -> np.ndarray:
    text = cells.astype(str).str.strip().str.lower()
    if columns.valid_is:
        return text.isin({value.strip().lower() for value in columns.valid_is.split(",")}).to_numpy(bool)
    odd = ~text.isin(_VALID | _INVALID)
    if odd.any():
        raise InputError(
            f"{path}, line {odd.idxmax()}: column {columns.valid!r} holds {cells[odd.idxmax()]!r}; give the values "
            "that mean a valid sample, e.g. --columns.valid_is 0 for trackers whose code 0 is valid"
        )
    return text.isin(_VALID).to_numpy(bool)
