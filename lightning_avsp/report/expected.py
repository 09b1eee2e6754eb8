"""What a paper prints for a sweep: the file ``<sweep>.expected.yaml`` beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lightning_avsp.errors import InputError


@dataclass(frozen=True)
class ExpectedRow:
    """One row of the paper's table."""

    name: str
    """As printed."""
    index: int | None
    """Position in the sweep's list of rows; None for a row that no run reproduces."""
    values: Mapping[str, Mapping[str, float | None]]
    """Printed numbers by dataset and metric; None where none is printed."""
    efficiency: Mapping[str, float | None]
    """Printed ``params_M``, ``flops_G``, ``memory_G``, as far as they are."""
    external: bool
    """Whether the paper copies it from others."""
    flags: tuple[str, ...]
    """Reasons for care."""

    def printed(self, dataset: str, metric: str) -> float | None:
        """The paper's number of a cell."""
        return self.values.get(dataset, {}).get(metric)


@dataclass(frozen=True)
class Ordering:
    """Which cells are to come out in the paper's order."""

    metric: str
    datasets: tuple[str, ...]
    exclude: tuple[tuple[str, str | None, str | None], ...] = ()
    """(row, dataset or None for all, metric or None for all) that is no target."""

    def excludes(self, row: str, dataset: str) -> bool:
        """Whether a row is no target on a dataset."""
        return any(
            name == row and of in (None, dataset) and metric in (None, self.metric)
            for name, of, metric in self.exclude
        )


@dataclass(frozen=True)
class Expected:
    """The paper's table."""

    path: Path
    paper: str
    table: str
    kind: str
    title: str
    source: str
    metrics: tuple[str, ...]
    datasets: tuple[str, ...]
    rows: tuple[ExpectedRow, ...]
    ordering: Ordering | None
    notes: str = ""

    @property
    def costs(self) -> tuple[str, ...]:
        """Keys of the efficiency figures that the paper prints for any row."""
        return tuple(dict.fromkeys(key for row in self.rows for key in row.efficiency))


def expected_path(sweep: Path) -> Path:
    """Where the printed rows of a sweep file lie."""
    return sweep.with_name(f"{sweep.stem}.expected.yaml")


def read_expected(path: Path) -> Expected:
    """Printed rows.

    Args:
        path: The file with them, see :func:`expected_path`.

    Raises:
        InputError: If it is missing or lacks something; the message says what.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"no printed rows at {path}: {error.strerror}; a report needs them beside the sweep file"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    try:
        return _expected(path, content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path} lacks something or has it in another form ({type(error).__name__}: {error}); it needs paper, "
            "table, kind, title, metrics, datasets and rows, each with name, index and values"
        ) from error


def _expected(path: Path, content: Mapping[str, Any]) -> Expected:
    rows = tuple(
        ExpectedRow(
            name=str(row["name"]),
            index=None if row.get("index") is None else int(row["index"]),
            values={
                str(dataset): {str(metric): _number(value) for metric, value in (metrics or {}).items()}
                for dataset, metrics in (row.get("values") or {}).items()
            },
            efficiency={str(key): _number(value) for key, value in (row.get("efficiency") or {}).items()},
            external=bool(row.get("external", False)),
            flags=tuple(_text(flag) for flag in row.get("flags") or ()),
        )
        for row in content["rows"]
    )
    ordering = content.get("ordering")
    return Expected(
        path=path,
        paper=str(content["paper"]),
        table=str(content["table"]),
        kind=str(content["kind"]),
        title=str(content["title"]),
        source=str(content.get("source", "")),
        metrics=tuple(str(name) for name in content["metrics"]),
        datasets=tuple(str(name) for name in content["datasets"]),
        rows=rows,
        ordering=None if not ordering else _ordering(ordering, tuple(map(str, content["datasets"]))),
        notes=str(content.get("notes") or ""),
    )


def _ordering(content: Mapping[str, Any], datasets: tuple[str, ...]) -> Ordering:
    exclude: list[tuple[str, str | None, str | None]] = []
    for entry in content.get("exclude") or ():
        if isinstance(entry, str):
            exclude.append((entry, None, None))
            continue
        of = entry.get("datasets", entry.get("dataset"))
        metric = entry.get("metric")
        several = of if isinstance(of, list) else [of]
        exclude += [
            (str(name), None if one is None else str(one), None if metric is None else str(metric))
            for name in (entry["rows"] if "rows" in entry else [entry["row"]])
            for one in several
        ]
    return Ordering(
        metric=str(content["metric"]),
        datasets=tuple(map(str, content.get("datasets") or datasets)),
        exclude=tuple(exclude),
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _text(flag: Any) -> str:
    if isinstance(flag, Mapping):
        return "; ".join(f"{key}: {value}" for key, value in flag.items())
    return str(flag)
