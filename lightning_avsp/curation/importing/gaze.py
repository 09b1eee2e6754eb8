"""Raw gaze of all observers of a video: tables read with pandas, EyeLink recordings read with pymovements."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lightning_avsp.curation.importing.formats import Preset, apply_preset, find_preset
from lightning_avsp.curation.importing.numbers import MISSING, parse_numbers
from lightning_avsp.curation.importing.settings import Columns, EyeLink, ImportSettings, Screen
from lightning_avsp.errors import InputError, MissingDependencyError

_VALID = frozenset({"true", "1", "1.0", "valid", "yes", "y"})
_INVALID = frozenset({"false", "0", "0.0", "invalid", "no", "n"}) | MISSING
_DELIMITERS = (",", ";", "\t", "|", " ")
_TABLES = (".csv", ".tsv", ".txt", ".coord", ".parquet", ".pq")


@dataclass(frozen=True)
class GazeTable:
    """Samples of all observers of a video."""

    samples: pd.DataFrame
    """A row for each sample, in the order of the files: ``observer`` (categories in the order of their appearance),
    ``time`` (or frame number, as written), ``x``, ``y`` (float64; NaN where there is none), ``valid`` (bool; True where
    the file has no such column), ``start`` and ``duration`` (NaN where there is no such column), ``line``, ``file``."""
    settings: ImportSettings
    """Settings of the import, those of the recognised export among them."""
    notes: tuple[str, ...]
    """Decisions about the files, for the user."""


def gaze_files(path: Path) -> list[Path]:
    """Files of gaze: one, all recordings or tables of a folder, or those that a pattern such as ``dir/*.txt`` names.

    Raises:
        InputError: If there is none.
    """
    if path.is_dir():
        recordings = sorted(path.glob("*.asc"))
        found = recordings or sorted(each for each in path.iterdir() if each.suffix.lower() in _TABLES)
        if not found:
            raise InputError(f"{path} holds no .asc recording and no table ({', '.join(_TABLES)})")
        return found
    if path.exists():
        if not path.is_file():
            raise InputError(f"{path} is no regular file: give a gaze table, or a folder of recordings")
        return [path]
    # pathlib globs no absolute pattern
    root = Path(path.anchor or ".")
    found = sorted(root.glob(str(path.relative_to(path.anchor)))) if re.search(r"[*?\[]", str(path)) else []
    if not found:
        raise InputError(f"no gaze table at {path}; check the path")
    return found


def read_gaze(path: Path, settings: ImportSettings) -> GazeTable:
    """Read raw gaze of all observers.

    Args:
        path: Table with a row for each sample: ``.parquet``, ``.pq``, or text with at most one header line (any
            delimiter and encoding, decimal points or commas; lines that begin with ``#`` are passed over). Or an
            EyeLink recording, ``.asc``. Or a folder or pattern of either, one for each observer, who is named by the
            file where the table does not.
        settings: Columns, units and format.

    Raises:
        InputError: If a file is missing or empty, lacks a column, or a cell is not a number; the message names line
            and column.
        MissingDependencyError: If pyarrow (parquet) or pymovements (EyeLink) is not installed.
    """
    files = gaze_files(path)
    recordings = settings.format == "eyelink" or all(each.suffix.lower() == ".asc" for each in files)
    if not recordings and settings.eyelink != EyeLink():
        raise InputError(f"--eyelink options are for .asc recordings, {path.name} is a table; leave them out")
    tables: list[pd.DataFrame] = []
    notes: list[str] = []
    resolved = settings
    for file in files:
        if recordings:
            found = GazeTable(_read_eyelink(file, settings.eyelink, settings.drop_zero), settings, ())
        else:
            found = _read_table(file, settings, len(files) > 1)
        # files of two units would be averaged into one map without a word
        if tables and found.settings != resolved:
            raise InputError(f"{file} has another layout than {files[0]}; import files of one kind together")
        resolved = found.settings
        notes += [note for note in found.notes if note not in notes]
        tables.append(found.samples.assign(file=file.name))
    samples = pd.concat(tables, ignore_index=True)
    names = samples["observer"].astype(str)
    samples["observer"] = pd.Categorical(names, categories=names.unique())
    return GazeTable(samples, resolved, tuple(notes))


def _read_table(path: Path, settings: ImportSettings, several: bool) -> GazeTable:
    """Read one table; with ``several``, an observer without a column is named by the file."""
    notes: list[str] = []
    if path.suffix.lower() in (".parquet", ".pq"):
        table, preset = _read_parquet(path), None
    else:
        table, preset, settings = _read_text(path, settings, notes)
    if preset is not None:
        settings = apply_preset(settings, preset)
        notes.append(f"read as an export of {preset.kind!r}" + (f": {preset.note}" if preset.note else ""))
    columns, header = settings.columns, list(map(str, table.columns))
    # an export of one recording need not name its viewer
    if columns.observer not in header and (
        several or (preset is not None and columns.observer == preset.columns.observer)
    ):
        columns = replace(columns, observer="")
    if preset is not None and columns.valid == preset.columns.valid:
        known = [name for name in columns.valid.split(",") if name in header]
        columns = replace(columns, valid=",".join(known))
    # a column whose own name has a comma is one column
    wanted = {
        kind: [] if not text else [text] if text in header else [name.strip() for name in text.split(",")]
        for kind, text in vars(columns).items()
        if kind not in ("valid_is", "decimal")
    }
    _check_columns(header, wanted, path)
    if table.empty:
        raise InputError(f"{path} has a header but no sample; export it again")
    names = table[wanted["observer"][0]].astype(str).str.strip() if wanted["observer"] else None
    if names is not None and (nameless := names.isin(["", "nan", "None", "<NA>"])).any():
        raise InputError(
            f"{path}, line {nameless.idxmax()}: no observer in column {columns.observer!r}; name each"
        )
    kinds = [kind for kind in ("time", "x", "y", "start", "duration") if wanted[kind]]
    cells = {name: table[name] for kind in kinds for name in wanted[kind]}
    numbers, decided = parse_numbers(cells, path, columns.decimal)
    notes += decided
    lost = np.full(len(table), np.nan)
    valid = _validity(table, wanted["valid"], columns, path)  # (N, columns)
    x, y = (np.stack([numbers[name] for name in wanted[kind]], axis=1) for kind in ("x", "y"))
    x, y = _average_eyes(x, y, valid, settings.drop_zero)
    samples = pd.DataFrame(
        {
            "observer": names if names is not None else path.stem if several else "1",
            "time": numbers[wanted["time"][0]],
            "x": x,
            "y": y,
            "valid": valid.any(axis=1),
            "start": numbers[wanted["start"][0]] if wanted["start"] else lost,
            "duration": numbers[wanted["duration"][0]] if wanted["duration"] else lost,
            "line": table.index.to_numpy(),
        }
    )
    return GazeTable(samples, settings, tuple(notes))


def _average_eyes(
    x: np.ndarray, y: np.ndarray, valid: np.ndarray, drop_zero: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Average the eyes (N, E) that are valid and have numbers: float64 (N,) each, NaN without any."""
    good = np.isfinite(x) & np.isfinite(y)
    if drop_zero:
        good &= (x != 0) | (y != 0)
    if valid.shape[1] == x.shape[1] > 1:
        # where no eye is valid the sample stays with its place, to be counted as invalid and not as missing
        good &= valid | ~valid.any(axis=1, keepdims=True)
    # a single eye keeps the number that it has, for the example in the report
    if x.shape[1] == 1:
        kept = ~((x[:, 0] == 0) & (y[:, 0] == 0) & drop_zero)
        return np.where(kept, x[:, 0], np.nan), np.where(kept, y[:, 0], np.nan)
    count = good.sum(axis=1)
    averaged = [
        np.where(good, each, 0.0).sum(axis=1) / np.where(count, count, np.nan)  # NaN without a good eye
        for each in (x, y)
    ]
    return averaged[0], averaged[1]


def decode_text(data: bytes) -> tuple[str, str]:
    """Decode text of any encoding that tables come in; returns it without byte order mark, and the encoding."""
    # UTF-32 first: its little-endian mark begins with that of UTF-16
    marks = (
        (b"\xff\xfe\0\0", "utf-32"),
        (b"\0\0\xfe\xff", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    )
    encoding = next((name for mark, name in marks if data.startswith(mark)), "")
    head = data[:4096]
    if not encoding and 4 * head.count(0) > len(head):  # UTF-16 without its mark: half of Latin text is zero
        encoding = "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"
    # UTF-8 refuses nearly all other text; Latin-1 refuses none, so it comes last
    for name in (encoding,) if encoding else ("utf-8-sig", "cp1252", "latin-1"):
        try:
            return data.decode(name).removeprefix("\ufeff"), name
        except UnicodeDecodeError:
            continue
    return data.decode(encoding, errors="replace"), encoding


def _read_text(
    path: Path, settings: ImportSettings, notes: list[str]
) -> tuple[pd.DataFrame, Preset | None, ImportSettings]:
    """Cells of a text table by line number, with the export that it is."""
    text, encoding = decode_text(path.read_bytes())
    if encoding in ("cp1252", "latin-1"):
        notes.append(f"{path.name} is not UTF-8 and was read as {encoding}")
    # not splitlines(), which also splits at form feeds and other separators inside cells
    every = list(enumerate(re.split(r"\r\n|\r|\n", text), start=1))
    lines = {
        number: line for number, line in every if line.strip(" \t;,|\0") and not line.lstrip().startswith("#")
    }
    marks: tuple[str, ...] = _DELIMITERS
    first = next(iter(lines), 0)
    if first and (stated := re.fullmatch(r"sep=(.)", lines[first].strip("\"' "))):
        marks = (stated[1],)
        del lines[first]
    lines, settings, coord = _read_coord_header(lines, settings)
    if not lines:
        raise InputError(f"{path} is empty; export the gaze again")
    if "\0" in lines[next(iter(lines))]:
        raise InputError(f"{path} is no text (a spreadsheet?): export it as CSV")
    # said, since rows whose first cell begins with # would vanish without a word
    comments = sum(line.lstrip().startswith("#") for _, line in every)
    if comments:
        notes.append(f"{comments} lines that begin with # were passed over")
    first = next(iter(lines))
    mark, header, numeric = _split_header(lines[first], marks, settings.columns)
    preset = find_preset("coord" if coord else settings.format, header, numeric, settings.columns)
    if settings.format not in ("auto", "table") and preset is None:
        raise InputError(
            f"{path} does not look like an export of {settings.format!r}; its columns: {', '.join(header)}. Give "
            "--format table and name them with --columns"
        )
    if numeric:
        header = list(preset.names) if preset else [str(index) for index in range(1, len(header) + 1)]
    while header and not header[-1]:  # a delimiter at the end of each line
        header.pop()
    numbers = list(lines)[0 if numeric else 1 :]
    body = [lines[number] for number in numbers]
    if mark == " ":
        body = [re.sub(r"\s+", " ", line.strip()) for line in body]
    width = len(header)
    # One column more than the header has, to notice rows that are longer: a decimal comma, as a rule.
    whole = "\n".join([mark.join(map(str, range(width + 1))), *body])
    try:
        # everything as text: pandas would decide about decimal marks cell by cell
        table = pd.read_csv(
            io.StringIO(whole),
            sep=mark,
            index_col=False,
            dtype=str,
            keep_default_na=False,
            usecols=range(width + 1),
            skip_blank_lines=False,
            on_bad_lines="error",
        )
    except (pd.errors.ParserError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a table: {error}; export it again") from error
    # an unclosed quote swallows lines, and the line numbers of messages would be off
    if len(table) != len(numbers):
        raise InputError(
            f"{path} cannot be read as a table: a quote holds a line break, or is not closed; export it again"
        )
    table.index = pd.Index(numbers)
    odd = table.index[table.iloc[:, width].fillna("").str.strip() != ""]
    if len(odd):
        cells = len(next(csv.reader([lines[odd[0]]], delimiter=mark)))
        raise InputError(
            f"{path}, line {odd[0]}: {cells} cells, the header has {width}; a decimal comma needs another delimiter "
            "than ','"
        )
    table = table.iloc[:, :width].fillna("")
    table.columns = pd.Index(header)
    return table, preset, settings


def _split_header(line: str, marks: Sequence[str], columns: Columns) -> tuple[str, list[str], bool]:
    """Delimiter and cells of the first line, and True if they are all numbers, so that it is no header."""
    wanted = set(",".join((columns.time, columns.x, columns.y)).split(","))
    splits = {}
    for mark in marks:
        cells = line.split() if mark == " " else next(csv.reader([line], delimiter=mark))
        splits[mark] = [cell.strip() for cell in cells]
    # Space is the last resort: names of columns contain it.
    mark = max(
        splits,
        key=lambda mark: (
            wanted <= set(splits[mark]),
            mark != " " and len(splits[mark]) > 1,
            len(splits[mark]),
        ),
    )
    cells = splits[mark]
    numeric = all(
        re.fullmatch(r"[-+.,\d]*\d[-+.,\deE]*|nan|\.", cell, re.IGNORECASE) for cell in cells if cell
    )
    return mark, cells, numeric


def _read_coord_header(
    lines: dict[int, str], settings: ImportSettings
) -> tuple[dict[int, str], ImportSettings, bool]:
    """Take the lines above a ``.coord`` table away, the first of which has the size of the screen; False without."""
    # GazeCom's files state the screen's size above the table
    head = list(lines.items())[:2]
    size = re.fullmatch(r"gaze\s+(\d+)\s+(\d+)", head[0][1].strip()) if len(head) == 2 else None
    if size is None or settings.format not in ("auto", "coord"):
        return lines, settings, False
    if settings.screen == Screen():
        settings = replace(settings, screen=Screen(size=f"{size[1]}x{size[2]}"))
    return dict(list(lines.items())[2 if head[1][1].startswith("geometry") else 1 :]), settings, True


def _check_columns(header: list[str], wanted: dict[str, list[str]], path: Path) -> None:
    names = [name for each in wanted.values() for name in each]
    if len(set(names)) < len(names):
        raise InputError(f"each column must have a name of its own, got {', '.join(names)}")
    missing = [name for name in names if name not in header]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(map(repr, missing))}; its columns: {', '.join(header)}. Name yours with "
            "--columns.observer, --columns.time, --columns.x, --columns.y and --columns.valid; --columns.observer= and "
            "--columns.valid= (empty) mean that there is none"
        )
    twice = [name for name in names if header.count(name) > 1]
    if twice:
        raise InputError(f"{path} has {header.count(twice[0])} columns {twice[0]!r}; rename all but one")
    if len(wanted["x"]) != len(wanted["y"]):
        raise InputError(
            f"--columns.x names {len(wanted['x'])} columns, --columns.y {len(wanted['y'])}; give pairs"
        )


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except ImportError as error:
        raise MissingDependencyError(
            f"reading {path.name} needs pyarrow: pip install 'lightning-avsp[tables]', or export the table as CSV"
        ) from error
    except (ValueError, OSError) as error:  # pyarrow's errors are ValueErrors
        raise InputError(f"{path} cannot be read as parquet: {error}; export it again") from error
    table.index = pd.RangeIndex(1, len(table) + 1)
    return table


def _read_eyelink(path: Path, settings: EyeLink, drop_zero: bool) -> pd.DataFrame:
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
        time = recording.samples["time"].to_numpy().astype(np.float64)
        pixels = np.array(recording.samples["pixel"].to_list(), np.float64)  # (N, 2), (N, 4) with both eyes
    except Exception as error:  # its parser raises whatever the text provokes
        raise InputError(
            f"{path} cannot be read as an EyeLink recording: {error}; convert it again"
        ) from error
    if not len(time):
        raise InputError(f"{path} holds no sample; convert it again with samples")
    # columns are left x, left y, right x, right y where both eyes were recorded
    eyes = pixels[:, :4].reshape(len(time), -1, 2)
    valid = np.ones(len(time), bool)
    x, y = _average_eyes(eyes[..., 0], eyes[..., 1], valid[:, None], drop_zero)
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
    return pd.DataFrame(
        {
            "observer": path.stem,
            "time": time,
            "x": x,
            "y": y,
            "valid": valid,
            "start": np.nan,
            "duration": np.nan,
            "line": np.arange(1, len(time) + 1),
        }
    )


def _validity(table: pd.DataFrame, names: list[str], columns: Columns, path: Path) -> np.ndarray:
    """Validity of each sample, bool (N, columns); all True without any."""
    if not names:
        return np.ones((len(table), 1), bool)
    limit = re.fullmatch(r"(>=?)\s*([-+.\deE]+)", columns.valid_is.strip())
    found = []
    for name in names:
        if limit:
            numbers, _ = parse_numbers({name: table[name]}, path, columns.decimal)
            found.append(
                numbers[name] >= float(limit[2]) if limit[1] == ">=" else numbers[name] > float(limit[2])
            )
            continue
        text = table[name].astype(str).str.strip().str.lower()
        if columns.valid_is:
            found.append(
                text.isin({value.strip().lower() for value in columns.valid_is.split(",")}).to_numpy(bool)
            )
            continue
        odd = ~text.isin(_VALID | _INVALID)
        if odd.any():
            raise InputError(
                f"{path}, line {odd.idxmax()}: column {name!r} holds {table[name][odd.idxmax()]!r}; give the values "
                "that mean a valid sample, e.g. --columns.valid_is 0 for trackers whose code 0 is valid, or >=0.6 for "
                "a confidence"
            )
        found.append(text.isin(_VALID).to_numpy(bool))
    return np.stack(found, axis=1)
