"""`last.ckpt` every so many steps and at every epoch's end, `best.ckpt` by a validation metric."""

from __future__ import annotations

from typing import Any, Literal

from lightning.pytorch.callbacks import ModelCheckpoint

from lightning_avsp.run_folder import RunFolder


class RunCheckpoint(ModelCheckpoint):
    """ModelCheckpoint of a run whose folder may have been moved or copied since.

    Lightning forgets the best score when the folder's path has changed; the next validation, however bad, would then
    overwrite ``best.ckpt``.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state with every path moved from the old folder to this one."""
        before, now = str(state_dict.get("dirpath")), str(self.dirpath)

        def moved(value: Any) -> Any:
            if isinstance(value, str):
                return value.replace(before, now, 1) if value.startswith(before) else value
            if isinstance(value, dict):
                return {moved(key): moved(item) for key, item in value.items()}
            return value

        super().load_state_dict({key: moved(value) for key, value in state_dict.items()})


def checkpoint_callbacks(
    run: RunFolder, monitor: str | None, mode: Literal["max", "min"], every_steps: int
) -> list[RunCheckpoint]:
    """Build callbacks that keep exactly two files, under names that do not depend on how often a run was resumed.

    Lightning writes each file to a temporary name first, so a killed run keeps the earlier one whole.

    Args:
        run: Folder of the run.
        monitor: Logged value that decides which epoch is best; None where nothing is validated: the last alone is kept.
        mode: ``max`` if a larger value is better, else ``min``.
        every_steps: Training steps between two writings of ``last.ckpt``.
    """
    common: dict[str, Any] = {"dirpath": run.checkpoints, "enable_version_counter": False}
    by_step = RunCheckpoint(**common, save_top_k=0, save_last=True, every_n_train_steps=every_steps)
    by_epoch = RunCheckpoint(**common, save_top_k=0, save_last=True, save_on_train_epoch_end=True)
    if monitor is None:
        return [by_step, by_epoch]
    best = RunCheckpoint(
        **common, filename="best", monitor=monitor, mode=mode, save_top_k=1, auto_insert_metric_name=False
    )
    return [best, by_step, by_epoch]
