"""Results and comparisons as tables for the terminal, everything that limits them said underneath."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lightning_avsp.evaluation.compare import Comparison
from lightning_avsp.evaluation.evaluate import Evaluation
from lightning_avsp.evaluation.statistics import Interval
from lightning_avsp.metrics.functional.scores import LOWER_IS_BETTER

if TYPE_CHECKING:
    from rich.console import Console

TITLES = {
    "cc": "CC",
    "sim": "SIM",
    "nss": "NSS",
    "auc_judd": "AUC-J",
    "auc_shuffled": "sAUC",
    "auc_shuffled_exact": "sAUC exact",
    "kld": "KLD",
    "information_gain": "IG",
}

FEW_VIDEOS = 10
"""Below so many, percentile intervals hold the true mean clearly less often than they say."""


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """One row per corpus, reference rows below it, and the counts."""
    from rich.table import Table

    protocol = evaluation.protocol
    wide = console.width >= 42 + 17 * len(protocol.metrics)
    table = Table(
        title=f"protocol {protocol.name}, split {evaluation.split}: mean over videos, below it its 95 % interval"
    )
    table.add_column("", no_wrap=True)
    for name in protocol.metrics:
        table.add_column(heading(name), justify="right")
    table.add_column("videos / frames", justify="right")
    for corpus, summary in evaluation.corpora.items():
        rows = [(corpus, summary)]
        rows += [(f"  {row}", of[corpus]) for row, of in evaluation.references.items() if corpus in of]
        for label, one in rows:
            cells = [with_interval(one.metrics[name].interval, wide) for name in protocol.metrics]
            table.add_row(label, *cells, f"{one.videos} / {one.frames}")
        for row, of_corpora in evaluation.not_computable.items():
            if corpus in of_corpora:
                table.add_row(f"  {row}", *("-" for _ in protocol.metrics), "")
        table.add_section()
    console.print(table)
    for line in remarks(evaluation):
        console.print(line, highlight=False, markup=False)


def remarks(evaluation: Evaluation) -> list[str]:
    """What a reader of the numbers has to know: what was missing, skipped, shared, or not computable."""
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
        for what, of in (("skipped", "skipped"), ("counted at a fixed value", "zeroed")):
            counts = {
                heading(name): getattr(one, of) for name, one in summary.metrics.items() if getattr(one, of)
            }
            for name, reasons in counts.items():
                named = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
                lines.append(f"{corpus}, {name}: frames {what}: {named}")
    for row, of_corpora in evaluation.not_computable.items():
        lines += [f"{corpus}, {row}: {reason}" for corpus, reason in of_corpora.items()]
    return lines


def print_comparison(comparison: Comparison, console: Console) -> None:
    """One row per corpus and metric, and what both do not share."""
    from rich.table import Table

    table = Table(
        title=f"protocol {comparison.protocol}: first minus second over shared videos, below it its 95 % interval"
    )
    for column in (
        "",
        "metric",
        "first",
        "second",
        "difference",
        "videos",
        "better /\nworse",
        "sign\ntest p",
    ):
        # an interval that is cut short says nothing: headings give way first
        whole = column in ("difference", "sign\ntest p")
        table.add_column(column, justify="left" if column in ("", "metric") else "right", no_wrap=whole)
    for row in comparison.rows:
        table.add_row(
            row.corpus,
            heading(row.metric),
            number(row.first),
            number(row.second),
            with_interval(row.difference, signed=True),
            str(row.videos),
            f"{row.better} / {row.worse}",
            f"{row.p_value:.2g}",
        )
    console.print(table)
    console.print(f"first: {comparison.first}; second: {comparison.second}", highlight=False, markup=False)
    notes = (
        ("only the first scored", comparison.only_first),
        ("only the second scored", comparison.only_second),
        ("different numbers of frames in", comparison.uneven),
    )
    for what, names in notes:
        if names:
            shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            console.print(f"{what} {len(names)}: {shown}", highlight=False, markup=False)
    undefined = {row.metric: row.undefined for row in comparison.rows if row.undefined}
    if undefined:
        named = ", ".join(f"{heading(name)} {count}" for name, count in undefined.items())
        console.print(f"shared videos without a value in one of both: {named}", highlight=False, markup=False)


def heading(name: str) -> str:
    """A metric's short name with the direction that is better."""
    return f"{TITLES.get(name, name)} {'↓' if name in LOWER_IS_BETTER else '↑'}"


def with_interval(interval: Interval, wide: bool = True, signed: bool = False) -> str:
    """The mean, below it the interval where there is one, its ends on a line each unless ``wide``; a dash for none."""
    if math.isnan(interval.mean):
        return "-"
    mean = number(interval.mean, signed)
    if math.isnan(interval.low):
        return mean
    between = ".." if wide else "\n"
    return f"{mean}\n[dim]{number(interval.low, signed)}{between}{number(interval.high, signed)}[/dim]"


def number(value: float, signed: bool = False) -> str:
    """Three decimals, without a sign before zero; or a dash."""
    return "-" if math.isnan(value) else f"{round(value, 3) + 0.0:{'+' if signed else ''}.3f}"
