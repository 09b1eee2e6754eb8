"""A leaderboard as Markdown, LaTeX or CSV."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lightning_avsp.report import latex, markdown
from lightning_avsp.report.leaderboard import Entry, Leaderboard, interval_text
from lightning_avsp.report.marks import arrow, ranks
from lightning_avsp.report.published import METRIC_NAMES, printed
from lightning_avsp.run_folder import as_csv

NOTE = (
    "Published numbers as their papers print them, by their own evaluation; ours as `lightning test` scores (maps as "
    "given, every frame), which `docs/evaluation.md` compares with the published protocols. SYNTHETIC results and "
    "results that have seen test videos are never ranked."
)


def as_markdown(board: Leaderboard) -> str:
    """Ranked entries, then those set aside, then every flag."""
    headings = ["", "model", *map(arrow, board.metrics), "printed in"]
    marked = board_ranks(board)
    rows = [
        [
            "–" if entry.rank is None else str(entry.rank),
            _name(entry),
            *(
                {1: f"**{text}**", 2: f"<u>{text}</u>"}.get(marked[metric][place], text)
                for metric, text in zip(board.metrics, numbers(board, entry), strict=True)
            ),
            markdown.escape("; ".join(_places(entry))),
        ]
        for place, entry in enumerate(board.entries)
    ]
    lines = [f"## {board.corpus}, by {board.metric}", "", *_table(headings, rows), ""]
    if board.aside:
        aside = [
            ["–", _name(entry), *numbers(board, entry), markdown.escape("; ".join(_places(entry)))]
            for entry in board.aside
        ]
        lines += ["**Not ranked**", "", *_table(headings, aside), ""]
    flags = [
        f"- {markdown.escape(entry.name)}: {markdown.escape('; '.join(entry.flags))}"
        for entry in (*board.entries, *board.aside)
        if entry.flags
    ]
    return "\n".join([*lines, *flags, *([""] if flags else []), NOTE, ""])


def as_latex(board: Leaderboard) -> str:
    """The same for ``booktabs``; flags go into the caption."""
    marked = board_ranks(board)
    body = []
    for place, entry in enumerate((*board.entries, *board.aside)):
        values = []
        for metric, text in zip(board.metrics, numbers(board, entry), strict=True):
            rank = marked[metric][place] if place < len(board.entries) else 0
            shown = latex.escape(text)
            values.append({1: rf"\textbf{{{shown}}}", 2: rf"\underline{{{shown}}}"}.get(rank, shown))
        if place == len(board.entries):
            body.append(r"\midrule")
        label = f"{entry.name}{' (ours)' if entry.ours else ''}{' SYNTHETIC' if entry.synthetic else ''}"
        first = "--" if entry.rank is None else str(entry.rank)
        body.append(" & ".join([first, latex.escape(label), *values]) + r" \\")
    flags = "".join(
        f" {entry.name}: {'; '.join(entry.flags)}." for entry in (*board.entries, *board.aside) if entry.flags
    )
    return "\n".join(
        [
            latex.HEAD,
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex.escape(f'{board.corpus}, by {board.metric}. {NOTE}{flags}')}}}",
            rf"\begin{{tabular}}{{rl{'c' * len(board.metrics)}}}",
            r"\toprule",
            " & ".join(["", "model", *map(latex.escape, board.metrics)]) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def as_csv_text(board: Leaderboard) -> str:
    """One line per entry and metric."""
    records: list[dict[str, Any]] = []
    for entry in (*board.entries, *board.aside):
        for metric in board.metrics:
            if metric not in entry.values:
                continue
            interval = (entry.intervals or {}).get(metric)
            low, high = (None, None) if interval is None else (interval.low, interval.high)
            records.append(
                {
                    "corpus": board.corpus,
                    "metric": metric,
                    "rank_by": METRIC_NAMES[board.metric],
                    "rank": entry.rank,
                    "model": entry.name,
                    "ours": entry.ours,
                    "synthetic": "SYNTHETIC" if entry.synthetic else "",
                    "value": entry.values[metric],
                    "low": None if low is None or math.isnan(low) else low,
                    "high": None if high is None or math.isnan(high) else high,
                    "places": "; ".join(entry.places),
                    "flags": "; ".join(entry.flags),
                }
            )
    return as_csv(records)


def board_ranks(board: Leaderboard) -> dict[str, list[int]]:
    """Best and second of each metric among the ranked entries."""
    return {
        metric: ranks([entry.values.get(metric) for entry in board.entries], metric == "KLD")
        for metric in board.metrics
    }


def numbers(board: Leaderboard, entry: Entry) -> list[str]:
    """The entry's number of each metric, ours with their interval."""
    found = []
    for metric in board.metrics:
        value = entry.values.get(metric)
        if value is None or math.isnan(value):
            found.append("–")
        else:
            text = f"{value:.3f}" if entry.ours else printed(value, metric)
            found.append(f"{text} {interval_text(entry, metric)}".strip())
    return found


def _name(entry: Entry) -> str:
    marks = (" **(ours)**" if entry.ours else "") + (" SYNTHETIC" if entry.synthetic else "")
    return markdown.escape(entry.name) + marks


def _places(entry: Entry) -> Sequence[str]:
    return entry.places if not entry.ours or len(entry.places) == 1 else [f"{len(entry.places)} results"]


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [headings, ["---:", "---", *["---:"] * (len(headings) - 3), "---"], *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
