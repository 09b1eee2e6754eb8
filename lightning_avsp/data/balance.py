"""Weights of the corpora of a mix in an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Literal
from zlib import crc32

import numpy as np

Balance = Literal["none", "uniform", "sqrt"]
"""Share of each corpus in an epoch's clips: as many as it has (``none``; DIEM is 58 % of STAViS's six corpora), the
same for all (``uniform``), or proportional to the root of what it has (``sqrt``)."""


class BalancedMix:
    """Clips of an epoch in which corpora have given shares.

    An epoch is as long as without balancing. Its positions belong to the corpora by their shares, a fixed run
    for each. Each corpus goes through its clips in one seeded order after another, without end: a large one spreads
    them over several epochs, a small one repeats them within an epoch, and no clip is ever ahead of another of its
    corpus by more than one sample. Every corpus occurs in every epoch. The clip of a position depends on (seed, epoch,
    position) alone.

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
        turn, position = divmod(epoch * self.counts[name] + inside, len(clips))
        # The corpus' name is part of the seed: adding a corpus leaves the others' orders as they are.
        return int(clips[_order(self.seed, crc32(name.encode()), turn, len(clips))[position]])

    def _corpus(self, place: int) -> int:
        return int(np.searchsorted(self._ends, place, side="right"))


def shares(total: int, weights: Sequence[float]) -> list[int]:
    """Divide ``total`` into whole numbers in the weights' proportions (largest remainders)."""
    exact = [total * weight / sum(weights) for weight in weights]
    whole = [int(value) for value in exact]
    by_rest = sorted(range(len(weights)), key=lambda place: (whole[place] - exact[place], place))
    for place in by_rest[: total - sum(whole)]:
        whole[place] += 1
    return whole


@lru_cache(maxsize=64)
def _order(seed: int, name: int, turn: int, size: int) -> np.ndarray:
    return np.random.default_rng([seed, name, turn]).permutation(size)
