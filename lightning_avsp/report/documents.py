"""Sections as Markdown or LaTeX, and the numbers behind them as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from lightning_avsp.evaluation.formatting import METRIC_NAMES
from lightning_avsp.report.formatting import as_latex, as_markdown, escape_markdown
from lightning_avsp.report.frames import LEGEND, Part, Scores, Section, Table
from lightning_avsp.report.leaderboard import Leaderboard
from lightning_avsp.report.table import SweepReport


def render_markdown(sections: Sequence[Section]) -> str:
    """Write all sections, one after another."""
    blocks: list[str] = []
    for section in sections:
        blocks.append(f"## {escape_markdown(section.title)}")
        if section.status:
            mark = "SYNTHETIC, " if section.synthetic else ""
            blocks.append(f"{section.id}: {mark}{section.status}.")
        blocks += [block for part in section.parts for block in _markdown(part)]
    if any(section.report for section in sections):
        blocks.append(f"{LEGEND}.")
    return "\n\n".join(blocks) + "\n"


def _markdown(part: Part) -> list[str]:
    if isinstance(part, str):
        return [escape_markdown(part)]
    if isinstance(part, list):
        return ["\n".join(f"- {escape_markdown(line)}" for line in part)]
    tables = part.by_dataset() if isinstance(part, Scores) else {part.caption: part.frame}
    if isinstance(part, Table) and part.folded:
        return []
    return [
        block
        for caption, frame in tables.items()
        for block in (f"**{escape_markdown(caption)}**", as_markdown(frame))
    ]


def render_latex(sections: Sequence[Section]) -> str:
    """Write tables alone; other parts of a section go into captions: of its first table, or of the one before them."""
    blocks = ["% needs \\usepackage{booktabs} and \\usepackage{graphicx}"]
    for section in sections:
        tables: list[tuple[str, pd.DataFrame]] = []
        texts: list[list[str]] = [["SYNTHETIC"] * section.synthetic + [section.status] * bool(section.status)]
        for part in section.parts:
            if isinstance(part, Scores):
                tables.append((section.title, part.stacked()))
                texts[0].append("First line: ours, second line: as printed")
            elif isinstance(part, Table) and not part.folded:
                tables.append((f"{section.title}: {part.caption}", part.frame))
            else:
                texts[-1] += part if isinstance(part, list) else [part] if isinstance(part, str) else []
            if len(tables) > len(texts):
                texts.append([])
        for position, ((title, frame), notes) in enumerate(zip(tables, texts, strict=True)):
            sentences = " ".join(f"{text[:1].upper()}{text[1:].rstrip('.')}." for text in notes)
            blocks.append(as_latex(frame, f"{title}. {sentences}".strip(), f"tab:{section.id}-{position}"))
    return "\n".join(blocks)


def reports_as_csv(reports: Sequence[SweepReport]) -> str:
    """Write one record for each cell; efficiency figures have no dataset."""
    frame = pd.concat([report.frame for report in reports])
    return str(frame.replace({"rank": {0: None}, "rank_paper": {0: None}}).to_csv(index=False))


def leaderboard_as_csv(board: Leaderboard) -> str:
    """Write one record for each entry and metric."""
    records: list[dict[str, Any]] = []
    for entry in (*board.entries, *board.aside):
        for metric, interval in entry.values.items():
            records.append(
                {
                    "corpus": board.corpus,
                    "metric": metric,
                    "rank_by": METRIC_NAMES[board.metric],
                    "rank": entry.rank,
                    "model": entry.name,
                    "ours": entry.ours,
                    "synthetic": "SYNTHETIC" if entry.synthetic else "",
                    "value": interval.mean,
                    "low": interval.low,
                    "high": interval.high,
                    "places": "; ".join(entry.places),
                    "flags": "; ".join(entry.flags),
                }
            )
    return str(pd.DataFrame(records).to_csv(index=False))
