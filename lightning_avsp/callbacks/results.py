"""Test and validation scores as JSON and CSV: per corpus, per video, per frame, each with its counts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_avsp.run_folder import RunFolder, as_csv, write_atomically, write_json
from lightning_avsp.tasks import SaliencyTask
from lightning_avsp.tasks.base import Stage


class ResultWriter(Callback):
    """Writer of ``results/test.json`` (averages, counts, per video) and ``results/test_frames.csv`` after a test."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the scores of the test."""
        self._write(trainer, pl_module, "test")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the scores of the validation, replacing the previous epoch's."""
        if not trainer.sanity_checking:
            self._write(trainer, pl_module, "val")

    def _write(self, trainer: Trainer, task: LightningModule, stage: Stage) -> None:
        if not trainer.is_global_zero or not isinstance(task, SaliencyTask) or stage not in task.scores:
            return
        table = task.scores[stage]
        data: Any = getattr(trainer, "datamodule", None)
        options = asdict(data.test) if hasattr(data, "test") else {}
        averages = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith(f"{stage}/")
        }
        write_json(
            self.run.results / f"{stage}.json",
            {
                "averages": averages,
                "selection": getattr(data, "selection_label", None),
                "synthetic": getattr(data, "synthetic", None),
                **{f"test_{name}": value for name, value in options.items()},
                "sampling": vars(task.sampling) if task.sampling is not None else None,
                "leaks": task.leaks,
                "checkpoint": str(trainer.ckpt_path) if trainer.ckpt_path else None,
                "videos": table.video_records(),
            },
        )
        write_atomically(self.run.results / f"{stage}_frames.csv", as_csv(table.frame_records()))
