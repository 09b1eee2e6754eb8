"""Dataloaders, and a training loader that a killed run resumes in the middle of an epoch."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import signal
import warnings
from collections.abc import Iterator
from itertools import islice
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_avsp.data.collate import collate
from lightning_avsp.data.samplers import EpochShuffleSampler
from lightning_avsp.errors import InputError
from lightning_avsp.structures import SaliencyBatch

log = logging.getLogger(__name__)


StartMethod = Literal["fork", "spawn", "forkserver"]
"""Ways to start a process."""
# Imported once by the server, with all that a worker needs of ours; Lightning would take three times as long
_PRELOADED = ["lightning_avsp.data.dataset", "lightning_avsp.data.loader"]
SHARED_MEMORY = Path("/dev/shm")  # where workers pass batches on; containers have 64 MiB of it by default
MAX_WORKERS = 16  # of a device by default: more do not pay, and each holds decoded audio


def default_workers(devices: int, part: Literal["train", "validation", "test"]) -> int:
    """Return the number of workers of one loader: the cores of this node, shared by its devices.

    Args:
        devices: Devices on this node.
        part: Loader; ``test`` is the only one of its process.
    """
    # SLURM and containers give a process fewer cores than the machine has
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = min(MAX_WORKERS, max(1, count // devices))
    # in training two loaders have persistent workers at the same time
    validation = max(1, cores // 4)
    return {"train": max(1, cores - validation), "validation": validation, "test": cores}[part]


def start_worker_server() -> None:
    """Start the process that workers are forked from, so that its imports run beside the rest of a start."""
    if worker_context().get_start_method() == "forkserver":
        from multiprocessing.forkserver import ensure_running

        # Ctrl-C reaches every process of a terminal: workers inherit this, or they would end before the step is saved
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            ensure_running()
        finally:
            signal.signal(signal.SIGINT, handler)


def check_shared_memory(num_workers: int, batch_bytes: int) -> None:
    """Refuse workers whose batches do not fit into shared memory: writing there, they would die of a bus error.

    Args:
        num_workers: Dataloader workers.
        batch_bytes: Bytes of a batch; each worker holds two that are fetched ahead and one that it writes.

    Raises:
        InputError: With both sizes and the remedies.
    """
    if num_workers == 0 or not SHARED_MEMORY.is_dir():
        return
    needed, free = 3 * num_workers * batch_bytes, shutil.disk_usage(SHARED_MEMORY).free
    if needed > free:
        raise InputError(
            f"{num_workers} dataloader workers keep {needed >> 20} MiB of batches in {SHARED_MEMORY}, which has "
            f"{free >> 20} MiB free: give the container more (docker run --shm-size=8g), lower data.num_workers or "
            "data.batch_size, or set data.num_workers=0"
        )


def loader_settings(
    num_workers: int, start_method: StartMethod | None, seed: int, batch_bytes: int
) -> dict[str, Any]:
    """Return the keyword arguments that every ``DataLoader`` of the suite has in common.

    Args:
        num_workers: Dataloader workers; 0 loads in this process.
        start_method: Their start, see :func:`worker_context`.
        seed: Seed of the loader's own generator.
        batch_bytes: Bytes of a batch, for :func:`check_shared_memory`.
    """
    check_shared_memory(num_workers, batch_bytes)
    return {
        "num_workers": num_workers,
        "collate_fn": collate,
        # where there is none, Lightning adds a function of its own, and workers import all of it
        "worker_init_fn": keep_seeds,
        # copies from pinned memory run beside the computation
        "pin_memory": torch.cuda.is_available(),
        "persistent_workers": num_workers > 0,  # keep their decoded audio from epoch to epoch
        "multiprocessing_context": worker_context(start_method) if num_workers else None,
        # without one each epoch's start draws from torch's global generator, and a run resumed in mid-epoch
        # would draw other noise from there on
        "generator": torch.Generator().manual_seed(seed),
    }


def keep_seeds(worker: int) -> None:
    """Leave a worker's seeds as torch sets them: clips are drawn by (seed, epoch, index), never from global state."""


def worker_context(method: StartMethod | None = None) -> BaseContext:
    """Return the start method of workers: ``forkserver`` by default, ``spawn`` where there is none.

    As with ``spawn``, a script of one's own must start its training under ``if __name__ == "__main__":``.
    """
    # A fork copies locks that other threads of this process hold at that moment (those of OpenMP, CUDA, video
    # decoders), and the child can then wait forever; Python 3.12 warns of it and 3.14 no longer forks by default.
    # The fork server never had such threads, imports the data classes once, and then forks workers as fast.
    have = multiprocessing.get_all_start_methods()
    name = method or ("forkserver" if "forkserver" in have else "spawn")
    context = multiprocessing.get_context(name)
    if name == "forkserver":
        context.set_forkserver_preload(_PRELOADED)
    return context


