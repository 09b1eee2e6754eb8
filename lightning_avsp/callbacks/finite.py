"""Stop at a NaN or infinite loss, with the clips of its batch in a file."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lightning_avsp.errors import AVSPError
from lightning_avsp.run_folder import RunFolder, write_json


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
        self._losses.append(loss.detach().float())
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
        self.check(trainer)

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
