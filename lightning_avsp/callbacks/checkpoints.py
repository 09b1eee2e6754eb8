"""`last.ckpt` every few steps and at each epoch's end, `best.ckpt` by a validation metric, each written atomically."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from lightning_avsp.errors import AVSPError
from lightning_avsp.files import atomic_write
from lightning_avsp.plain_values import read_torch_file
from lightning_avsp.run_folder import RunFolder
from lightning_avsp.tasks.loading import WANTED, refuse_foreign


class RunCheckpoint(ModelCheckpoint):
    """ModelCheckpoint of a run whose folder may have been moved or copied since."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state with every path moved from the old folder to this one."""
        # Lightning forgets the best score when the folder's path has changed; the next validation, however bad, would
        # then overwrite best.ckpt
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

    ``last.ckpt`` is written every so many steps; the best epoch is that of the largest (``max``) or smallest value of
    ``monitor``. Where nothing is validated, that is None, and the last is kept alone.
    """
    common: dict[str, Any] = {"dirpath": run.checkpoints, "enable_version_counter": False}
    # one trigger each: Lightning takes no two in one callback
    by_step = RunCheckpoint(**common, save_top_k=0, save_last=True, every_n_train_steps=every_steps)
    by_epoch = RunCheckpoint(**common, save_top_k=0, save_last=True, save_on_train_epoch_end=True)
    if monitor is None:
        return [by_step, by_epoch]
    best = RunCheckpoint(
        **common, filename="best", monitor=monitor, mode=mode, save_top_k=1, auto_insert_metric_name=False
    )
    return [best, by_step, by_epoch]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writer to a temporary file in the checkpoint's own folder, flushed to disk and then renamed."""

    def load_checkpoint(self, path: str | os.PathLike[str], *_: Any, **__: Any) -> dict[str, Any]:
        """Read a checkpoint as data, whatever options say: it must not be able to run code.

        Raises:
            InputError: If it cannot be read, or is no checkpoint of a training run.
        """
        content = read_torch_file(Path(path), WANTED)
        refuse_foreign(Path(path), content)
        return dict(content)

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write a checkpoint, or leave everything as it was.

        Raises:
            AVSPError: If the disk is full or the folder cannot be written.
        """
        target = Path(path)
        # Lightning's own writer builds its file in the system's temporary folder: on another disk than the run, the
        # last step is a copy, and a kill in its middle leaves half a last.ckpt
        try:
            with atomic_write(target) as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:  # torch turns a failed write into a RuntimeError
            ours = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES)
            if isinstance(error, OSError) and error.errno not in ours:
                raise
            state = f"the earlier {target.name} is whole" if target.exists() else "there was none before"
            raise AVSPError(
                f"{target} could not be written ({error}); {state}: make room on that disk and resume with "
                "--ckpt_path last"
            ) from error
