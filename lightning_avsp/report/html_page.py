"""Sections as one page that loads nothing from outside: style, script, curves and pictures are inside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime, timezone
from html import escape
from importlib.resources import files

from lightning_avsp import __version__
from lightning_avsp.report.figures import PAGE_BYTES, Picture, draw_curves, read_curves, read_samples
from lightning_avsp.report.formatting import SYNTHETIC, as_html
from lightning_avsp.report.frames import LEGEND, Part, Scores, Section

TITLE = "Published and measured saliency results"


def render_html(sections: Sequence[Section]) -> str:
    """Write the whole page.

    Args:
        sections: In order.

    Raises:
        InputError: If curves of a run cannot be read.
    """
    style, script = (
        files("lightning_avsp.report").joinpath(f"report.{kind}").read_text(encoding="utf-8")
        for kind in ("css", "js")
    )
    policy = f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    budget, parts = PAGE_BYTES, []
    for section in sections:
        pictures = [] if section.report is None else read_samples(section.report, budget)
        budget -= sum(len(picture.uri) for picture in pictures)
        parts.append(_section(section, pictures))
    links = "".join(
        f'<li><a href="#{escape(section.id)}">{escape(section.title)}</a>{_badge(section)}</li>'
        for section in sections
    )
    warning = (
        f"<p>{SYNTHETIC}: numbers with this word are of generated corpora and not comparable with the papers'.</p>"
        if any(section.synthetic for section in sections)
        else ""
    )
    written = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{TITLE}</title><style>{style}</style></head><body>
<a class="skip" href="#content">To the tables</a><header><h1>{TITLE}</h1>
<p class="quiet">lightning-avsp {escape(__version__)}, written {written}</p>{warning}</header>
<nav aria-label="Tables"><ul>{links}</ul></nav><main id="content">
<p class="quiet">{escape(LEGEND[:1].upper() + LEGEND[1:])}. A heading sorts its table.</p>
{"".join(parts)}</main><p class="unseen" id="sorted" role="status" aria-live="polite"></p>
<script>{script}</script></body></html>
"""


def _section(section: Section, pictures: Sequence[Picture]) -> str:
    mark = f" {SYNTHETIC}" if section.synthetic else ""
    status = f" {escape(section.status)} · {escape(section.id)}" if section.status else ""
    parts = [
        f'<section id="{escape(section.id)}"><h2>{escape(section.title)}</h2>',
        f'<p class="quiet">{_badge(section)}{mark}{status}</p>' if status else "",
        *(_part(part) for part in section.parts),
    ]
    if section.report is not None:
        charts = [draw_curves(*key, curves) for key, curves in read_curves(section.report).items()]
        if charts:
            parts.append(f'<h3>Curves</h3><div class="charts">{"".join(map(_figure, charts))}</div>')
        if pictures:
            parts.append(f"<h3>Samples</h3>{''.join(map(_figure, pictures))}")
    return "".join([*parts, "</section>"])


def _part(part: Part) -> str:
    if isinstance(part, str):
        return f"<p>{escape(part).replace('SYNTHETIC:', f'{SYNTHETIC}:')}</p>"
    if isinstance(part, list):
        return f'<ul class="notes">{"".join(f"<li>{escape(line)}</li>" for line in part)}</ul>'
    if isinstance(part, Scores):
        return "".join(as_html(frame, dataset) for dataset, frame in part.by_dataset().items())
    if part.folded:
        table = as_html(part.frame, part.caption, hidden=True)
        return f"<details><summary>{escape(part.caption)}</summary>{table}</details>"
    return as_html(part.frame, part.caption)


def _figure(picture: Picture) -> str:
    mark = f" {SYNTHETIC}" if picture.synthetic else ""
    image = (
        f'<img src="{picture.uri}" alt="{escape(picture.description)}" loading="lazy">' if picture.uri else ""
    )
    return f"<figure><figcaption>{escape(picture.caption)}{mark}</figcaption>{image}</figure>"


def _badge(section: Section) -> str:
    report = section.report
    if report is None:
        return ""
    if not report.planned:
        return '<span class="badge">printed only</span>'
    if report.complete:
        return '<span class="badge good">complete</span>'
    return (
        f'<span class="badge {"warn" if report.done else "bad"}">{report.done}/{report.planned} trials</span>'
    )


def _hash(text: str) -> str:
    """Name an inline element in a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
