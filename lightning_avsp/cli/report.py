"""`avsp evaluate`, `compare` and `report`: scores of predictions, two results compared, the tables of the papers."""

from __future__ import annotations

import logging
import shlex
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from lightning_avsp.cli.progress import progress_bar, split_names
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.compare import compare_results, print_comparison
from lightning_avsp.evaluation.evaluate import evaluate_predictions
from lightning_avsp.evaluation.protocols import find_protocol
from lightning_avsp.evaluation.results import print_evaluation, write_results
from lightning_avsp.report import documents
from lightning_avsp.report.frames import leaderboard_section, report_section
from lightning_avsp.report.html_page import render_html
from lightning_avsp.report.leaderboard import read_leaderboard
from lightning_avsp.report.published import published_tables
from lightning_avsp.report.table import CostCounter, read_report, report_published
from lightning_avsp.run_folder import write_atomically, write_json
from lightning_avsp.sweep.costs import read_speeds


def evaluate(
    predictions: Path,
    root: Path,
    corpus: str = "AVAD",
    split: Literal["1", "2", "3", "all"] = "1",
    protocol: Literal["stavis", "vinet", "dhf1k", "ntire26", "plain"] = "stavis",
    out: Path | None = None,
    workers: int = 2,
    **options: Any,
) -> None:
    """Score a folder of predicted maps or saliency videos of any program against a corpus.

    PREDICTIONS holds ``<corpus>/<video>`` or ``<video>``: a folder of images or .npy arrays with a frame number in
    their names, one .npz or .npy array of all frames, or one video. With ``--split all`` it may hold
    ``split1_results``, ``split1`` or ``split_1``, and so on. Prints a table, and writes JSON and CSV tables of corpora,
    videos and frames.

    Args:
        predictions: Folder of predictions.
        root: Root of the corpora: fold_lists, annotations, video_frames.
        corpus: Corpus to score, or several with commas between: AVAD, Coutrot1, Coutrot2, DIEM, ETMD, SumMe.
        split: Whose test list: 1, 2, 3, or all of them pooled by the protocol.
        protocol: How to prepare, score and average; explained in docs/evaluation.md.
        out: JSON file to write, CSV tables beside it; evaluations/<predictions>/<corpus>_split<split>_<protocol>.json
            when not given. Earlier results there are replaced.
        workers: Processes.
        options: See :func:`evaluate_predictions`.
    """
    corpora = split_names(corpus)
    console = Console()
    with progress_bar("videos") as progress:
        result = evaluate_predictions(
            predictions,
            root,
            corpora,
            find_protocol(protocol),
            split,
            workers=workers,
            progress=progress,
            **options,
        )
    name = f"{'+'.join(corpora)}_split{split}_{protocol}.json"
    target = out or Path("evaluations") / predictions.resolve().name / name
    print_evaluation(result, console)
    for path in write_results(result, target):
        console.print(f"written: {path}", highlight=False, markup=False, soft_wrap=True)


def compare(first: Path, second: Path, out: Path | None = None, seed: int = 0) -> None:
    """Compare two results of `avsp evaluate` over the videos that both scored.

    Per metric: the difference of video means (first minus second), its 95 % bootstrap interval over videos, on how many
    videos the first is better and worse, and a sign test. Videos that only one of them scored are listed.

    Args:
        first: JSON file that `avsp evaluate` wrote.
        second: Another one, of the same protocol.
        out: Also write the comparison to this JSON file.
        seed: Seed of the bootstrap intervals.
    """
    comparison = compare_results(first, second, seed=seed)
    print_comparison(comparison, Console())
    if out is not None:
        write_json(out, asdict(comparison))


