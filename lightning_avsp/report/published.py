"""Published numbers, each with its paper, table, corpus and metric, and where papers disagree.

The numbers lie in ``published.yaml`` beside this file. Two places disagree when they print different values of the
same network (model, inputs and setting), corpus and metric, both rounded to the coarser of their decimals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

import yaml

from lightning_avsp.errors import InputError

Kind = Literal["ablation", "sota", "figure", "prose"]

METRIC_NAMES = {
    "CC": "cc",
    "SIM": "sim",
    "NSS": "nss",
    "AUC-J": "auc_judd",
    "sAUC": "auc_shuffled",
    "KLD": "kld",
    "IG": "information_gain",
}
"""Our names of the metrics that papers print."""
DECIMALS = {"CC": 3, "SIM": 3, "AUC-J": 3, "NSS": 2}
"""Decimals with which papers print a metric; others have those of the number."""
COSTS = {"params_M": "parameters, M", "flops_G": "MACs, G", "memory_G": "memory, GB"}
"""Efficiency figures: their keys, and what they mean. Papers say FLOPs and count multiply-accumulates."""


@dataclass(frozen=True)
class PublishedValue:
    """One number of one cell."""

    paper: str
    """``DiffSal``, ``TAVDiff``, ``MUBiC`` or ``AVRSP``."""
    table: str
    """Number of the table as printed, or the figure or section that holds the number."""
    kind: Kind
    """What the table is: an ablation, a comparison (``sota``), a figure, or prose."""
    row: str
    """Name of the row as printed."""
    index: int
    """Position of the row in the table, from 0."""
    model: str
    """The network's name, the same in all papers."""
    inputs: str
    """What it sees: ``V`` video, ``A`` audio, ``T`` text."""
    setting: str
    """How it differs from the network as proposed; empty for none."""
    corpus: str | None
    """Corpus as printed; None for figures of efficiency."""
    metric: str
    """Metric as printed (``CC``), or a key of :data:`COSTS`."""
    value: float | None
    """The number; None where none is printed."""
    flags: tuple[str, ...] = ()
    """Reasons for care, see :func:`flag_meanings`."""
    disagrees: tuple[str, ...] = ()
    """Other places with another value of the same: ``TAVDiff II: 2.21``."""

    @property
    def place(self) -> str:
        """Where it is printed, e.g. ``DiffSal 6``."""
        return f"{self.paper} {self.table}"

    @property
    def external(self) -> bool:
        """Whether the paper reports somebody else's network."""
        return self.model != self.paper


@dataclass(frozen=True)
class PublishedTable:
    """One table or figure."""

    paper: str
    table: str
    kind: Kind
    title: str
    """What it compares, in our words."""
    metrics: tuple[str, ...]
    corpora: tuple[str, ...]
    note: str
    """What one has to know to read it; may be empty."""
    values: tuple[PublishedValue, ...]
    """Every cell, by row, corpus and metric; efficiency figures after a row's cells."""


def published(
    paper: str | None = None,
    table: str | None = None,
    model: str | None = None,
    corpus: str | None = None,
    metric: str | None = None,
) -> list[PublishedValue]:
    """Published numbers, narrowed down by what is given; upper and lower case are one.

    Args:
        paper: ``DiffSal``, ``TAVDiff``, ``MUBiC`` or ``AVRSP``.
        table: ``6``, ``IV``, ``fig4``: a table or figure as printed.
        model: Name of a network, ours for all papers (``CASP-Net``) or as a row prints it (``CASP(AV)``).
        corpus: ``AVAD``, ``DHF1k`` and so on.
        metric: As printed (``AUC-J``) or by our name (``auc_judd``); or a key of :data:`COSTS`.

    Returns:
        In the order of papers, tables, rows; cells that print nothing have no value.

    Raises:
        InputError: If nothing published has that name.

    Example:
        >>> [value.value for value in published("DiffSal", "6", "CASP-Net", "AVAD", "cc")]
        [0.691]
    """
    found = [value for one in published_tables() for value in one.values]
    wanted: tuple[tuple[str, str | None, Any], ...] = (
        ("paper", paper, lambda value: (value.paper,)),
        ("table", table, lambda value: (value.table,)),
        ("model", model, lambda value: (value.model, value.row)),
        ("corpus", corpus, lambda value: (value.corpus or "",)),
        ("metric", metric, lambda value: (value.metric, METRIC_NAMES.get(value.metric, value.metric))),
    )
    for what, name, names in wanted:
        if name is None:
            continue
        kept = [value for value in found if name.casefold() in (one.casefold() for one in names(value))]
        if not kept:
            known = sorted({names(value)[0] for value in found} - {""})
            raise InputError(f"no {what} {name!r} in what was published; there are {', '.join(known)}")
        found = kept
    return found


