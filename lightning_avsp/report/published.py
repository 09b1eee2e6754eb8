"""Published numbers, each with its paper, table, corpus and metric, and where papers disagree.

The numbers are stored in ``tables/<paper>.yaml`` beside this file. A table has an ``id``: the sweep file of that name
reproduces the paper's own rows, in their order. A row lists its values by corpus, in the order of the table's metrics
(null: not printed); ``epoch`` that of numbers along a training, 0 for the last; ``cost`` its parameters in millions,
"FLOPs" (multiply-accumulates) and memory in units of 1e9; ``row`` the printed name and the network behind it: model,
inputs and setting, left out for the network as proposed.
Two places disagree when they print different values of the same network, corpus and metric, both rounded to the
coarser of their decimals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

import pandas as pd
import yaml

from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.formatting import METRIC_NAMES

PAPERS = ("diffsal", "tavdiff", "mubic", "avrsp")
"""Files of tables, in order."""
DECIMALS = {"CC": 3, "SIM": 3, "AUC-J": 3, "NSS": 2}
"""Decimals with which papers print a metric; others have those of the number."""
COSTS = {"params_M": "parameters, M", "flops_G": "MACs, G", "memory_G": "memory, GB"}
"""Printed efficiency figures with their units. Papers write FLOPs and count multiply-accumulates."""
FLAGS = {
    "suspect": "contradicts the paper's text or another source by so much that it looks like a misprint",
    "duplicate": "equal in every number to another network's row; one of them looks like a copy",
    "misprint": "a point or digit is misprinted; read as the same number is printed elsewhere",
    "derived": "not printed; computed from the text",
    "approximate": "approximate, by the text",
    "taken_over": "printed elsewhere for the same network; here it is a plot or a default",
    "plot_only": "shown in a plot without numbers",
    "not_printed": "named in the text without a number",
    "row_assumed": "which row of the table has this name is not certain",
    "corpus_assumed": "the paper does not name the corpus",
}
"""Caveats of printed numbers with their meaning."""
SAME = ["model", "inputs", "setting", "corpus", "metric"]
"""Columns that two values share if they are values of the same."""


@dataclass(frozen=True)
class Course:
    """Place of our numbers of a table that is printed along a training: the training courses of a sweep's row."""

    sweep: str
    """Name of the sweep file."""
    row: str
    """Its row, as printed in the table that the sweep reproduces."""
    quantity: str
    """Column of the runs' metrics files; ``{metric}`` stands for our name of the cell's metric."""
    scale: float = 1.0
    """Factor to the paper's size."""


@dataclass(frozen=True)
class PublishedTable:
    """One table or figure."""

    id: str
    """Name of the sweep file that reproduces it, unless it has a :class:`Course`."""
    paper: str
    """``DiffSal``, ``TAVDiff``, ``MUBiC`` or ``AVRSP``."""
    table: str
    """Number of the table as printed, or the figure or section that holds the numbers."""
    source: str
    """Paper and place in it: ``DiffSal table 6``."""
    kind: Literal["ablation", "sota", "figure", "prose"]
    title: str
    metrics: tuple[str, ...]
    cells: pd.DataFrame
    """One record for each cell, with the columns of :func:`published`."""
    note: str = ""
    """Caveats of the whole table; may be empty."""
    course: Course | None = None
    """Place of our numbers if they are no scores of tests, but values along a training."""

    official: str = ""
    """Experiment whose tests of official checkpoints stand below the paper's own row; empty for none."""

    @property
    def corpora(self) -> tuple[str, ...]:
        """Corpora as printed, in order."""
        return tuple(corpus for corpus in self.cells.corpus.unique() if corpus)

    @property
    def rows(self) -> pd.DataFrame:
        """``external`` and ``sweep_index`` (-1 for a row that no sweep reproduces) by name of row."""
        return self.cells.drop_duplicates("row").set_index("row")[["external", "sweep_index"]]

    @property
    def sweep(self) -> str:
        """Name of the sweep file whose runs fill it."""
        return self.id if self.course is None else self.course.sweep

    @property
    def order_metric(self) -> str | None:
        """The metric by which rows are expected in the paper's order; None for numbers along a training."""
        if self.course is not None:
            return None
        return "CC" if "CC" in self.metrics else self.metrics[0]


