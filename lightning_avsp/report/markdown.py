"""Reports as Markdown: a table per dataset, the order of rows, and what networks cost."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_avsp.report.cells import Cell
from lightning_avsp.report.marks import (
    COST_HEADINGS,
    COST_LEGEND,
    LEGEND,
    arrow,
    column_ranks,
    cost_cells,
    cost_faults,
    difference,
    our_details,
    our_number,
    paper_number,
    progress,
    state,
    summary,
)
from lightning_avsp.report.table import SweepReport


def reports_as_markdown(reports: Sequence[SweepReport]) -> str:
    """All tables, one after another."""
    return "\n".join(_report(report) for report in reports)


def _report(report: SweepReport) -> str:
    synthetic = "SYNTHETIC, " if report.synthetic else ""
    lines = [f"## {escape(report.title)}", "", f"{report.name}: {synthetic}{summary(report)}.", ""]
    for dataset in report.expected.datasets:
        lines += [*_dataset(report, dataset), ""]
    lines += [f"Order of rows: {escape(report.ordering.sentence())}", ""]
    if report.ordering.excluded:
        lines += [f"No targets: {escape(', '.join(report.ordering.excluded))}.", ""]
    reversed_pairs = [pair for pair in report.ordering.pairs if pair.verdict in ("reversed", "undecided")]
    lines += [
        f"- {escape(pair.dataset)}: {escape(pair.better)} should be above {escape(pair.worse)}; ours differ by "
        f"{pair.difference:+.3f} ({'reversed' if pair.verdict == 'reversed' else 'within the interval'})"
        for pair in reversed_pairs
    ] + ([""] if reversed_pairs else [])
    lines += [*_costs(report), ""]
    lines += [f"- {escape(note)}" for note in report.notes] + ([""] if report.notes else [])
    return "\n".join([*lines, f"{LEGEND}.", ""])


def _dataset(report: SweepReport, dataset: str) -> list[str]:
    metrics = report.expected.metrics
    headings = ["row"]
    for metric in metrics:
        headings += [f"{metric} paper", f"{arrow(metric)} ours", f"Δ {metric}"]
    marks = {metric: column_ranks(report, dataset, metric) for metric in metrics}
    rows = []
    for place, row in enumerate(report.rows):
        cells = [escape(row.name)]
        for metric in metrics:
            cell = row.cells[dataset, metric]
            theirs, ours = marks[metric]
            cells += [_marked(paper_number(cell), theirs[place]), _ours(cell, ours[place]), difference(cell)]
        rows.append([*cells, progress(row)])
    return [f"**{escape(dataset)}**", "", *_table([*headings, "runs"], rows)]


def _costs(report: SweepReport) -> list[str]:
    rows = [[escape(row.name), *cost_cells(row)] for row in report.rows]
    notes = [f"- {escape(line)}" for line in cost_faults(report)]
    return [
        *_table(["row", *COST_HEADINGS], rows),
        "",
        *notes,
        *([""] if notes else []),
        f"{COST_LEGEND}.",
    ]


def _ours(cell: Cell, rank: int) -> str:
    if cell.ours is None:
        return state(cell)
    words = [_marked(our_number(cell.ours), rank), *our_details(cell.ours)]
    words += [f"({cell.ours.runs} of {cell.planned} runs)"] if cell.state == "incomplete" else []
    words += ["SYNTHETIC"] if cell.ours.synthetic else []
    return " ".join(word for word in words if word)


def _marked(text: str, rank: int) -> str:
    return {1: f"**{text}**", 2: f"<u>{text}</u>"}.get(rank, text)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def escape(text: str) -> str:
    """Text in which Markdown and HTML see no marks of theirs."""
    for sign in "\\`*_[]<>|":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", " ")
