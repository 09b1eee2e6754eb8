"""How much each corpus of a mix weighs in an epoch, whatever its size."""

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
    """An epoch in which corpora have given shares: which clip each of its places takes.

    An epoch is as long as without balancing. Its places belong to the corpora by their shares, a fixed run of places
    for each. Each corpus goes through its clips in one seeded order after another, without end: a large one spreads
    them over several epochs, a small one repeats them within an epoch, and no clip is ever ahead of another of its
    corpus by more than one draw. Every corpus has a place in every epoch. The clip of a place depends on (seed, epoch,
    place) alone.

    Args:
        corpora: Corpus of each clip, in the order of the clips.
        balance: Which shares.
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
        """Places of an epoch: all clips of all corpora."""
        return self._ends[-1]

    def corpus_clips(self, place: int) -> np.ndarray:
        """Indices of all clips of the corpus that a place belongs to."""
        return self._clips[self._corpus(place)]

    def clip(self, place: int, epoch: int) -> int:
        """Index of the clip at a place (from 0) of an epoch."""
        which = self._corpus(place)
        name, clips = self._names[which], self._clips[which]
        inside = place - (self._ends[which - 1] if which else 0)
        turn, position = divmod(epoch * self.counts[name] + inside, len(clips))
        # The corpus' name is part of the seed: adding a corpus leaves the others' orders as they are.
        return int(clips[_order(self.seed, crc32(name.encode()), turn, len(clips))[position]])

    def _corpus(self, place: int) -> int:
        return int(np.searchsorted(self._ends, place, side="right"))


def shares(total: int, weights: Sequence[float]) -> list[int]:
    """Whole numbers that add up to ``total``, as near to the weights' proportions as can be (largest remainders)."""
    exact = [total * weight / sum(weights) for weight in weights]
    whole = [int(value) for value in exact]
    by_rest = sorted(range(len(weights)), key=lambda place: (whole[place] - exact[place], place))
    for place in by_rest[: total - sum(whole)]:
        whole[place] += 1
    return whole


@lru_cache(maxsize=64)
def _order(seed: int, name: int, turn: int, size: int) -> np.ndarray:
    return np.random.default_rng([seed, name, turn]).permutation(size)
