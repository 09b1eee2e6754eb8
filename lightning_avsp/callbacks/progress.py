"""Progress of a run: a rich bar on a terminal, plain lines elsewhere, and `progress.json` for `avsp sweep status`."""

from __future__ import annotations

import socket
import sys
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import RichProgressBarTheme

from lightning_avsp.run_folder import RunFolder, write_json

SECONDS_BETWEEN_LINES, SECONDS_BETWEEN_BEATS = 20.0, 5.0


def progress_bar() -> ProgressBar:
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
        left = (steps - step) * (now - began) / max(1, step - first)
        endless = steps == float("inf")
        content = {
            "step": step,
            "steps": None if endless else int(steps),
            "left_s": None if endless else left,
        }
        write_json(self.run.path / "progress.json", {**content, "host": socket.gethostname(), "written": now})
