"""Results of a run: scores as JSON and CSV, each with its counts, and predicted maps as PNG."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from PIL import Image

from lightning_avsp.data.partition import describe_choice
from lightning_avsp.files import atomic_write
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
        if not trainer.sanity_checking:  # scores of untrained weights
            self._write(trainer, pl_module, "val")

    def _write(self, trainer: Trainer, task: LightningModule, stage: Stage) -> None:
        if not trainer.is_global_zero or not isinstance(task, SaliencyTask) or stage not in task.scores:
            return
        table = task.scores[stage]
        data: Any = getattr(trainer, "datamodule", None)
        options = asdict(data.test) if hasattr(data, "test") else {}
        selection = getattr(data, "selection_label", None)
        if stage == "test" and selection is not None:
            selection = describe_choice(data.validation.selection, trainer.ckpt_path)
        averages = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith(f"{stage}/")
        }
        write_json(
            self.run.results / f"{stage}.json",
            {
                "averages": averages,
                "selection": selection,
                "synthetic": getattr(data, "synthetic", None),
                **{f"test_{name}": value for name, value in options.items()},
                "sampling": vars(task.sampling) if task.sampling is not None else None,
                "leaks": task.leaks,
                "checkpoint": str(trainer.ckpt_path) if trainer.ckpt_path else None,
                "videos": table.video_records(),
            },
        )
        write_atomically(self.run.results / f"{stage}_frames.csv", as_csv(table.frame_records()))


class MapWriter(BasePredictionWriter):
    """Writer of ``maps/<corpus>/<video>/%05d.png``, frames from 1: linear grey, 255 = 1.0, the network's map size."""

    def __init__(self, folder: Path) -> None:
        super().__init__(write_interval="batch")
        self.folder = folder

    def write_on_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, prediction: Any, *_: Any
    ) -> None:
        """Write the maps of one batch; each file appears whole or not at all."""
        maps = (prediction["maps"][:, 0].clamp(0, 1) * 255).round().byte().cpu().numpy()
        frames = prediction["frame"].tolist()
        rows = zip(prediction["corpus"], prediction["video_id"], frames, maps, strict=True)
        for corpus, video, frame, values in rows:
            path = self.folder / corpus / video / f"{frame:05d}.png"
            with atomic_write(path, fsync=False) as file:
                Image.fromarray(values, mode="L").save(file, format="PNG")
