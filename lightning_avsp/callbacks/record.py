"""Files of a run: configuration, record, results, predicted maps, `progress.json`; and its progress bar."""

from __future__ import annotations

import platform
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter, ProgressBar, RichProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import RichProgressBarTheme
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import WandbLogger
from PIL import Image

import lightning_avsp
from lightning_avsp.callbacks.origins import started_from
from lightning_avsp.data.partition import describe_choice
from lightning_avsp.files import atomic_write
from lightning_avsp.run_folder import RunFolder, as_csv, read_run_json, write_atomically, write_json
from lightning_avsp.tasks import SaliencyTask
from lightning_avsp.tasks.base import Stage


class RunRecord(SaveConfigCallback):
    """Writer of the full configuration and the run's facts into its folder, on rank 0, without collectives.

    The callback that Lightning brings writes to the logger's folder, which two W&B runs share: the second run fails,
    or overwrites the first one's file. Here each command of a run has a file of its own.
    """

    _earlier: Sequence[dict[str, Any]] = ()  # a resumed run has seen the videos of all its parts

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the configuration, and ``run.json`` of a training; Lightning calls this once per command, on rank 0."""
        run = RunFolder(Path(trainer.default_root_dir))
        text = self.parser.dump(
            self.config, skip_unset=False
        )  # defaults too: they may change between versions
        name = "config.yaml" if stage == "fit" else f"config-{getattr(stage, 'value', stage)}.yaml"
        write_atomically(run.path / name, text)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.config.update({"avsp": self.config.as_dict()}, allow_val_change=True)
        if stage == "fit":  # a test must not replace the record of the training
            self._earlier = self._earlier_parts(run, pl_module, trainer)
            write_json(run.record, {**self._facts(trainer, pl_module), "finished": False})

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Mark the run as finished, unless it was interrupted."""
        run = RunFolder(Path(trainer.default_root_dir))
        if trainer.is_global_zero and not trainer.interrupted:
            write_json(run.record, {**self._facts(trainer, pl_module), "finished": True})

    def _earlier_parts(
        self, run: RunFolder, pl_module: LightningModule, trainer: Trainer
    ) -> list[dict[str, Any]]:
        """Collect videos and origins of the commands that this one resumes, where they differ from its own."""
        path = self.config.get("ckpt_path")
        own = path is not None and run.path.resolve() in Path(path).resolve().parents
        if not own or not run.record.is_file():
            return []
        before = read_run_json(run.record)
        parts = [
            *before.get("earlier", []),
            {"videos": before["videos"], "started_from": before.get("started_from", {})},
        ]
        now = self._facts(trainer, pl_module)
        # repeats of this command's own would grow with each resumption
        return [part for part in parts if any(part[key] != now[key] for key in part)]

    def _facts(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        data = getattr(trainer, "datamodule", None)
        videos = {
            part: [list(key) for key in data.videos(part)] if data is not None else []
            for part in ("train", "validation", "test")
        }
        return {
            "experiment": self.config.get("experiment"),
            "seed": self.config.get("seed_everything"),
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "steps": trainer.global_step,
            "epochs": trainer.current_epoch,
            "synthetic": getattr(data, "synthetic", None),
            "selection": getattr(data, "selection_label", None),
            "videos": videos,
            "weights": getattr(pl_module, "weight_report", list)(),
            "captions": data.caption_identity() if data is not None else None,
            "starts": getattr(pl_module, "starts", dict)(),
            "started_from": started_from(self.config.as_dict(), Path(trainer.default_root_dir)),
            "earlier": self._earlier,
            "parameters": {
                "trainable": sum(p.numel() for p in pl_module.parameters() if p.requires_grad),
                "frozen": sum(p.numel() for p in pl_module.parameters() if not p.requires_grad),
            },
            "precision": str(trainer.precision),
            "optimiser": getattr(pl_module, "optimizer_report", ""),
            "world_size": trainer.world_size,
            "device": str(pl_module.device),
            "versions": {
                "lightning_avsp": lightning_avsp.__version__,
                "commit": commit(),
                "torch": torch.__version__,
                "lightning": lightning.__version__,
                "python": platform.python_version(),
            },
        }


def commit() -> str | None:
    """Return the commit of the checkout that the package runs from, or None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    # a dirty checkout is marked: its commit alone did not train
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


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


SECONDS_BETWEEN_LINES, SECONDS_BETWEEN_BEATS = 20.0, 5.0


def training_progress() -> ProgressBar:
    """Choose the progress bar for a terminal or a log file."""
    if sys.stdout.isatty():
        theme = RichProgressBarTheme(progress_bar="cyan", progress_bar_finished="green", metrics="grey62")
        return TerminalProgress(theme=theme, leave=True)
    return PlainProgress()


def count_batches(trainer: Trainer) -> int | float:
    """Count the batches of the current epoch, which ``max_steps`` may cut."""
    whole = trainer.num_training_batches
    if trainer.max_steps < 0 or whole == float("inf"):
        return whole
    # Lightning counts so only without a number of epochs, and then wrongly for a resumed epoch
    return min(whole, trainer.max_steps * trainer.accumulate_grad_batches - trainer.current_epoch * whole)


class TerminalProgress(RichProgressBar):
    """Lightning's bar, whose end is the end of the training."""

    @property
    def total_train_batches(self) -> int | float:
        """Batches of the current epoch."""
        return count_batches(self.trainer)

    def _get_train_description(self, current_epoch: int) -> str:
        several = self.trainer.max_epochs != 1
        return super()._get_train_description(current_epoch) if several else f"{'Training':10}"

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return the values beside the bar, without the number that Lightning's loggers give a run."""
        return {k: v for k, v in super().get_metrics(trainer, pl_module).items() if k != "v_num"}


class PlainProgress(ProgressBar):
    """A line every 20 seconds and one per finished epoch, readable in a log file."""

    def __init__(self) -> None:
        super().__init__()
        self._last = 0.0
        self._enabled = True

    def disable(self) -> None:
        """Print nothing (Lightning calls this on every rank but the first)."""
        self._enabled = False

    def enable(self) -> None:
        """Print again."""
        self._enabled = True

    def _line(self, text: str, force: bool = False) -> None:
        now = time.monotonic()
        if self._enabled and (force or now - self._last >= SECONDS_BETWEEN_LINES):
            self._last = now
            print(text, flush=True)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Print the progress of the epoch."""
        metrics = self.get_metrics(trainer, pl_module)
        values = ", ".join(f"{k} {v:.4g}" for k, v in metrics.items() if isinstance(v, float))
        self._line(
            f"epoch {trainer.current_epoch}, batch {batch_idx + 1} of {count_batches(trainer)}: {values}"
        )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the validation scores."""
        if not trainer.sanity_checking:
            self._summary(trainer, "val")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the test scores."""
        self._summary(trainer, "test")

    def on_test_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Print the progress of the test."""
        batch_idx = kwargs.get("batch_idx", args[3] if len(args) > 3 else 0)
        self._line(f"test, batch {batch_idx + 1} of {trainer.num_test_batches}")

    def _summary(self, trainer: Trainer, stage: str) -> None:
        names = ("cc", "sim", "nss", "auc_judd", "loss")
        found = {name: trainer.callback_metrics.get(f"{stage}/{name}") for name in names}
        values = ", ".join(f"{name} {float(v):.4f}" for name, v in found.items() if v is not None)
        self._line(f"epoch {trainer.current_epoch}, {stage}: {values}", force=True)


class Heartbeat(Callback):
    """File with step, number of steps, host and time left in the run's folder, written on rank 0."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self._started = (0.0, 0)
        self._written = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock at the first step of a run, or at the one that it is resumed at."""
        self._started = (time.time(), trainer.global_step)

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Write the optimiser step."""
        self._write(trainer, trainer.global_step, trainer.estimated_stepping_batches)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of a test."""
        self._started = (time.time(), 0)

    def on_test_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Write the number of the batch."""
        batch_idx = kwargs.get("batch_idx", args[3] if len(args) > 3 else 0)
        self._write(trainer, batch_idx + 1, sum(trainer.num_test_batches))

    def _write(self, trainer: Trainer, step: int, steps: float) -> None:
        now, (began, first) = time.time(), self._started
        if not trainer.is_global_zero or now - self._written < SECONDS_BETWEEN_BEATS:
            return
        self._written = now
        # steps of this process: those before a resumption took none of its time
        left = (steps - step) * (now - began) / max(1, step - first)
        endless = steps == float("inf")
        content = {
            "step": step,
            "steps": None if endless else int(steps),
            "left_s": None if endless else left,
        }
        write_json(self.run.path / "progress.json", {**content, "host": socket.gethostname(), "written": now})