class ResumeWarning(UserWarning):
    """A checkpoint's position in the epoch cannot be resumed, because the data changed since."""


class ResumableDataLoader(DataLoader[SaliencyBatch]):
    """A ``DataLoader`` with the ``state_dict`` and ``load_state_dict`` that Lightning calls in training.

    The state is the number of batches handed out (not fetched ahead) in an epoch. After ``load_state_dict``
    the next iteration of that epoch starts behind them, without reading what is passed over. The sampler must
    be an :class:`~lightning_avsp.data.samplers.EpochShuffleSampler`, which makes an epoch's order known from
    its number; with another one (Lightning's ``overfit_batches``) batches are read and dropped.
    """

    redrawn: int = 0
    """Clips of this epoch that replace one with a blank map; logged at its end."""
    _handed_out: int = 0
    _resume: dict[str, int] | None = None

    def __iter__(self) -> Iterator[SaliencyBatch]:  # type: ignore[override]  # ours is a plain iterator
        """Iterate over the batches of the sampler's epoch."""
        # A generator: nothing happens before the first next(), since Lightning makes the iterator first and sets the
        # epoch afterwards
        resume, self._resume = self._resume, None
        skip = 0
        if resume is not None and resume["epoch"] == self._epoch:
            skip = resume["batches"]
        self._handed_out = skip
        batches: Iterator[SaliencyBatch]
        if isinstance(self.sampler, EpochShuffleSampler):
            self.sampler.skip = skip * (self.batch_size or 1)
            batches = cast(Iterator[SaliencyBatch], super().__iter__())
        else:
            batches = islice(cast(Iterator[SaliencyBatch], super().__iter__()), skip, None)
        self.redrawn, clips, epoch = 0, 0, self._epoch
        try:
            for batch in batches:
                # when it is handed out, not when its step is done: Lightning saves after the step
                self._handed_out += 1
                # Flags are for the log alone: networks never get them
                flags = (
                    cast(dict[str, Tensor], batch).pop("redrawn", None) if isinstance(batch, dict) else None
                )
                if flags is not None:
                    self.redrawn, clips = self.redrawn + int(flags.sum()), clips + flags.numel()
                yield batch
        finally:  # also when a limit on batches ends the epoch
            if self.redrawn:
                log.info(
                    "epoch %d: %d of %d training clips replace clips whose target frame has no gaze "
                    "(training.blank_maps: redraw)",
                    epoch,
                    self.redrawn,
                    clips,
                )

    def state_dict(self) -> dict[str, int]:
        """Return the position in the epoch, with its units."""
        if self._resume is not None:  # loaded, but not yet iterated
            return dict(self._resume)
        return {"epoch": self._epoch, "batches": self._handed_out, **self._measure()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume a position in an epoch. A finished epoch means the start of the next.

        If the number of clips, the batch size, the seed or the number of processes changed since, the position is
        invalid: a :class:`ResumeWarning` is given and the epoch starts from its beginning.
        """
        epoch, batches = int(state["epoch"]), int(state["batches"])
        # written at the end of an epoch, before Lightning has counted it
        if batches >= len(self):
            epoch, batches = epoch + 1, 0
        measure = self._measure()
        changed = [f"{key} {state[key]} -> {measure[key]}" for key in measure if state[key] != measure[key]]
        # at the start of an epoch nothing is lost by other data
        if changed and batches:
            warnings.warn(
                f"the checkpoint was written after batch {batches} of epoch {epoch}, but the data changed "
                f"since ({', '.join(changed)}); epoch {epoch} starts from its beginning",
                ResumeWarning,
                stacklevel=2,
            )
            batches = 0
        if isinstance(self.sampler, EpochShuffleSampler):
            self.sampler.set_epoch(epoch)
        self._resume = {"epoch": epoch, "batches": batches, **measure}

    @property
    def _epoch(self) -> int:
        return self.sampler.epoch if isinstance(self.sampler, EpochShuffleSampler) else 0

    def _measure(self) -> dict[str, int]:
        measure = {
            "samples": len(cast(Any, self.sampler)),
            "batch_size": self.batch_size or 1,
            "seed": 0,
            "world": 1,
        }
        if isinstance(self.sampler, EpochShuffleSampler):
            measure |= {"seed": self.sampler.seed, "world": self.sampler.num_replicas}
        return measure
