"""Atomic writing of checkpoints: a kill, a power cut or a full disk leaves the earlier one whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from lightning_avsp.errors import AVSPError
from lightning_avsp.files import atomic_write
from lightning_avsp.plain_values import read_torch_file
from lightning_avsp.tasks.loading import WANTED, refuse_foreign


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writer to a temporary file in the checkpoint's own folder, flushed to disk and then renamed.

    Lightning's own writer builds its temporary file in the system's temporary folder: on another disk than the run, the
    last step is a copy, and a kill in its middle leaves half a ``last.ckpt``.
    """

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
        try:
            with atomic_write(target) as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:  # torch turns a failed write into a RuntimeError
            if isinstance(error, OSError) and error.errno not in (
                errno.ENOSPC,
                errno.EDQUOT,
                errno.EIO,
                errno.EACCES,
            ):
                raise
            state = f"the earlier {target.name} is whole" if target.exists() else "there was none before"
            raise AVSPError(
                f"{target} could not be written ({error}); {state}: make room on that disk and resume with "
                "--ckpt_path last"
            ) from error