def published(
    paper: str | None = None,
    table: str | None = None,
    model: str | None = None,
    corpus: str | None = None,
    metric: str | None = None,
) -> pd.DataFrame:
    """Return published numbers, filtered by any of the arguments; case is ignored.

    Args:
        paper: ``DiffSal``, ``TAVDiff``, ``MUBiC`` or ``AVRSP``.
        table: ``6``, ``IV``, ``fig4``: a table or figure as printed.
        model: Name of a network, ours for all papers (``CASP-Net``) or as a row prints it (``CASP(AV)``).
        corpus: ``AVAD``, ``DHF1k`` and so on.
        metric: As printed (``AUC-J``) or by our name (``auc_judd``); or a key of :data:`COSTS`.

    Returns:
        One record for each cell, in the order of papers, tables, rows: ``paper``, ``table``, ``place`` (``DiffSal
        6``), ``kind``, ``row`` as printed, ``model`` (one name in all papers), ``inputs`` (V video, A audio, T text),
        ``setting``, ``corpus`` (empty for efficiency figures), ``metric``, ``value`` (NaN: not printed), ``flags``
        (keys of :data:`FLAGS`), ``disagrees`` (other places with another value of the same: ``TAVDiff II: 2.21``),
        ``external`` (somebody else's network), ``sweep_index`` (position in the sweep's rows, else -1), and ``epoch``
        (of a number along a training; 0 for its last, and in other tables).

    Raises:
        InputError: If nothing published has that name.

    Example:
        >>> published("DiffSal", "6", "CASP-Net", "AVAD", "cc").value.tolist()
        [0.691]
    """
    found = pd.concat([one.cells for one in published_tables().values()], ignore_index=True)
    wanted = {"paper": paper, "table": table, "model": model, "corpus": corpus, "metric": metric}
    for column, name in wanted.items():
        if name is None:
            continue
        other = {"model": found.row, "metric": found.metric.replace(METRIC_NAMES)}.get(column, found[column])
        fits = [
            name.casefold() in (a.casefold(), b.casefold()) for a, b in zip(found[column], other, strict=True)
        ]
        if not any(fits):
            known = sorted(set(found[column]) - {""})
            raise InputError(
                f"no {column} {name!r} among the published numbers; there are {', '.join(known)}"
            )
        found = found[fits]
    return found


@lru_cache(maxsize=1)
def published_tables() -> dict[str, PublishedTable]:
    """Read every table and figure by its id, in the order of papers."""
    tables: list[PublishedTable] = []
    for name in PAPERS:
        # from inside the package, so that an installed wheel has them too
        text = files("lightning_avsp.report").joinpath("tables", f"{name}.yaml").read_text(encoding="utf-8")
        content = yaml.safe_load(text)
        tables += [parse_table(content["paper"], entry) for entry in content["tables"]]
    # only values of the same network, corpus and metric are compared
    same = dict(list(pd.concat([table.cells for table in tables]).dropna(subset="value").groupby(SAME)))

    def disagreements(cell: Any) -> str:
        others = same.get(tuple(cell[SAME]), pd.DataFrame(columns=["place", "value"]))
        return "; ".join(
            f"{place}: {printed(value, cell.metric)}"
            for place, value in zip(others.place, others.value, strict=True)
            if cell.value == cell.value and not _agree(cell.value, value, cell.metric)  # NaN: nothing printed
        )

    compared = [table.cells.assign(disagrees=table.cells.apply(disagreements, axis=1)) for table in tables]
    # only all papers together show who disagrees
    return {table.id: replace(table, cells=cells) for table, cells in zip(tables, compared, strict=True)}


def parse_table(paper: str, content: Mapping[str, Any]) -> PublishedTable:
    """Read one table of a file of tables.

    Args:
        paper: The paper's name: rows of other models are external.
        content: The table's keys.
    """
    records = []
    own = 0
    for row in content["rows"]:
        network, flags = row["row"], row.get("flags", {})
        external = network["model"] != paper
        # rows of a sweep are counted in the order of the paper's own rows
        reproduced = not external and "course" not in content
        common = {
            "paper": paper,
            "table": content["table"],
            "place": f"{paper} {content['table']}",
            "kind": content["kind"],
            "row": network["name"],
            "model": network["model"],
            "inputs": network["inputs"],
            "setting": network.get("setting", ""),
            "external": external,
            "sweep_index": own if reproduced else -1,
            "epoch": row.get("epoch", 0),
        }
        own += reproduced
        for corpus, values in row.items():
            if corpus in ("row", "flags", "epoch"):
                continue
            cost = corpus == "cost"
            numbers = values if cost else dict(zip(content["metrics"], values, strict=True))
            cell = {
                "corpus": "" if cost else corpus,
                "flags": "; ".join(flags.get(corpus, ())),
                "disagrees": "",
            }
            records += [
                common | cell | {"metric": metric, "value": float("nan") if value is None else float(value)}
                for metric, value in numbers.items()
            ]
    own_keys = {key: value for key, value in content.items() if key not in ("metrics", "rows")}
    if "course" in content:
        own_keys["course"] = Course(**content["course"])
    return PublishedTable(
        paper=paper, metrics=tuple(content["metrics"]), cells=pd.DataFrame(records), **own_keys
    )


def printed(value: float, metric: str) -> str:
    """Format a number with as many decimals as papers print: three, two for NSS; others as they are."""
    decimals = DECIMALS.get(metric)
    if decimals is None:
        return f"{value:g}"
    # a third decimal of NSS is kept where a paper prints one
    return f"{value:.{max(decimals, min(3, _decimals(value)))}f}"


def _agree(first: float, second: float, metric: str) -> bool:
    decimals = DECIMALS.get(metric, min(_decimals(first), _decimals(second)))
    # half a unit: rounded floats of the same number differ in their last bits
    return abs(round(first, decimals) - round(second, decimals)) < 10.0**-decimals / 2


def _decimals(value: float) -> int:
    # the shortest that reads back as the same float, so the decimals as printed
    text = repr(float(value))
    return 0 if text.endswith(".0") else len(text.partition(".")[2])