Format = Literal["markdown", "latex", "csv", "html"]
ProtocolName = Literal["paper", "plain", "stavis", "vinet", "dhf1k", "ntire26"]

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
    args: str | None = None,
    protocol: ProtocolName = "paper",
    speeds: Path | None = None,
) -> None:
    """Put our numbers into the papers' tables, as far as runs are finished.

    Each table holds the printed number; ours with its spread over seeds and splits and its bootstrap interval over
    videos; the difference; finished and planned runs; whether the paper's order of rows holds; and the cost of each
    row's network, counted on the network itself. Missing numbers are shown as missing, SYNTHETIC ones are marked.

    Args:
        sweep: Sweep file, or a list of several. Its name, or its `description`, is that of the table.
        all: Every table of the papers, also those that no sweep in the folder of sweeps reproduces.
        leaderboard: Published comparison numbers of one corpus with our runs among them.
        corpus: Corpus of the leaderboard.
        metric: Metric that sorts it.
        runs: Folder of all runs.
        sweeps: Folder of the sweep files.
        format: markdown, latex, csv, or html: one page with sortable tables, curves and pictures.
        out: File to write; standard output by default.
        efficiency: Count parameters, multiply-accumulates and memory of the rows' networks, about two seconds for each.
        strict: Exit with code 1 when a result is missing.
        args: The --args that the results of the sweep were made with; needed where there are results of several.
        protocol: How our numbers are scored: as papers do (stavis on the six audio-visual sets, dhf1k on DHF1K,
            Hollywood-2 and UCF, ntire26 on CrowdSAL), or all by one; named below a table with its difference to plain.
        speeds: speeds.json of `avsp bench train --all true --inference true`, for the GPU hours of each sweep.
    """
    if leaderboard == (corpus is None):
        raise InputError(
            "--leaderboard needs --corpus, and --corpus needs --leaderboard: give both or neither"
        )
    if sweep and all:
        raise InputError("--sweep and --all exclude each other: give one of them")
    if not (sweep or all or leaderboard):
        raise InputError("nothing to report: give --sweep FILE, --all, or --leaderboard --corpus AVAD")
    if (sweep or all) and leaderboard and format == "csv":
        raise InputError("tables and a leaderboard have different columns; write one CSV file for each")
    if all and not sweeps.is_dir():
        raise InputError(
            f"no folder of sweeps at {sweeps}; start from the folder that holds it, or give --sweeps"
        )
    chosen = "" if protocol == "paper" else protocol
    read = partial(
        read_report,
        runs=runs,
        counter=CostCounter() if efficiency else None,  # one for all tables: rows share networks
        args=None if args is None else shlex.split(args),
        speeds=None if speeds is None else read_speeds(speeds),
        protocol=chosen,
    )
    paths = sweep if isinstance(sweep, list) else [sweep] if sweep is not None else []
    reports = [read(path) for path in paths]
    given = {one.table.id: path for one, path in zip(reports, paths, strict=True)}
    for table in published_tables().values():
        path = given.get(table.sweep, sweeps / f"{table.sweep}.yaml")
        along = table if table.course is not None else None  # printed along the trainings of another table
        if all:
            reports.append(read(path, table=along) if path.is_file() else report_published(table))
        elif along is not None and table.sweep in given:  # its numbers come of the same trainings
            reports.append(read(path, table=along))
    board = read_leaderboard(corpus, metric, runs, chosen) if corpus is not None else None
    sections = [report_section(one) for one in reports]
    sections += [leaderboard_section(board)] if board is not None else []
    if format == "csv":
        text = documents.leaderboard_as_csv(board) if board is not None else documents.reports_as_csv(reports)
    elif format == "html":
        text = render_html(sections)
    else:
        render = documents.render_markdown if format == "markdown" else documents.render_latex
        text = render(sections)
    if out is None:
        print(text, end="" if text.endswith("\n") else "\n")
    else:
        write_atomically(out, text)
    missing = [one.name for one in reports if not one.complete]  # said last, where a terminal shows it
    if missing:
        log.warning("incomplete: %s", ", ".join(missing))
        if strict:
            raise SystemExit(1)