@lru_cache(maxsize=1)
def published_tables() -> tuple[PublishedTable, ...]:
    """Every table and figure, in the order of papers."""
    tables = [_table(entry) for entry in _content()["tables"]]
    places: dict[tuple[Any, ...], list[PublishedValue]] = {}
    for table in tables:
        for value in table.values:
            if value.value is not None:
                places.setdefault(_identity(value), []).append(value)
    return tuple(
        replace(table, values=tuple(_compared(value, places) for value in table.values)) for table in tables
    )


def flag_meanings() -> dict[str, str]:
    """What each flag says."""
    return dict(_content()["flags"])


def paper_titles() -> dict[str, str]:
    """Authors and title of each paper, as far as they are known."""
    return dict(_content()["papers"])


def printed(value: float, metric: str) -> str:
    """A number with as many decimals as papers print: three, two for NSS; others as they are."""
    decimals = DECIMALS.get(metric)
    if decimals is None:
        return f"{value:g}"
    return f"{value:.{max(decimals, min(3, _decimals(value)))}f}"


@lru_cache(maxsize=1)
def _content() -> dict[str, Any]:
    text = files("lightning_avsp.report").joinpath("published.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def _table(entry: Mapping[str, Any]) -> PublishedTable:
    values = [value for index, row in enumerate(entry["rows"]) for value in _row(entry, index, row)]
    corpora = tuple(dict.fromkeys(value.corpus for value in values if value.corpus is not None))
    return PublishedTable(
        paper=entry["paper"],
        table=entry["table"],
        kind=entry["kind"],
        title=entry["title"],
        metrics=tuple(entry["metrics"]),
        corpora=corpora,
        note=entry.get("note", ""),
        values=tuple(values),
    )


def _row(entry: Mapping[str, Any], index: int, row: Mapping[str, Any]) -> Iterator[PublishedValue]:
    flags = row.get("flags", {})
    cells: list[tuple[str | None, str, float | None, list[str]]] = [
        (corpus, metric, value, flags.get(corpus, []))
        for corpus, numbers in row.items()
        if corpus not in ("row", "cost", "flags")
        for metric, value in zip(entry["metrics"], numbers, strict=True)
    ]
    cells += [(None, name, value, flags.get("cost", [])) for name, value in row.get("cost", {}).items()]
    for corpus, metric, value, of_cell in cells:
        yield PublishedValue(
            paper=entry["paper"],
            table=entry["table"],
            kind=entry["kind"],
            row=row["row"]["name"],
            index=index,
            model=row["row"]["model"],
            inputs=row["row"]["inputs"],
            setting=row["row"].get("setting", ""),
            corpus=corpus,
            metric=metric,
            value=value,
            flags=tuple(of_cell),
        )


def _identity(value: PublishedValue) -> tuple[Any, ...]:
    """What two values have to share to be values of the same."""
    return (value.model, value.inputs, value.setting, value.corpus, value.metric)


def _compared(
    value: PublishedValue, places: Mapping[tuple[Any, ...], list[PublishedValue]]
) -> PublishedValue:
    if value.value is None:
        return value
    others = [
        f"{other.place}: {printed(other.value, other.metric)}"
        for other in places[_identity(value)]
        if other.value is not None and not _agree(value.value, other.value, value.metric)
    ]
    return replace(value, disagrees=tuple(others))


def _agree(first: float, second: float, metric: str) -> bool:
    decimals = DECIMALS.get(metric, min(_decimals(first), _decimals(second)))
    return abs(round(first, decimals) - round(second, decimals)) < 10.0**-decimals / 2


def _decimals(value: float) -> int:
    text = repr(float(value))
    return 0 if text.endswith(".0") else len(text.partition(".")[2])
