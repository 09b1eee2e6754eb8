"""`avsp evaluate` and `avsp compare`: score predictions that any program made; two results, video by video."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from lightning_avsp.cli.progress import progress_bar
from lightning_avsp.evaluation.compare import compare_results
from lightning_avsp.evaluation.evaluate import evaluate_predictions
from lightning_avsp.evaluation.protocols import find_protocol
from lightning_avsp.evaluation.results import write_results
from lightning_avsp.evaluation.tables import print_comparison, print_evaluation
from lightning_avsp.run_folder import write_json


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
    predictions, root = Path(predictions), Path(root)
    corpora = [name.strip() for name in corpus.split(",")]
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
    target = Path(out) if out is not None else Path("evaluations") / predictions.resolve().name / name
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
    comparison = compare_results(Path(first), Path(second), seed=seed)
    print_comparison(comparison, Console())
    if out is not None:
        write_json(Path(out), asdict(comparison))
