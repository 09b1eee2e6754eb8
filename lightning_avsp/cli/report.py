"""``avsp report``: the papers' tables with our numbers, and a leaderboard of published ones."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lightning_avsp.errors import InputError

if TYPE_CHECKING:
    from lightning_avsp.report.leaderboard import Leaderboard
    from lightning_avsp.report.table import SweepReport

Format = Literal["markdown", "latex", "csv", "html"]

PRINTED = ".expected.yaml"
"""End of the names of files with printed rows."""

log = logging.getLogger(__name__)


def report(
    sweep: Path | list[Path] | None = None,
    all: bool = False,
    leaderboard: bool = False,
    corpus: str | None = None,
    metric: str = "cc",
    runs: Path = Path("runs"),
    sweeps: Path = Path("sweeps"),
    format: Format = "markdown",
    out: Path | None = None,
    efficiency: bool = True,
    strict: bool = False,
) -> None:
    """Put our numbers into the papers' tables, whatever is finished so far.

    Each table holds the printed number; ours with its spread over seeds and splits and its bootstrap interval over
    videos; the difference; finished and planned runs; whether the paper's order of rows holds; and what each row's
    network costs, counted on the network itself. What is missing is shown as missing; SYNTHETIC numbers say so.

    Args:
        sweep: Sweep file, or a list of several; its printed rows lie beside it as NAME.expected.yaml.
        all: Every table in the folder of sweeps that has printed rows, also those that no sweep reproduces.
        leaderboard: Published comparison numbers of one corpus with our runs among them.
        corpus: Corpus of the leaderboard.
        metric: Metric that sorts it.
        runs: Folder of all runs.
        sweeps: Folder of the sweep files.
        format: markdown, latex, csv, or html: one page with sortable tables, curves and pictures.
        out: File to write; standard output by default.
        efficiency: Count parameters, multiply-accumulates and memory of the rows' networks, about two seconds for each.
        strict: Exit with code 1 when a result is missing.
    """
    from lightning_avsp.report.efficiency import CostCounter
    from lightning_avsp.report.leaderboard import read_leaderboard
    from lightning_avsp.report.table import read_printed, read_report

    paths = _sweep_files(sweep, all, Path(sweeps))
    if leaderboard == (corpus is None):
        raise InputError(
            "--leaderboard needs --corpus, and --corpus needs --leaderboard: give both or neither"
        )
    if not paths and not leaderboard:
        raise InputError("nothing to report: give --sweep FILE, --all, or --leaderboard --corpus AVAD")
    if paths and leaderboard and format == "csv":
        raise InputError("tables and a leaderboard have different columns; write one CSV file for each")
    counter = CostCounter() if efficiency else None
    reports = [
        read_printed(path) if path.name.endswith(PRINTED) else read_report(path, Path(runs), counter)
        for path in paths
    ]
    board = read_leaderboard(corpus, metric, Path(runs), Path(sweeps)) if corpus is not None else None
    _write(_render(reports, board, format), None if out is None else Path(out))
    missing = [one.name for one in reports if not one.complete]
    if missing:
        log.warning("incomplete: %s", ", ".join(missing))
        if strict:
            raise SystemExit(1)


def _sweep_files(given: Path | list[Path] | None, every: bool, folder: Path) -> list[Path]:
    if given and every:
        raise InputError("--sweep and --all exclude each other: give one of them")
    if not every:
        return [Path(path) for path in (given if isinstance(given, list) else [given]) if path is not None]
    found = []
    for printed in sorted(folder.glob(f"*{PRINTED}")):
        path = printed.with_name(printed.name.removesuffix(PRINTED) + ".yaml")
        found.append(path if path.is_file() else printed)
    if not found:
        raise InputError(
            f"no sweep with printed rows in {folder}; start from the folder that holds sweeps/, or give --sweeps"
        )
    return found


def _render(reports: list[SweepReport], board: Leaderboard | None, format: Format) -> str:
    if format == "html":
        from lightning_avsp.report.page import render_page

        return render_page(reports, board)
    from lightning_avsp.report import board_text
    from lightning_avsp.report.latex import reports_as_latex
    from lightning_avsp.report.markdown import reports_as_markdown
    from lightning_avsp.report.records import reports_as_csv

    tables, of_board = {
        "markdown": (reports_as_markdown, board_text.as_markdown),
        "latex": (reports_as_latex, board_text.as_latex),
        "csv": (reports_as_csv, board_text.as_csv_text),
    }[format]
    parts = [tables(reports)] if reports else []
    return "\n".join([*parts, *([of_board(board)] if board is not None else [])])


def _write(text: str, out: Path | None) -> None:
    from lightning_avsp.evaluation.results import cannot_write
    from lightning_avsp.run_folder import write_atomically

    if out is None:
        print(text, end="" if text.endswith("\n") else "\n")
        return
    try:
        write_atomically(out, text)
    except OSError as error:
        raise cannot_write(out, error) from error
