"""Sections of the report's page: tables that can be sorted, the order of rows, and the leaderboard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from lightning_avsp.report.board_text import NOTE, board_ranks, numbers
from lightning_avsp.report.cells import Cell
from lightning_avsp.report.leaderboard import Entry, Leaderboard
from lightning_avsp.report.marks import (
    COST_HEADINGS,
    COST_LEGEND,
    DIGITS,
    arrow,
    column_ranks,
    cost_cells,
    cost_faults,
    difference,
    lower_is_better,
    our_details,
    our_number,
    paper_number,
    progress,
    state,
)
from lightning_avsp.report.ordering import OrderingResult
from lightning_avsp.report.table import ReportRow, SweepReport

SYNTHETIC = '<span class="synthetic">SYNTHETIC</span>'


@dataclass(frozen=True)
class Heading:
    """A column that can be sorted."""

    text: str
    descending: bool = False
    """Whether larger values come first when it is pressed."""
    words: bool = False
    """Whether the column holds text."""


def sortable(caption: str, headings: Sequence[Heading], rows: Sequence[str], silent: bool = False) -> str:
    """A table with a button in every heading.

    Args:
        caption: Plain text.
        headings: Of the columns.
        rows: ``<tr>`` elements.
        silent: Whether the caption is only read out, as a heading above says the same.
    """
    head = "".join(map(_heading, headings))
    label = escape(caption, quote=True)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table class="sortable">'
        f"<caption{' class=unseen' if silent else ''}>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _heading(heading: Heading) -> str:
    first = "descending" if heading.descending else "ascending"
    return (
        f'<th scope="col"{" class=text" if heading.words else ""} data-first="{first}">'
        f'<button type="button">{escape(heading.text)}</button></th>'
    )


def dataset_table(report: SweepReport, dataset: str) -> str:
    """The paper's rows on one dataset."""
    metrics = report.expected.metrics
    headings = [Heading("row")]
    for metric in metrics:
        best = not lower_is_better(metric)
        headings += [Heading(f"{metric} paper", best), Heading(f"{arrow(metric)} ours", best)]
        headings += [Heading(f"Δ {metric}", best)]
    marks = {metric: column_ranks(report, dataset, metric) for metric in metrics}
    rows = []
    for place, row in enumerate(report.rows):
        cells = []
        for metric in metrics:
            cell = row.cells[dataset, metric]
            theirs, ours = marks[metric]
            cells.append(_number(cell.paper, _marked(paper_number(cell), theirs[place])))
            cells.append(_ours(cell, ours[place]))
            cells.append(_number(cell.difference, difference(cell)))
        rows.append(_row(row, "".join(cells) + _progress(row)))
    return sortable(dataset, [*headings, Heading("runs", True)], rows)


def cost_table(report: SweepReport) -> str:
    """What each row's network costs."""
    rows = [
        _row(row, "".join(_number(_value(text), escape(text)) for text in cost_cells(row)))
        for row in report.rows
    ]
    notes = "".join(f"<li>{escape(line)}</li>" for line in cost_faults(report))
    table = sortable("Cost", [Heading("row"), *(Heading(text) for text in COST_HEADINGS)], rows, silent=True)
    return (
        f'{table}<p class="quiet">{escape(COST_LEGEND)}.</p>'
        f"{f'<ul class=notes>{notes}</ul>' if notes else ''}"
    )


def order_section(ordering: OrderingResult) -> str:
    """Whether the paper's order of rows holds, and every pair."""
    verdicts = {"holds": "good", "reversed": "bad", "undecided": "warn", "missing": "absent"}
    rows = [
        f'<tr><th scope="row">{escape(pair.better)}</th><td class="text">{escape(pair.worse)}</td>'
        f'<td class="text">{escape(pair.dataset)}</td>'
        f'<td class="text"><span class="{verdicts[pair.verdict]}">{pair.verdict}</span></td>'
        f"{_number(_known(pair.difference), _interval(pair.difference, pair.low, pair.high))}</tr>"
        for pair in ordering.pairs
    ]
    texts = ("the paper's better row", "its worse row", "dataset", "in ours")
    headings = [Heading(text, words=True) for text in texts]
    headings.append(Heading(f"difference in {ordering.metric} [95 % interval]", True))
    excluded = (
        f'<p class="quiet">No targets: {escape(", ".join(ordering.excluded))}.</p>'
        if ordering.excluded
        else ""
    )
    mark = f"{SYNTHETIC} " if ordering.synthetic else ""
    sentence = escape(ordering.sentence().removeprefix("SYNTHETIC: "))
    table = sortable("Pairs of rows", headings, rows, silent=True)
    detail = f"<details><summary>All pairs: {len(rows)}</summary>{table}</details>" if rows else ""
    return f"<p>{mark}{sentence}</p>{excluded}{detail}"


