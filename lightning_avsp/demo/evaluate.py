"""Scores one trained run with its own and with another video's sound, at several numbers of denoising steps.

Run as `python -m lightning_avsp.demo.evaluate SETTINGS.json`, one process per run, so that two fit side by side on two
cores.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

CONDITIONS = {"Sound": "sound decides", "Music": "music", "Silent": "silent"}
"""Ending of a synthetic video's name, and what it means for where observers look."""


@dataclass(frozen=True)
class Evaluation:
    """What one process has to do."""

    model: str
    """Name of the row in the table."""
    seed: int
    """Training seed of the run."""
    corpus: str
    """Root of the synthetic corpus."""
    checkpoint: str | None
    """Checkpoint to score, or None for the centre prior."""
    out: str
    """JSON file that the rows are written to."""
    every: int = 20
    """Score every k-th frame of the test videos."""
    steps: tuple[int, ...] = (1, 4)
    """Numbers of denoising steps."""
    audio: tuple[str, ...] = ("true", "other_video")
    """Whose sound the model hears."""


def evaluate(settings: Evaluation) -> list[dict[str, Any]]:
    """One row per condition, sound and number of steps: CC and NSS, mean over videos of the mean over frames."""
    from lightning.pytorch import Trainer

    from lightning_avsp.demo.baseline import mean_training_map, score_constant
    from lightning_avsp.tasks import DiffusionSaliencyTask

    rows: list[dict[str, Any]] = []
    common = {"model": settings.model, "seed": settings.seed}
    if settings.checkpoint is None:
        datamodule = demo_data(settings, "true")
        datamodule.setup("fit")
        datamodule.setup("test")
        table = score_constant(mean_training_map(datamodule), datamodule).table()
        return [
            {**common, "audio": None, "steps": None, **row} for row in by_condition(table.video_records())
        ]
    task = DiffusionSaliencyTask.load_from_checkpoint(
        settings.checkpoint, map_location="cpu", weights_only=True
    )
    write_sensitivity(task, demo_data(settings, "true"), Path(settings.out).with_name("sensitivity.json"))
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        barebones=False,
    )
    for audio in settings.audio:
        datamodule = demo_data(settings, audio)
        for steps in settings.steps:
            task.sampling = dataclasses.replace(task.sampling, steps=steps)
            trainer.test(task, datamodule=datamodule, verbose=False)
            rows += [
                {**common, "audio": audio, "steps": steps, **row}
                for row in by_condition(task.scores["test"].video_records())
            ]
    return rows


def write_sensitivity(task: Any, datamodule: Any, path: Path) -> None:
    """How much the denoiser uses the noisy map and t, on the first test clips."""
    from lightning_avsp.demo.sensitivity import denoiser_sensitivity
    from lightning_avsp.run_folder import write_json

    datamodule.setup("test")
    batch = next(iter(datamodule.test_dataloader()))
    task.eval()
    found = denoiser_sensitivity(
        task.network,
        task.diffusion,
        task.network.normalize_video(batch["video"]),
        batch["audio"],
        task.target(batch),
    )
    write_json(path, dataclasses.asdict(found))


def demo_data(settings: Evaluation, audio: str) -> Any:
    """The demo's data with the given sound in the test."""
    from lightning_avsp.data import AVSaliencyDataModule, LogMel

    return AVSaliencyDataModule(
        root=Path(settings.corpus),
        corpora=["AVAD"],
        size=(64, 128),
        audio=LogMel(size=(32, 64)),
        batch_size=32,
        num_workers=0,
        test_audio=audio,  # type: ignore[arg-type]
        test_every=settings.every,
    )


def by_condition(videos: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over the videos of each condition; a video without a value is left out and counted."""
    rows = []
    for ending, condition in CONDITIONS.items():
        here = [row for row in videos if str(row["video"]).endswith(f"_{ending}")]
        values = {name: [row[name] for row in here if row[name] == row[name]] for name in ("cc", "nss")}
        means = {name: fmean(found) if found else float("nan") for name, found in values.items()}
        rows.append({"condition": condition, **means, "videos": len(here)})
    return rows


def main(path: Path) -> None:
    """Read the settings, evaluate, write the rows."""
    from lightning_avsp.run_folder import write_json

    settings = Evaluation(**json.loads(path.read_text()))
    with warnings.catch_warnings():
        # the demo scores on as many cores as it was given; Lightning would suggest more loader processes
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        rows = evaluate(settings)
    write_json(Path(settings.out), rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
