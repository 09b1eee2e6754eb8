"""`progress.json`: step, time left and host of a run, for `avsp sweep status`."""

from __future__ import annotations

import socket
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_avsp.run_folder import RunFolder, write_json


class Heartbeat(Callback):
    """File with step, number of steps, host and time left in the run's folder, written on rank 0.

    Args:
        run: Folder of the run.
        every: Seconds between two writings.
    """

    def __init__(self, run: RunFolder, every: float = 5.0) -> None:
        self.run = run
        self.every = every
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
        now = time.time()
        if not trainer.is_global_zero or now - self._written < self.every:
            return
        self._written = now
        began, first = self._started
        pace = (now - began) / max(1, step - first)
        content = {
            "step": step,
            "steps": int(steps) if steps != float("inf") else None,
            "left_s": (steps - step) * pace if steps != float("inf") else None,
            "host": socket.gethostname(),
            "written": now,
        }
        write_json(self.run.path / "progress.json", content)
