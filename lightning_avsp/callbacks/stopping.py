"""Stop early: at a NaN or infinite loss, with its clips in a file; at a signal, with a checkpoint to resume from."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lightning_avsp.errors import AVSPError
from lightning_avsp.run_folder import RunFolder, write_json

log = logging.getLogger(__name__)


class FiniteLoss(Callback):
    """Check of every training loss, several at once so that no step waits for the device.

    On the CPU each step is checked. Before every checkpoint the remaining losses are checked too, so that no checkpoint
    is ever written after a NaN or infinite loss.

    Args:
        run: Folder of the run; ``nonfinite.json`` goes there.
        every: Steps between two checks on an accelerator.
    """

    def __init__(self, run: RunFolder, every: int = 20) -> None:
        self.run = run
        self.every = every
        self._losses: list[Tensor] = []
        self._clips: list[dict[str, Any]] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Store the loss on its device, and the clips it was computed from."""
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if not isinstance(loss, Tensor):  # a step that was skipped
            return
        self._losses.append(loss.detach().float())  # not as a number, which would wait for the step
        keys = zip(batch["corpus"], batch["video_id"], batch["frame"], strict=True)
        clips = [[corpus, video, frame] for corpus, video, frame in keys]
        self._clips.append({"epoch": trainer.current_epoch, "batch": batch_idx, "clips": clips})
        if len(self._losses) >= (1 if loss.device.type == "cpu" else self.every):
            self.check(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the remaining losses before validation starts."""
        self.check(trainer)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Check the remaining losses before anything is saved."""
        self.check(trainer)  # a run resumed from weights after a NaN could only go on with it

    def check(self, trainer: Trainer) -> None:
        """Raise if one of the stored losses is NaN or infinite, on every process alike.

        Raises:
            AVSPError: Names the file with the clips.
        """
        losses, clips = self._losses, self._clips
        self._losses, self._clips = [], []
        finite = torch.stack(losses).isfinite().tolist() if losses else []
        path = self.run.path / (
            "nonfinite.json" if trainer.world_size == 1 else f"nonfinite-{trainer.global_rank}.json"
        )
        if not all(finite):
            found = [
                {
                    **origin,
                    "clips": [[c, v, int(frame)] for c, v, frame in origin["clips"]],
                    "loss": str(float(loss)),
                }
                for loss, origin, good in zip(losses, clips, finite, strict=True)
                if not good
            ]
            write_json(path, {"step": trainer.global_step, "rank": trainer.global_rank, "batches": found})
        # every process must stop where one does, or the others wait for it forever
        if not trainer.strategy.reduce_boolean_decision(all(finite), all=True):
            where = path.name if not all(finite) else "nonfinite-RANK.json"
            raise AVSPError(
                f"the training loss is NaN or infinite near step {trainer.global_step}; the clips of its batch are in "
                f"{self.run.path / where}, the last checkpoint is from before: inspect these clips, lower the learning "
                "rate, or clip gradients (trainer.gradient_clip_val)"
            )


WATCHED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
STEPS_BETWEEN_EXCHANGES = 10
"""Steps on an accelerator after which processes exchange what signals they received."""


class StopSignals(Callback):
    """Handler of signals that saves ``last.ckpt`` and exits at the end of a step, on all processes together.

    Lightning acts inside the signal handler: it broadcasts there, which hangs if only some processes get the signal,
    and without SLURM SIGUSR1 kills the process. Here the handler only notes the signal. The exit code is 128 plus the
    signal's number, as shells count.

    A second Ctrl-C does not wait for the step, and saves nothing.

    Under SLURM, SIGUSR1 also puts the job back into the queue (``scontrol requeue``).
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self.received = 0
        self._steps = 0
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install the handler of the signals."""
        self.received = 0
        if threading.current_thread() is threading.main_thread():  # no other may install handlers
            self._before = {number: signal.signal(number, self._note) for number in WATCHED}

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the earlier handlers, before Lightning restores its own."""
        self._release()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Restore the earlier handlers."""
        self._release()

    def _release(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._before.items():
                if signal.getsignal(number) == self._note:  # not one that somebody set meanwhile
                    signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self.received == number:
                raise KeyboardInterrupt
            # not by logging, which may be in the middle of a line
            os.write(2, b"\nCtrl-C: saving after this step; once more stops without it\n")
        self.received = number

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and exit if any process has received a signal.

        Raises:
            SystemExit: 128 plus the signal's number.
        """
        alone = trainer.world_size == 1
        self._steps += 1
        # asking an accelerator waits for it; on the CPU it costs nothing
        if not alone and pl_module.device.type != "cpu" and self._steps % STEPS_BETWEEN_EXCHANGES != 0:
            return
        if alone:
            number = self.received
        else:
            got = [trainer.strategy.reduce_boolean_decision(self.received == n, all=False) for n in WATCHED]
            number = next((int(n) for n, here in zip(WATCHED, got, strict=True) if here), 0)
        if not number:
            return
        path = self.run.checkpoints / "last.ckpt"
        trainer.save_checkpoint(path, weights_only=False)  # with the optimiser, to go on exactly
        name = signal.Signals(number).name
        if trainer.is_global_zero:
            log.warning(
                "%s: saved %s after step %d; resume with --ckpt_path last", name, path, trainer.global_step
            )
            if number == signal.SIGUSR1 and "SLURM_JOB_ID" in os.environ:
                requeue_job()
        raise SystemExit(128 + number)


def requeue_job() -> None:
    """Put this SLURM job back into the queue; a failure is logged, the checkpoint is there anyway."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]
    try:
        subprocess.run(["scontrol", "requeue", job], check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("job %s could not be put back into the queue (%s); submit it again", job, error)
