"""``avsp evaluate``: score predictions that any program made."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def evaluate(
    predictions: Path,
    root: Path,
    corpus: str = "AVAD",
    split: Literal["1", "2", "3", "all"] = "1",
    protocol: Literal["stavis", "vinet", "dhf1k", "ntire26", "plain"] = "stavis",
    out: Path | None = None,
    references: bool = False,
    allow_missing: bool = False,
    count_from: Literal[0, 1] = 1,
    workers: int = 2,
    seed: int = 0,
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
        split: Whose test list: 1, 2, 3, or all of them pooled as the protocol says.
        protocol: How to prepare, score and average; explained in docs/evaluation.md.
        out: JSON file to write, CSV tables beside it; evaluations/<predictions>/<corpus>_split<split>_<protocol>.json
            when not given. Earlier results there are replaced.
        references: Also score centre prior, mean training map, chance and, where known, the human ceiling.
        allow_missing: Leave out and count what has no prediction, instead of refusing.
        count_from: Number of a video's first frame in file names: 1, or 0.
        workers: Processes.
        seed: Seed of the bootstrap intervals.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from lightning_avsp.evaluation.evaluate import evaluate_predictions
    from lightning_avsp.evaluation.protocols import find_protocol
    from lightning_avsp.evaluation.results import write_results
    from lightning_avsp.evaluation.tables import print_evaluation

    predictions, root = Path(predictions), Path(root)
    corpora = [name.strip() for name in corpus.split(",")]
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("videos", total=None)
        result = evaluate_predictions(
            predictions,
            root,
            corpora,
            find_protocol(protocol),
            split,
            references=references,
            allow_missing=allow_missing,
            count_from=count_from,
            workers=workers,
            seed=seed,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    name = f"{'+'.join(corpora)}_split{split}_{protocol}.json"
    target = Path(out) if out is not None else Path("evaluations") / predictions.resolve().name / name
    print_evaluation(result, console)
    for path in write_results(result, target):
        console.print(f"written: {path}", highlight=False, markup=False, soft_wrap=True)
