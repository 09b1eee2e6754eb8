"""Order of the clips of an epoch, and the share of each corpus of a mix in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from functools import lru_cache
from itertools import accumulate
from typing import Any, Literal, cast
from zlib import crc32

import numpy as np
from torch.utils.data import Dataset
from torch.utils.data.distributed import DistributedSampler

from lightning_avsp.errors import InputError


class EpochShuffleSampler(DistributedSampler[Any]):
    """Training order: one permutation per (seed, epoch), given as ``(index, epoch)`` pairs.

    If it does not divide evenly, ``uneven`` says what happens to the rest: ``drop`` leaves out the last few of this
    epoch's order (other ones each epoch), ``pad`` repeats its first few. On one process nothing is dropped or repeated.

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
        # a DistributedSampler, whose set_epoch Lightning calls
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
        # every process draws the same order and takes each world-th of it
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.length)
        # np.resize repeats from the start when longer, cuts when shorter
        mine = np.resize(order, len(self) * self.num_replicas)[self.rank :: self.num_replicas]
        return iter([(int(index), self.epoch) for index in mine[skip:]])

    def __len__(self) -> int:
        """Return the number of samples of this process in an epoch."""
        rest = 0 if self.uneven == "drop" else self.num_replicas - 1
        return (self.length + rest) // self.num_replicas


class UnrepeatedSampler(DistributedSampler[Any]):
    """Evaluation order: as listed, each sample once over all processes, never padded, never repeated.

    Each process gets one run of neighbours. Runs differ in length by one at most; metrics must therefore be summed over
    processes once, at the end, not step by step.

    Args:
        dataset: Dataset; only its length is used.
        rank: This process.
        world: Number of processes.
        even: Give every process equally many, the last sample repeated where they do not divide evenly.
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
        # metrics are keyed by (corpus, video, frame) and count a repeated frame once
        own = list(self._own)
        return iter(own + [own[-1]] * (len(self) - len(own)))

    def __len__(self) -> int:
        """Return the number of samples of this process."""
        return -(-self.length // self.num_replicas) if self.even else len(self._own)

    @property
    def _own(self) -> range:
        """Indices of this process."""
        # neighbours, so that the clips of a video share decoded frames and audio
        return range(*(self.length * rank // self.num_replicas for rank in (self.rank, self.rank + 1)))


Balance = Literal["none", "uniform", "sqrt"]
"""Share of each corpus in an epoch's clips: as many as it has (``none``; DIEM is 58 % of STAViS's six corpora), the
same for all (``uniform``), or proportional to the root of what it has (``sqrt``)."""


class BalancedMix:
    """Clips of an epoch in which corpora have given shares.

    An epoch is as long as without balancing. Its positions belong to the corpora by their shares, a fixed run
    for each. Each corpus goes through its clips in one seeded order after another, without end, so no clip is ever
    ahead of another of its corpus by more than one sample. The clip of a position depends on (seed, epoch, position)
    alone.

    Args:
        corpora: Corpus of each clip, in the order of the clips.
        balance: Shares.
        seed: Seed of the orders.
    """

    def __init__(self, corpora: Sequence[str], balance: Literal["uniform", "sqrt"], *, seed: int = 0) -> None:
        self.seed = seed
        names = list(dict.fromkeys(corpora))
        labels = np.asarray(corpora, dtype=object)
        self._clips = [np.flatnonzero(labels == name) for name in names]
        sizes = [len(clips) for clips in self._clips]
        weights = [1.0 if balance == "uniform" else size**0.5 for size in sizes]
        counts = shares(len(labels), weights)
        self.counts = dict(zip(names, counts, strict=True))
        """Clips of each corpus in an epoch."""
        self.sizes = dict(zip(names, sizes, strict=True))
        """Clips that each corpus has."""
        self._names = names
        self._ends = list(accumulate(counts))

    def __len__(self) -> int:
        """Return the number of positions of an epoch: all clips of all corpora."""
        return self._ends[-1]

    def corpus_clips(self, place: int) -> np.ndarray:
        """Return the indices of all clips of the corpus that a position belongs to."""
        return self._clips[self._corpus(place)]

    def clip(self, place: int, epoch: int) -> int:
        """Return the index of the clip at a position (from 0) of an epoch."""
        which = self._corpus(place)
        name, clips = self._names[which], self._clips[which]
        inside = place - (self._ends[which - 1] if which else 0)
        # a large corpus spreads its clips over several epochs, a small one repeats them within one
        turn, position = divmod(epoch * self.counts[name] + inside, len(clips))
        # The corpus' name is part of the seed: adding a corpus leaves the others' orders as they are.
        return int(clips[_order(self.seed, crc32(name.encode()), turn, len(clips))[position]])

    def _corpus(self, place: int) -> int:
        return int(np.searchsorted(self._ends, place, side="right"))


def shares(total: int, weights: Sequence[float]) -> list[int]:
    """Divide ``total`` into whole numbers in the weights' proportions (largest remainders)."""
    exact = [total * weight / sum(weights) for weight in weights]
    whole = [int(value) for value in exact]
    # ties by position, so that equal corpora get equal shares on every machine
    by_rest = sorted(range(len(weights)), key=lambda place: (whole[place] - exact[place], place))
    for place in by_rest[: total - sum(whole)]:
        whole[place] += 1
    return whole


@lru_cache(maxsize=64)
def _order(seed: int, name: int, turn: int, size: int) -> np.ndarray:
    return np.random.default_rng([seed, name, turn]).permutation(size)
