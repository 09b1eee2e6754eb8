"""`last.ckpt` every so many steps and at every epoch's end, `best.ckpt` by a validation metric."""

from __future__ import annotations

from typing import Any, Literal

from lightning.pytorch.callbacks import ModelCheckpoint

from lightning_avsp.run_folder import RunFolder


def checkpoint_callbacks(
    run: RunFolder, monitor: str, mode: Literal["max", "min"], every_steps: int
) -> list[ModelCheckpoint]:
    """Callbacks that keep exactly two files, under names that do not depend on how often a run was resumed.

    Lightning writes each file to a temporary name first, so a killed run keeps the earlier one whole.

    Args:
        run: Folder of the run.
        monitor: Logged value that decides which epoch is best.
        mode: Whether more or less of it is better.
        every_steps: Training steps between two writings of ``last.ckpt``.
    """
    common: dict[str, Any] = {"dirpath": run.checkpoints, "enable_version_counter": False}
    best = ModelCheckpoint(
        **common, filename="best", monitor=monitor, mode=mode, save_top_k=1, auto_insert_metric_name=False
    )
    by_step = ModelCheckpoint(**common, save_top_k=0, save_last=True, every_n_train_steps=every_steps)
    by_epoch = ModelCheckpoint(**common, save_top_k=0, save_last=True, save_on_train_epoch_end=True)
    return [best, by_step, by_epoch]
