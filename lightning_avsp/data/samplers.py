"""Order of samples: shuffled by (seed, epoch), split over processes exactly.

Both are ``DistributedSampler`` by type, because Lightning leaves those alone and would otherwise put its own,
which repeats samples in evaluation, in their place. Neither needs a process group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import Any, Literal, cast

import numpy as np
from torch.utils.data import Dataset
from torch.utils.data.distributed import DistributedSampler

from lightning_avsp.errors import InputError


class EpochShuffleSampler(DistributedSampler[Any]):
    """Training order: one permutation per (seed, epoch), given as ``(index, epoch)`` pairs.

    All processes draw the same permutation and take every ``world``-th of it. If it does not divide evenly,
    ``uneven`` says what happens to the rest: ``drop`` leaves out the last few of this epoch's order (other
    ones each epoch), ``pad`` repeats its first few. On one process nothing is dropped or repeated.

    Args:
        dataset: Dataset; only its length is used.
        seed: Seed of the permutations.
        rank: This process.
        world: Number of processes.
        uneven: Rule for the rest.
    """

    def __init__(
        self,
        dataset: Sized,
        *,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        uneven: Literal["drop", "pad"] = "drop",
    ) -> None:
        super().__init__(
            cast(Dataset[Any], dataset),
            num_replicas=world,
            rank=rank,
            shuffle=True,
            seed=seed,
            drop_last=uneven == "drop",
        )
        self.length = len(dataset)
        if uneven == "drop" and self.length < world:
            raise InputError(
                f"{self.length} training clips cannot be shared by {world} processes; use fewer devices or "
                "uneven='pad'"
            )
        self.uneven = uneven
        self.skip = 0
        """Samples that the next iteration leaves out at its start; set by the loader when a run is
        resumed."""

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Iterate over (index, epoch) in this epoch's order."""
        skip, self.skip = self.skip, 0
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.length)
        # np.resize repeats from the start when longer, cuts when shorter
        mine = np.resize(order, len(self) * self.num_replicas)[self.rank :: self.num_replicas]
        epoch = self.epoch
        return iter([(int(index), epoch) for index in mine[skip:]])

    def __len__(self) -> int:
        """Return the number of samples of this process in an epoch."""
        return (
            self.length // self.num_replicas
            if self.uneven == "drop"
            else -(-self.length // self.num_replicas)
        )


class UnrepeatedSampler(DistributedSampler[Any]):
    """Evaluation order: as listed, each sample once over all processes, never padded, never repeated.

    Each process gets one run of neighbours, so that the clips of a video share decoded frames and audio. Runs
    differ in length by one at most; metrics must therefore be summed over processes once, at the end, not
    step by step.

    Args:
        dataset: Dataset; only its length is used.
        rank: This process.
        world: Number of processes.
        even: Give every process equally many, the last sample repeated where they do not divide evenly. Sharded
            parameters (FSDP2) are gathered by all processes in every forward pass, so one that had a batch more would
            wait forever. Metrics are keyed by (corpus, video, frame) and count a repeated frame once.
    """

    def __init__(self, dataset: Sized, *, rank: int = 0, world: int = 1, even: bool = False) -> None:
        super().__init__(cast(Dataset[Any], dataset), num_replicas=world, rank=rank, shuffle=False)
        self.length = len(dataset)
        self.even = even
        if self.length < world:
            raise InputError(
                f"{self.length} frames to score cannot be shared by {world} processes without repeating; use "
                "fewer devices"
            )

    def __iter__(self) -> Iterator[int]:
        """Iterate over the indices of this process."""
        start, stop = (self.length * place // self.num_replicas for place in (self.rank, self.rank + 1))
        own = list(range(start, stop))
        return iter(own + [own[-1]] * (len(self) - len(own)))

    def __len__(self) -> int:
        """Return the number of samples of this process."""
        if self.even:
            return -(-self.length // self.num_replicas)
        start, stop = (self.length * place // self.num_replicas for place in (self.rank, self.rank + 1))
        return stop - start
