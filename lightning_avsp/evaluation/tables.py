"""Results and comparisons as tables for the terminal, with everything that limits them underneath."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from lightning_avsp.evaluation.compare import Comparison
from lightning_avsp.evaluation.evaluate import Evaluation
from lightning_avsp.evaluation.formatting import Value, heading, interval_text, number, signed
from lightning_avsp.evaluation.statistics import FEW_VIDEOS, Interval

if TYPE_CHECKING:
    from rich.console import Console


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print one row per corpus, reference rows below it, and the counts."""
    protocol = evaluation.protocol
    names: list[str] = []
    records: list[dict[str, Value | str]] = []
    for corpus, summary in evaluation.corpora.items():
        rows = [(corpus, summary)]
        rows += [(f"  {row}", of[corpus]) for row, of in evaluation.references.items() if corpus in of]
        for name, one in rows:
            cells = {
                heading(metric): with_interval(one.metrics[metric].interval) for metric in protocol.metrics
            }
            names.append(name)
            records.append({**cells, "videos / frames": f"{one.videos} / {one.frames}"})
        for row, of_corpora in evaluation.not_computable.items():
            if corpus in of_corpora:
                names.append(f"  {row}")
                records.append({heading(metric): number(None) for metric in protocol.metrics})
    title = (
        f"protocol {protocol.name}, split {evaluation.split}: mean over videos, below it its 95 % interval"
    )
    _print(title, pd.DataFrame(records, index=names).fillna(""), console)
    _print_lines(remarks(evaluation), console)


def remarks(evaluation: Evaluation) -> list[str]:
    """List what limits the numbers: everything missing, skipped, shared, or not computable."""
    lines = []
    few = [corpus for corpus, summary in evaluation.corpora.items() if summary.videos < FEW_VIDEOS]
    if few:
        lines.append(
            f"{', '.join(few)}: fewer than {FEW_VIDEOS} videos, with which bootstrap intervals are too narrow"
        )
    if evaluation.missing:
        lines.append(f"left out: {evaluation.missing.sentence()}")
    if evaluation.unscored:
        lines.append(f"predicted but outside what the protocol scores: {evaluation.unscored} frames")
    if evaluation.shared:
        lines.append(
            "all splits were scored with the same predictions: of one model, which must have seen no test video"
        )
    for corpus, summary in evaluation.corpora.items():
        for treatment, key in (("skipped", "skipped"), ("counted at a fixed value", "zeroed")):
            for name, one in summary.metrics.items():
                counts = ", ".join(f"{count} {reason}" for reason, count in getattr(one, key).items())
                if counts:
                    lines.append(f"{corpus}, {heading(name)}: frames {treatment}: {counts}")
    for row, of_corpora in evaluation.not_computable.items():
        lines += [f"{corpus}, {row}: {reason}" for corpus, reason in of_corpora.items()]
    return lines


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print one row per corpus and metric, and what both do not share."""
    records = [
        {
            "metric": heading(row.metric),
            "first": number(row.first),
            "second": number(row.second),
            "difference": with_interval(row.difference, with_sign=True),
            "videos": str(row.videos),
            "better /\nworse": f"{row.better} / {row.worse}",
            "sign\ntest p": f"{row.p_value:.2g}",
        }
        for row in comparison.rows
    ]
    title = (
        f"protocol {comparison.protocol}: first minus second over shared videos, below it its 95 % interval"
    )
    _print(title, pd.DataFrame(records, index=[row.corpus for row in comparison.rows]), console)
    lines = [f"first: {comparison.first}; second: {comparison.second}"]
    notes = {
        "only the first scored": comparison.only_first,
        "only the second scored": comparison.only_second,
        "different numbers of frames in": comparison.uneven,
    }
    for note, names in notes.items():
        if names:
            lines.append(f"{note} {len(names)}: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}")
    undefined = [
        f"{row.corpus} {heading(row.metric)} {row.undefined}" for row in comparison.rows if row.undefined
    ]
    if undefined:
        lines.append(f"shared videos without a value in one of both: {', '.join(undefined)}")
    _print_lines(lines, console)


def with_interval(interval: Interval, with_sign: bool = False) -> Value:
    """Format a mean with its interval as details."""
    ends = interval_text(interval.low, interval.high, "+" if with_sign else "")
    mean = number(interval.mean, signed(interval.mean) if with_sign else None)
    return Value(mean.text, mean.value, details=ends)


def _print(title: str, frame: pd.DataFrame, console: Console) -> None:
    """Print a table with details below the cells' texts, and a line before each new name that is not indented."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title)
    table.add_column("", no_wrap=True)
    lines = {
        name: [(cell.text, *cell.details) if isinstance(cell, Value) else (str(cell),) for cell in column]
        for name, column in frame.items()
    }
    for name, cells in lines.items():
        # in a narrow terminal headings are cut before numbers
        width = max(len(word) for cell in cells for line in cell for word in line.split(" "))
        table.add_column(str(name), justify="left" if name == "metric" else "right", min_width=width)
    for position, name in enumerate(frame.index):
        if name not in frame.index[:position] and not name.startswith(" "):
            table.add_section()
        row = [cells[position] for cells in lines.values()]
        texts = [[Text(first), *(Text(one, "dim") for one in rest)] for first, *rest in row]
        table.add_row(name, *map(Text("\n").join, texts))
    console.print(table)


def _print_lines(lines: list[str], console: Console) -> None:
    for line in lines:
        console.print(line, highlight=False, markup=False)
