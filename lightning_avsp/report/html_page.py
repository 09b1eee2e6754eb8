"""Sections as one page that loads nothing from outside: style, script, curves and pictures are inside."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from lightning_avsp import __version__
from lightning_avsp.evaluation.formatting import Value
from lightning_avsp.report.courses import QUANTITIES
from lightning_avsp.report.frames import LEGEND, Section, Table, course_tables
from lightning_avsp.report.table import SweepReport

MOST_WIDTH = 1400
"""Pixels of a picture; wider ones are scaled down."""
ALL_SPLITS = -2
"""Split of means over splits."""
PAGE_BYTES = 8_000_000
"""Sample pictures of a page, encoded; further ones are named but left out."""


@dataclass(frozen=True)
class Picture:
    """An image for a page."""

    caption: str
    description: str
    """Alternative text for screen readers."""
    uri: str = ""
    """``data:`` address; empty where the picture was left out."""


def draw_courses(courses: pd.DataFrame) -> list[Picture]:
    """Draw a diagram for each quantity of training courses, with a panel for each split."""
    return [
        _draw_course(QUANTITIES.get(name, name), points)
        for name, points in courses.groupby("quantity", sort=False)
    ]


def _draw_course(title: str, points: pd.DataFrame) -> Picture:
    """Draw a quantity by epoch: thick, the mean over a row's seeds; thin, each."""
    # not at the top: only a page draws, and matplotlib is slow to import
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    splits = sorted(points.split.unique())
    if len(splits) > 1:  # the papers print the average too
        keys = ["row", "seed", "epoch"]
        joint = points.groupby(keys, sort=False).value.mean().reset_index()
        points, splits = pd.concat([points, joint.assign(split=ALL_SPLITS)]), [*splits, ALL_SPLITS]
    rows = list(points.row.unique())
    # narrow and with its legend below, so that it can be read on a phone
    figure = Figure(figsize=(4.8, 2.3 * len(splits) + 0.22 * len(rows)), layout="constrained")
    ends = []
    for axes, split in zip(figure.subplots(len(splits), squeeze=False)[:, 0], splits, strict=True):
        for row, runs in points[points.split == split].groupby("row", sort=False):
            position = rows.index(row)
            style: dict[str, Any] = {
                "color": colormaps["tab10"](position % 10),
                # ten colours, then again with another line
                "linestyle": ("-", "--", ":")[position // 10 % 3],
            }
            each = runs.pivot(index="epoch", columns="seed", values="value")
            # where every run has a value, else of those that have
            mean = each.dropna().mean(axis=1) if len(each.dropna()) else each.mean(axis=1)
            if each.shape[1] > 1:  # a single run is its own mean
                axes.plot(each.index, each, linewidth=0.7, alpha=0.35, **style)
            # matplotlib reads what stands between dollars as a formula
            label = f"{row} ({each.shape[1]} run{'s'[: each.shape[1] > 1]})".replace("$", r"\$")
            axes.plot(mean.index, mean.values, marker="o", markersize=3, linewidth=1.8, label=label, **style)
            # in words, for those who do not see the diagram
            ends.append(f"{row}{_of_split(split)} ends at {mean.iloc[-1]:.4g}")
        axes.set_title(f"{title}{_of_split(split)}", fontsize="medium")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    axes.set_xlabel("epoch")
    figure.legend(
        *axes.get_legend_handles_labels(), fontsize="small", loc="outside lower left", frameon=False
    )
    encoded = io.BytesIO()
    figure.savefig(encoded, format="png", dpi=150)
    caption = f"{title}: thick, the mean over a row's runs; thin, each"
    return Picture(caption, f"{title} by epoch: {'; '.join(ends)}", _data_uri(encoded, "png"))


def _of_split(split: int) -> str:
    return {-1: "", ALL_SPLITS: ", mean over splits"}.get(split, f", split {split}")


def read_samples(report: SweepReport, budget: int = PAGE_BYTES) -> list[Picture]:
    """Read the last sample figure of each row's first run that has any; rows that share a run show it once.

    Args:
        report: Report on a sweep.
        budget: Bytes left for encoded pictures; those that do not fit are named but left out.
    """
    pictures: list[Picture] = []
    shown: set[str] = set()
    for name, row in report.rows.items():
        for result in row.results:
            folder = result.run_folder()
            paths = [] if folder is None else sorted((folder / "figures").glob("*.png"))
            # rows that differ in their test have the pictures of one training
            if paths and result.training not in shown:
                shown.add(result.training)
                pictures.append(_encode(name, paths[-1], bool(result.synthetic), budget))
                # the page carries its pictures inside
                budget -= len(pictures[-1].uri)
                break
    return pictures


def _encode(row: str, path: Path, synthetic: bool, budget: int) -> Picture:
    from PIL import Image, UnidentifiedImageError

    caption = f"{row}: {path.stem}{', SYNTHETIC' * synthetic}"
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        return Picture(f"{caption}, cannot be read: {error}", "")
    # by its width alone: columns of denoising steps may be tall
    image.thumbnail((MOST_WIDTH, image.height), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=80)
    uri = _data_uri(encoded, "jpeg")
    if len(uri) > budget:
        return Picture(f"{caption}, left out: the page is full", "")
    return Picture(caption, f"{row}: frames, ground truth, predictions and denoising steps", uri)


def _data_uri(encoded: io.BytesIO, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(encoded.getvalue()).decode()}"


TITLE = "Published and measured saliency results"


def render_html(sections: Sequence[Section]) -> str:
    """Write the whole page.

    Raises:
        InputError: If curves of a run cannot be read.
    """
    style, script = (
        files("lightning_avsp.report").joinpath(f"report.{kind}").read_text(encoding="utf-8")
        for kind in ("css", "js")
    )
    # a page from a run folder may hold names that somebody else chose: nothing but our script runs
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
    written = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
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
    # must be seen at first sight: such numbers are not comparable
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
        # sorted by the number, not by its text with mark and interval
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
        kind, text = "", "printed only"  # neither good nor bad: there is nothing to run
    elif report.complete:
        kind, text = "good", "complete"
    return f'<span class="badge {kind}">{text}</span>'


def _hash(text: str) -> str:
    """Name an inline element in a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
