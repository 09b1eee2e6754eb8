"""A training loader that a killed run takes up again in the middle of an epoch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import islice
from typing import Any, cast

from torch.utils.data import DataLoader

from lightning_avsp.data.samplers import EpochShuffleSampler
from lightning_avsp.structures import SaliencyBatch


class ResumeWarning(UserWarning):
    """A checkpoint's place in the epoch cannot be taken up, because the data changed since."""


class ResumableDataLoader(DataLoader[SaliencyBatch]):
    """A ``DataLoader`` with the ``state_dict`` and ``load_state_dict`` that Lightning calls in training.

    The state is the number of batches handed out (not fetched ahead) in an epoch. After ``load_state_dict``
    the next iteration of that epoch starts behind them, without reading what is passed over. The sampler must
    be an :class:`~lightning_avsp.data.samplers.EpochShuffleSampler`, which makes an epoch's order known from
    its number; with another one (Lightning's ``overfit_batches``) batches are read and dropped.

    A batch is counted when it is handed out, so a checkpoint written while it is being trained on would leave
    it out; Lightning writes them after the step.
    """

    _handed_out: int = 0
    _resume: dict[str, int] | None = None

    def __iter__(self) -> Iterator[SaliencyBatch]:  # type: ignore[override]  # ours is a plain iterator
        """Batches of the sampler's epoch.

        Nothing happens before the first ``next``: Lightning makes the iterator first and tells the epoch
        after.
        """
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
        for batch in batches:
            self._handed_out += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Place in the epoch, and what it is counted in."""
        if self._resume is not None:  # loaded, but not yet iterated
            return dict(self._resume)
        return {"epoch": self._epoch, "batches": self._handed_out, **self._measure()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a place in an epoch. A finished epoch means the start of the next.

        If the number of clips, the batch size, the seed or the number of processes changed since, the place
        means
        nothing: a :class:`ResumeWarning` says so and the epoch starts from its beginning.
        """
        epoch, batches = int(state["epoch"]), int(state["batches"])
        if batches >= len(self):
            epoch, batches = epoch + 1, 0
        measure = self._measure()
        changed = [f"{key} {state[key]} -> {measure[key]}" for key in measure if state[key] != measure[key]]
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
