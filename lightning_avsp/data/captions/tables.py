"""Captions from other sources: tables of (video, frame, text) in CSV, JSON lines or Parquet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from lightning_avsp.data.captions.lines import (
    Caption,
    parse_caption,
    read_captions,
    write_captions,
)
from lightning_avsp.errors import InputError, MissingDependencyError

_COLUMNS = ("video", "frame", "text")


def read_table(path: Path) -> list[Caption]:
    """Read the captions of a table, by its suffix: ``.csv``, ``.jsonl`` or ``.parquet``.

    A column ``model`` is kept; without one the table's name stands for the model.

    Raises:
        InputError: If the table is missing, of another kind, lacks a column, or a row is no caption; names the row.
        MissingDependencyError: If a Parquet table is given and pyarrow is not installed.
    """
    if not path.is_file():
        raise InputError(f"no table of captions at {path}")
    kind = path.suffix.lower()
    try:
        if kind == ".csv":
            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file)  # not pandas, which takes a row cut short for one without text
                captions = _from_rows(
                    path, pd.DataFrame(list(reader), columns=reader.fieldnames, dtype=object)
                )
        elif kind == ".parquet":
            captions = _from_rows(path, pd.read_parquet(path))
        elif kind in (".jsonl", ".json"):
            lines = path.read_text(encoding="utf-8-sig").splitlines()
            captions = [parse_caption(line, f"{path}:{n}") for n, line in enumerate(lines, 1) if line.strip()]
        else:
            raise InputError(f"{path}: a table of captions ends in .csv, .jsonl or .parquet")
    except InputError:
        raise
    except ImportError as error:
        raise MissingDependencyError(
            f"{path}: Parquet tables need pyarrow: install it with `pip install pyarrow`, or save the table as CSV"
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a {kind} table ({error})") from error
    if not captions:
        raise InputError(f"{path} contains no caption")
    named = f"table {path.name}"
    return [caption if caption.model else replace(caption, model=named) for caption in captions]


def merge_captions(
    path: Path, captions: Iterable[Caption], frames: Mapping[str, int], source: Path
) -> tuple[int, int]:
    """Add captions to a caption file; those of frames captioned before replace the earlier ones.

    Args:
        path: The caption file; written at once, or not at all.
        captions: What to add.
        frames: Frames of each video of the corpus.
        source: The table, for messages.

    Returns:
        Captions added, and captions replaced.

    Raises:
        InputError: If a caption is of a video or frame that the corpus does not have; nothing is written then.
    """
    given = {(caption.video, caption.frame): caption for caption in captions}
    strange = sorted({video for video, _ in given if video not in frames})
    if strange:
        raise InputError(
            f"{source} has captions of {len(strange)} videos that {path.stem} does not list, e.g. {strange[0]!r} (it "
            f"lists {', '.join(sorted(frames)[:3])}, ...); correct the column 'video'"
        )
    beyond = sorted((video, frame) for video, frame in given if frame > frames[video])
    if beyond:
        video, frame = beyond[0]
        raise InputError(
            f"{source} has captions of {len(beyond)} frames past the end, e.g. frame {frame} of {video}, which has "
            f"{frames[video]}; frames count from 1"
        )
    there = (
        {(caption.video, caption.frame): caption for caption in read_captions(path)} if path.is_file() else {}
    )
    replaced = len(there.keys() & given.keys())
    write_captions(path, (there | given).values())
    return len(given) - replaced, replaced


def _from_rows(path: Path, table: pd.DataFrame) -> list[Caption]:
    absent = [name for name in _COLUMNS if name not in table.columns]
    if absent:
        raise InputError(
            f"{path} has no column {absent[0]!r}; it needs {', '.join(_COLUMNS)}, found {list(table.columns)}"
        )
    captions = []
    for number, row in enumerate(table.to_dict("records"), start=1):
        video, frame, text = (row[name] for name in _COLUMNS)
        try:
            whole = int(frame)
        except (TypeError, ValueError):
            whole = 0
        if not video or not isinstance(text, str) or whole < 1 or whole != float(frame):
            raise InputError(
                f"{path}, row {number}: expected a video, a frame from 1 on and a text, found {video!r}, {frame!r}, "
                f"{text!r}"
            )
        captions.append(Caption(str(video), whole, text, str(row.get("model") or "")))
    return captions