def board_section(board: Leaderboard) -> str:
    """The leaderboard."""
    ranks = board_ranks(board)
    headings = [Heading("rank"), Heading("model", words=True)]
    headings += [Heading(arrow(metric), not lower_is_better(metric)) for metric in board.metrics]
    headings += [Heading("printed in", words=True), Heading("care", words=True)]
    rows = [
        _entry(board, entry, [ranks[metric][place] for metric in board.metrics])
        for place, entry in enumerate(board.entries)
    ]
    title = f"{board.corpus}, by {board.metric}"
    found = sortable(title, headings, rows, silent=True)
    if board.aside:
        aside = [_entry(board, entry, [0] * len(board.metrics)) for entry in board.aside]
        found += f"<h3>Not ranked</h3>{sortable(f'{board.corpus}: not ranked', headings, aside, silent=True)}"
    return (
        f'<section id="leaderboard"><h2>Leaderboard: {escape(title)}</h2>'
        f'<p class="quiet">{escape(NOTE.replace("`", ""))}</p>{found}</section>'
    )


def _entry(board: Leaderboard, entry: Entry, ranks: Sequence[int]) -> str:
    cells = "".join(
        _number(entry.values.get(metric), _marked(*_split(text, rank)))
        for metric, text, rank in zip(board.metrics, numbers(board, entry), ranks, strict=True)
    )
    name = escape(entry.name) + (' <span class="badge good">ours</span>' if entry.ours else "")
    name += f" {SYNTHETIC}" if entry.synthetic else ""
    places = entry.places if not entry.ours or len(entry.places) < 3 else (f"{len(entry.places)} results",)
    return (
        f"<tr>{_number(entry.rank, '–' if entry.rank is None else str(entry.rank))}"
        f'<th scope="row">{name}</th>{cells}<td class="text">{"<br>".join(map(escape, places))}</td>'
        f'<td class="text">{"<br>".join(map(escape, entry.flags))}</td></tr>'
    )


def _split(text: str, rank: int) -> tuple[str, int, str]:
    """Number, rank, and what stands below the number."""
    number, _, details = text.partition(" ")
    return number, rank, details


def _row(row: ReportRow, cells: str) -> str:
    return f'<tr><th scope="row">{escape(row.name)}</th>{cells}</tr>'


def _ours(cell: Cell, rank: int) -> str:
    if cell.ours is None:
        return f'<td class="ours" data-value=""><span class="absent">{escape(state(cell))}</span></td>'
    below = [*our_details(cell.ours)]
    if cell.state == "incomplete":
        below.append(f"{cell.ours.runs} of {cell.planned} runs")
    text = _marked(our_number(cell.ours), rank, *below)
    if cell.ours.synthetic:
        text += SYNTHETIC
    return f'<td class="ours cell" data-value="{cell.ours.interval.mean:.6g}">{text}</td>'


def _progress(row: ReportRow) -> str:
    share = len(row.outcomes) / row.planned if row.planned and not row.expected.external else None
    return _number(share, progress(row))


def _number(value: float | None, text: str) -> str:
    """A cell that sorts by its value; without one it comes last."""
    return f'<td data-value="{"" if value is None else f"{value:.6g}"}">{text}</td>'


def _marked(text: str, rank: int, *below: str) -> str:
    style = {1: "first", 2: "second"}.get(rank)
    number = escape(text) if style is None else f'<span class="{style}">{escape(text)}</span>'
    return number + "".join(f'<span class="details">{escape(line)}</span>' for line in below if line)


def _interval(mean: float, low: float, high: float) -> str:
    if math.isnan(mean):
        return "–"
    ends = "" if math.isnan(low) else f" [{low:+.{DIGITS}f}, {high:+.{DIGITS}f}]"
    return f"{mean:+.{DIGITS}f}{ends}"


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _value(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
