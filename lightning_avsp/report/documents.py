"""Sections as Markdown or LaTeX, and the numbers behind them as CSV."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from lightning_avsp.evaluation.formatting import METRIC_NAMES, Value, as_markdown, escape_markdown
from lightning_avsp.report.frames import LEGEND, OURS_LEGEND, WORSE, Section
from lightning_avsp.report.leaderboard import Leaderboard
from lightning_avsp.report.table import SweepReport

_LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "[": "{[}",  # else read as an option of a line break before it
    "–": "--",
    "±": r"$\pm$",
    WORSE: r"$^\dagger$",
    # pdflatex knows neither Greek letters nor arrows outside of formulas
    "Δ": r"$\Delta$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "\n": "; ",  # a cell of tabular has one line
}


def render_markdown(sections: Sequence[Section]) -> str:
    """Write all sections, one after another."""
    blocks: list[str] = []
    for section in sections:
        blocks.append(f"## {escape_markdown(section.title)}")
        if section.status:
            blocks.append(f"{section.id}: {section.status}.")
        for table in section.tables:
            # hundreds of lines that only a page can fold away
            if table.folded:
                continue
            for caption, frame in table.frames.items():
                blocks += [f"**{escape_markdown(caption)}**", as_markdown(frame)]
            if table.notes:
                blocks.append("\n".join(f"- {escape_markdown(note)}" for note in table.notes))
    if any(section.report for section in sections):
        blocks.append(f"{LEGEND}.")
    return "\n\n".join(blocks) + "\n"


def render_latex(sections: Sequence[Section]) -> str:
    """Write a float for each table, with a caption of a few words and the notes below the table."""
    blocks = ["% needs \\usepackage{booktabs} and \\usepackage{adjustbox}"]
    for section in sections:
        shown = [table for table in section.tables if not table.folded]
        for position, table in enumerate(shown):
            # the first; all of them are in the joint table
            caption, frame = next(iter(table.frames.items()))
            title, notes = section.title, [section.status] * bool(section.status and position == 0)
            if table.joint is not None:
                frame = table.joint
                notes += ["First line: ours, second line: as printed", OURS_LEGEND]
            elif caption not in title:
                title = f"{title}: {caption}"
            text = " ".join(f"{note[:1].upper()}{note[1:].rstrip('.')}." for note in (*notes, *table.notes))
            blocks.append(as_latex(frame, title, f"tab:{section.id}-{position}", text))
    return "\n".join(blocks)


def as_latex(frame: pd.DataFrame, caption: str, label: str, notes: str) -> str:
    """Write a ``booktabs`` table that is at most as wide as the text; columns and rows may have several levels."""

    def cell(value: Value | str) -> str:
        if isinstance(value, str):
            return escape_latex(value)
        text = escape_latex(value.text)
        # best and second, as papers mark them
        text = {1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}.get(value.rank, text)
        return " ".join([text, *(rf"{{\scriptsize {escape_latex(one)}}}" for one in value.details)])

    # names of levels would be a header row of their own
    styler = frame.style.format(cell).hide(names=True).hide(names=True, axis=1)
    for axis in (0, 1):
        styler = styler.format_index(lambda name: escape_latex(str(name)), axis=axis)
    text = styler.to_latex(
        hrules=True,
        position_float="centering",
        multicol_align="c",
        multirow_align="naive",
        column_format="l" * frame.index.nlevels + "r" * frame.shape[1],
        caption=escape_latex(caption),
        label=label,
    )
    # Styler can neither scale a table nor put text below it
    fitted = "\\begin{adjustbox}{max width=\\linewidth, max totalheight=.8\\textheight}\n\\begin{tabular}"
    below = f"\n\n\\smallskip\\parbox{{\\linewidth}}{{\\footnotesize {escape_latex(notes)}}}" if notes else ""
    text = text.replace(r"\begin{tabular}", fitted)
    return text.replace(r"\end{tabular}", f"\\end{{tabular}}\n\\end{{adjustbox}}{below}")


def escape_latex(text: str) -> str:
    """Escape characters that LaTeX would interpret."""
    return "".join(_LATEX.get(sign, sign) for sign in text)


def reports_as_csv(reports: Sequence[SweepReport]) -> str:
    """Write one record for each cell; efficiency figures and training courses, by epoch, have no dataset.

    Raises:
        InputError: If a metrics file of a training cannot be read.
    """
    parts = []
    for report in reports:
        kinds = report.frame.dataset.map(lambda dataset: "score" if dataset else "cost")
        parts += [report.frame.assign(kind=kinds), _course_records(report)]
    # as objects: beside records without them, counts would become 6.0
    frame = pd.concat([part.astype(object) for part in parts if len(part)])
    # 0 stands for "neither best nor second" inside the package
    return str(frame.replace({"rank": {0: None}, "rank_paper": {0: None}}).to_csv(index=False))


def _course_records(report: SweepReport) -> pd.DataFrame:
    """List the training courses of a report: means over seeds by row, split and epoch."""
    courses = report.courses()
    keys = ["row", "split", "quantity", "epoch"]
    means = (
        courses.groupby(keys, sort=False)
        .value.agg(ours="mean", spread_seeds="std", runs="count")
        .reset_index()
    )
    means = means.rename(columns={"quantity": "metric", "split": "splits"}).replace({"splits": {-1: ""}})
    names = {"sweep": report.name, "paper_name": report.table.paper, "table": report.table.table}
    return means.assign(kind="training course", **names)


def leaderboard_as_csv(board: Leaderboard) -> str:
    """Write one record for each entry and metric."""
    records = [
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
        for entry in (*board.entries, *board.aside)
        for metric, interval in entry.values.items()
    ]
    return str(pd.DataFrame(records).to_csv(index=False))
