r"""Reports as LaTeX tables for ``booktabs``: our number over the paper's in every cell."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_avsp.report.cells import Cell
from lightning_avsp.report.marks import (
    COST_HEADINGS,
    COST_LEGEND,
    DIGITS,
    column_ranks,
    cost_cells,
    cost_faults,
    lower_is_better,
    our_number,
    paper_number,
    progress,
    state,
    summary,
)
from lightning_avsp.report.table import SweepReport

HEAD = "% needs \\usepackage{booktabs} and \\usepackage{graphicx}"


def reports_as_latex(reports: Sequence[SweepReport]) -> str:
    """All tables, one after another."""
    return "\n\n".join([HEAD, *(f"{_scores(report)}\n\n{_costs(report)}" for report in reports)]) + "\n"


def _scores(report: SweepReport) -> str:
    datasets, metrics = report.expected.datasets, report.expected.metrics
    spans = " & ".join(rf"\multicolumn{{{len(metrics)}}}{{c}}{{{escape(name)}}}" for name in datasets)
    rules = "".join(
        rf"\cmidrule(lr){{{2 + place * len(metrics)}-{1 + (place + 1) * len(metrics)}}}"
        for place in range(len(datasets))
    )
    arrows = [rf"{escape(name)} $\{'down' if lower_is_better(name) else 'up'}arrow$" for name in metrics]
    body = []
    marks = {(d, m): column_ranks(report, d, m) for d in datasets for m in metrics}
    for place, row in enumerate(report.rows):
        ours = [
            _ours(row.cells[d, m], marks[d, m][1][place]) if not row.expected.external else "--"
            for d in datasets
            for m in metrics
        ]
        theirs = [
            _marked(_dash(paper_number(row.cells[d, m])), marks[d, m][0][place])
            for d in datasets
            for m in metrics
        ]
        body.append(" & ".join([escape(row.name), *ours, _dash(progress(row))]) + r" \\")
        body.append(" & ".join([r"\quad paper", *theirs, ""]) + r" \\[2pt]")
    synthetic = "SYNTHETIC. " if report.synthetic else ""
    caption = (
        f"{synthetic}{report.title}. {summary(report)}. First line: mean over seeds, standard deviation over seeds and "
        f"over splits, 95 % bootstrap interval over videos; second line: as printed. {report.ordering.sentence()}"
    )
    notes = "".join(f" {note[:1].upper()}{note[1:]}." for note in report.notes)
    columns = "l" + "c" * (len(datasets) * len(metrics)) + "r"
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape(caption + notes)}}}",
            rf"\label{{tab:{report.name}}}",
            r"\resizebox{\linewidth}{!}{%",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            rf" & {spans} & \\",
            rules,
            " & ".join(["", *(arrows * len(datasets)), "runs"]) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
        ]
    )


def _costs(report: SweepReport) -> str:
    body = [
        " & ".join([escape(row.name), *(escape(_dash(cell)) for cell in cost_cells(row))]) + r" \\"
        for row in report.rows
    ]
    faults = "".join(f" {line}." for line in cost_faults(report))
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape(f'{report.title}: cost. {COST_LEGEND}.{faults}')}}}",
            r"\resizebox{\linewidth}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * len(COST_HEADINGS)}}}",
            r"\toprule",
            " & ".join(["", *(escape(name) for name in COST_HEADINGS)]) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
        ]
    )


def _ours(cell: Cell, rank: int) -> str:
    ours = cell.ours
    if ours is None:
        return escape(state(cell)) or "--"
    text = _marked(our_number(ours), rank)
    spreads = [ours.seed_spread, ours.split_spread]
    if any(spread is not None for spread in spreads):
        text += r" {\scriptsize$\pm$ " + " / ".join(_spread(spread) for spread in spreads) + "}"
    if ours.interval.low == ours.interval.low:
        ends = f"[{ours.interval.low:.{DIGITS}f}, {ours.interval.high:.{DIGITS}f}]"
        text += rf" {{\scriptsize {ends}}}"
    text += rf" {{\scriptsize ({ours.runs} of {cell.planned} runs)}}" if cell.state == "incomplete" else ""
    return text + (r" {\scriptsize SYNTHETIC}" if ours.synthetic else "")


def _marked(text: str, rank: int) -> str:
    return {1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}.get(rank, text)


def _spread(value: float | None) -> str:
    return "--" if value is None else f"{value:.{DIGITS}f}"


def _dash(text: str) -> str:
    return "--" if text == "–" else text


_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "–": "--",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
}


def escape(text: str) -> str:
    """Text in which LaTeX sees no commands."""
    return "".join(_SPECIAL.get(sign, sign) for sign in text.replace("\n", " "))
