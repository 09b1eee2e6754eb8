"""The report as one page that asks for nothing from outside: style, script, curves and pictures are inside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime, timezone
from html import escape
from importlib.resources import files

from lightning_avsp import __version__
from lightning_avsp.report.curves import as_svg, read_charts
from lightning_avsp.report.leaderboard import Leaderboard
from lightning_avsp.report.marks import LEGEND, summary
from lightning_avsp.report.page_tables import (
    SYNTHETIC,
    board_section,
    cost_table,
    dataset_table,
    order_section,
)
from lightning_avsp.report.strips import Strip, StripReader
from lightning_avsp.report.table import SweepReport


def render_page(reports: Sequence[SweepReport], board: Leaderboard | None = None) -> str:
    """The whole page.

    Args:
        reports: Tables, in order.
        board: Leaderboard, after them.

    Raises:
        InputError: If curves of a run cannot be read.
    """
    style, script = (_asset(name) for name in ("page.css", "page.js"))
    policy = f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    strips = StripReader()
    sections = [_section(report, strips) for report in reports]
    sections += [board_section(board)] if board is not None else []
    synthetic = any(report.synthetic for report in reports) or (
        board is not None and any(entry.synthetic for entry in board.aside)
    )
    warning = (
        f"<p>{SYNTHETIC}: numbers with this word are of generated corpora and say nothing about the papers'.</p>"
        if synthetic
        else ""
    )
    written = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    title = "Published and measured saliency results"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy, quote=True)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{style}</style></head><body>"
        f'<a class="skip" href="#content">To the tables</a><header><h1>{title}</h1>'
        f'<p class="quiet">lightning-avsp {escape(__version__)}, written {written}</p>{warning}</header>'
        f'{_navigation(reports, board)}<main id="content">'
        f'<p class="quiet">{escape(LEGEND[:1].upper() + LEGEND[1:])}. A heading sorts its table.</p>'
        f'{"".join(sections)}</main><p class="unseen" id="sorted" role="status" aria-live="polite"></p>'
        f"<script>{script}</script></body></html>\n"
    )


def _navigation(reports: Sequence[SweepReport], board: Leaderboard | None) -> str:
    items = [
        f'<li><a href="#{escape(report.name, quote=True)}">{escape(report.title)}</a>{_badge(report)}</li>'
        for report in reports
    ]
    if board is not None:
        items.append(f'<li><a href="#leaderboard">Leaderboard: {escape(board.corpus)}</a></li>')
    return f'<nav aria-label="Tables"><ul>{"".join(items)}</ul></nav>'


def _section(report: SweepReport, reader: StripReader) -> str:
    name = escape(report.name, quote=True)
    tables = "".join(dataset_table(report, one) for one in report.expected.datasets)
    notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    charts = "".join(
        as_svg(chart, f"{name}-chart{number}") for number, chart in enumerate(read_charts(report))
    )
    strips = "".join(_strip(strip) for strip in reader.of(report))
    return (
        f'<section id="{name}"><h2>{escape(report.title)}</h2>'
        f'<p class="status">{_badge(report)}{SYNTHETIC if report.synthetic else ""}'
        f'<span class="quiet">{escape(summary(report))} · {escape(report.name)}</span></p>'
        f"{f'<ul class=notes>{notes}</ul>' if notes else ''}{tables}"
        f"<h3>Order of rows</h3>{order_section(report.ordering)}"
        f"<h3>Cost</h3>{cost_table(report)}"
        f"{f'<h3>Curves</h3><div class=charts>{charts}</div>' if charts else ''}"
        f"{f'<h3>Samples</h3>{strips}' if strips else ''}</section>"
    )


def _strip(strip: Strip) -> str:
    mark = f" {SYNTHETIC}" if strip.synthetic else ""
    caption = f"<figcaption>{escape(strip.row)}{mark}: {escape(strip.file.stem)}"
    if not strip.uri:
        return f'<figure class="strip">{caption}, {escape(strip.why)}</figcaption></figure>'
    width, height = strip.size
    label = escape(f"{strip.row}: frames, ground truth, predictions and denoising steps", quote=True)
    return (
        f'<figure class="strip">{caption}</figcaption>'
        f'<img src="{strip.uri}" width="{width}" height="{height}" alt="{label}" loading="lazy"></figure>'
    )


def _badge(report: SweepReport) -> str:
    if not report.planned:
        return '<span class="badge quiet">printed only</span>'
    if report.complete:
        return '<span class="badge good">complete</span>'
    style = "warn" if report.done else "bad"
    return f'<span class="badge {style}">{report.done}/{report.planned} trials</span>'


def _asset(name: str) -> str:
    return files("lightning_avsp.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """How a content security policy names an inline element."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
