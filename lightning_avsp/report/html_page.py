"""Sections as one page that loads nothing from outside: style, script, curves and pictures are inside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime, timezone
from html import escape
from importlib.resources import files

import pandas as pd

from lightning_avsp import __version__
from lightning_avsp.evaluation.formatting import Value
from lightning_avsp.report.figures import PAGE_BYTES, Picture, draw_courses, read_samples
from lightning_avsp.report.frames import LEGEND, Section, Table, course_tables

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
        report = section.report
        # those of a table along a training are its sweep's
        pictures = [] if report is None or report.table.course else read_samples(report, budget)
        budget -= sum(len(picture.uri) for picture in pictures)
        parts.append(_section(section, pictures))
    links = "".join(
        f'<li><a href="#{escape(section.id)}">{escape(section.title)}</a>{_badge(section)}</li>'
        for section in sections
    )
    written = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{TITLE}</title><style>{style}</style></head><body>
<a class="skip" href="#content">To the tables</a><header><h1>{TITLE}</h1>
<p class="quiet">lightning-avsp {escape(__version__)}, written {written}</p></header>
<nav aria-label="Tables"><ul>{links}</ul></nav><main id="content">
<p class="quiet">{escape(LEGEND[:1].upper() + LEGEND[1:])}. A heading sorts its table.</p>
{"".join(parts)}</main><p class="unseen" id="sorted" role="status" aria-live="polite"></p>
<dialog id="large" aria-label="Enlarged image"></dialog>
<script>{script}</script></body></html>
"""


def _section(section: Section, pictures: Sequence[Picture]) -> str:
    parts = [f'<section id="{escape(section.id)}"><h2>{escape(section.title)}</h2>']
    if section.status:
        status = f"{escape(section.status)} · {escape(section.id)}"
        parts.append(f'<p class="quiet">{_badge(section)} {status}</p>')
    parts += map(_tables, section.tables)
    if section.report is not None:
        courses = section.report.courses()
        if charts := draw_courses(courses):
            parts.append(
                f'<h3>Training courses</h3><div class="charts">{"".join(map(_figure, charts))}</div>'
            )
            parts.append(_tables(Table(course_tables(courses), folded=True)))
        if pictures:
            parts.append(f'<h3>Samples</h3><div class="samples">{"".join(map(_figure, pictures))}</div>')
    return "".join([*parts, "</section>"])


def _tables(table: Table) -> str:
    if table.folded:
        return "".join(
            f"<details><summary>{escape(caption)}</summary>{as_html(frame, caption, hidden=True)}</details>"
            for caption, frame in table.frames.items()
        )
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    notes = notes.replace("<li>SYNTHETIC", '<li><strong class="synthetic">SYNTHETIC</strong>')
    frames = "".join(as_html(frame, caption) for caption, frame in table.frames.items())
    return frames + (f'<ul class="notes">{notes}</ul>' if notes else "")


def as_html(frame: pd.DataFrame, caption: str, hidden: bool = False) -> str:
    """Write a table that the page's script sorts by any column.

    Args:
        frame: One level of rows and columns.
        caption: Plain text.
        hidden: True if the caption is for screen readers alone, as a heading above has the same words.
    """

    def cell(value: Value | str) -> str:
        if isinstance(value, str):
            return "<br>".join(map(escape, value.split("\n")))
        text = escape(value.text)
        text = {1: f"<b>{text}</b>", 2: f"<u>{text}</u>"}.get(value.rank, text)
        text += "".join(f"<small>{escape(one)}</small>" for one in value.details)
        key = "" if value.value is None else f"{value.value:.6g}"
        return f'<data value="{key}">{text}</data>'

    styler = frame.style.format(cell).hide(names=True)
    for axis in (0, 1):
        styler = styler.format_index(lambda name: escape(str(name)), axis=axis)
    title = f'<span class="{"unseen" if hidden else "title"}">{escape(caption)}</span>'
    # without its styles, which the page's security policy forbids, Styler leaves attributes and caption out too
    text = styler.to_html(exclude_styles=True).replace(
        "<table>", f'<table class="sortable"><caption>{title}</caption>', 1
    )
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">{text}</div>'


def _figure(picture: Picture) -> str:
    caption = escape(picture.caption)
    image = (
        f'<button class="enlarge" aria-label="Enlarge: {caption}">'
        f'<img src="{picture.uri}" alt="{escape(picture.description)}" loading="lazy"></button>'
    )
    return f"<figure><figcaption>{caption}</figcaption>{image if picture.uri else ''}</figure>"


def _badge(section: Section) -> str:
    report = section.report
    if report is None:
        return ""
    kind, text = "warn" if report.done else "bad", f"{report.done}/{report.planned} trials"
    if not report.planned:
        kind, text = "", "printed only"
    elif report.complete:
        kind, text = "good", "complete"
    return f'<span class="badge {kind}">{text}</span>'


def _hash(text: str) -> str:
    """Name an inline element in a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
