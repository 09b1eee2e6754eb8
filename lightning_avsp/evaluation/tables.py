"""Results and comparisons as tables for the terminal, with everything that limits them underneath."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from lightning_avsp.evaluation.compare import Comparison
from lightning_avsp.evaluation.evaluate import Evaluation
from lightning_avsp.evaluation.formatting import Value, heading, number, print_table, shorten, with_interval
from lightning_avsp.evaluation.statistics import FEW_VIDEOS

if TYPE_CHECKING:
    from rich.console import Console


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print one row per corpus, reference rows below it, and the counts."""
    protocol = evaluation.protocol
    records: list[tuple[str, dict[str, Value | str]]] = []
    for corpus, summary in evaluation.corpora.items():
        rows = [(corpus, summary)]
        rows += [(f"  {row}", of[corpus]) for row, of in evaluation.references.items() if corpus in of]
        for name, one in rows:
            cells = {heading(metric): with_interval(one.metrics[metric]) for metric in protocol.metrics}
            records.append((name, {**cells, "videos / frames": f"{one.videos} / {one.frames}"}))
        unknown: dict[str, Value | str] = {heading(metric): number(None) for metric in protocol.metrics}
        records += [(f"  {row}", unknown) for row, of in evaluation.not_computable.items() if corpus in of]
    frame = pd.DataFrame([cells for _, cells in records], index=[name for name, _ in records]).fillna("")
    title = (
        f"protocol {protocol.name}, split {evaluation.split}: mean over videos, below it its 95 % interval"
    )
    print_table(title, frame, console)
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
        for name, one in summary.metrics.items():
            for treatment, by_reason in (("skipped", one.skipped), ("counted at a fixed value", one.zeroed)):
                if by_reason:
                    counts = ", ".join(f"{count} {reason}" for reason, count in by_reason.items())
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
            "difference": with_interval(row.difference, sign=True),
            "videos": str(row.videos),
            "better /\nworse": f"{row.better} / {row.worse}",
            "sign\ntest p": f"{row.p_value:.2g}",
        }
        for row in comparison.rows
    ]
    title = (
        f"protocol {comparison.protocol}: first minus second over shared videos, below it its 95 % interval"
    )
    print_table(title, pd.DataFrame(records, index=[row.corpus for row in comparison.rows]), console)
    lines = [f"first: {comparison.first}; second: {comparison.second}"]
    notes = {
        "only the first scored": comparison.only_first,
        "only the second scored": comparison.only_second,
        "different numbers of frames in": comparison.uneven,
    }
    lines += [f"{note} {len(names)}: {shorten(names)}" for note, names in notes.items() if names]
    undefined = [
        f"{row.corpus} {heading(row.metric)} {row.undefined}" for row in comparison.rows if row.undefined
    ]
    if undefined:
        lines.append(f"shared videos without a value in one of both: {', '.join(undefined)}")
    _print_lines(lines, console)


def _print_lines(lines: list[str], console: Console) -> None:
    for line in lines:
        console.print(line, highlight=False, markup=False)
