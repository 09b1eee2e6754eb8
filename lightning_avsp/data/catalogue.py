"""The corpora that the suite knows: where each lies in its package, how it is split, what was published."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

from lightning_avsp.errors import InputError

Part = Literal["train", "test"]
"""The two parts that published lists know; validation videos are taken from ``train``."""


@dataclass(frozen=True)
class Corpus:
    """One entry of the catalogue: facts about a corpus, no behaviour of its own."""

    name: str
    """Public name, as papers and our commands write it."""
    folder: str
    """Folder name inside the package, and stem of its lists."""
    videos: int
    """Distinct videos in all published lists."""
    frames: int
    """Frames of these videos, by the published lists."""
    counts: tuple[tuple[int, int], ...]
    """Published (train, test) number of videos, one pair for each split."""
    licence: str
    """Terms as far as they were published."""
    source: str
    """How to obtain it, in one sentence."""
    list_pattern: str = "{folder}_list_{part}_{split}_fps.txt"
    """Name of a fold list; a pattern without ``{split}`` means one list that serves every split."""
    splits: tuple[int, ...] = (1, 2, 3)
    """Splits that can be asked for."""
    layout: Literal["stavis"] = "stavis"
    """Which reader understands its files (:mod:`lightning_avsp.data.corpora`)."""

    def list_name(self, part: Part, split: int) -> str:
        """File name of the list of one part of one split.

        Raises:
            InputError: If the corpus has no such split.
        """
        if split not in self.splits:
            have = ", ".join(map(str, self.splits))
            raise InputError(f"{self.name} has no split {split}; its splits are {have}")
        return self.list_pattern.format(folder=self.folder, part=part, split=split)

    def published_count(self, part: Part, split: int) -> int:
        """Number of videos that the published list of this part and split has."""
        train, test = self.counts[self.splits.index(split)]
        return train if part == "train" else test


_STAVIS_PACKAGE = (
    "download video_frames, video_audio and annotations of {folder} and fold_lists from the STAViS data page "
    "(cvsp.cs.ntua.gr/research/stavis) and unpack them side by side under one root"
)


def _stavis(
    name: str,
    folder: str,
    videos: int,
    frames: int,
    counts: tuple[tuple[int, int], ...],
    licence: str,
    list_pattern: str = Corpus.list_pattern,
) -> Corpus:
    source = _STAVIS_PACKAGE.format(folder=folder)
    return Corpus(name, folder, videos, frames, counts, licence, source, list_pattern)


# Counts are those of the published fold lists. They are not always clean three-fold partitions: AVAD's tests
# overlap between splits and three of its videos are never tested; SumMe's splits 2 and 3 omit one video each.
_ENTRIES = (
    _stavis("AVAD", "AVAD", 45, 9_589, ((30, 15),) * 3, "research use, by its authors' terms"),
    _stavis("Coutrot1", "Coutrot_db1", 60, 25_192, ((40, 20),) * 3, "research use, by its authors' terms"),
    _stavis("Coutrot2", "Coutrot_db2", 15, 16_983, ((10, 5),) * 3, "research use, by its authors' terms"),
    _stavis(
        "DIEM",
        "DIEM",
        81,
        236_459,
        ((64, 17),) * 3,
        "CC BY-NC-SA 3.0",
        list_pattern="{folder}_list_{part}_fps.txt",  # one standard split, used with each split
    ),
    _stavis("ETMD", "ETMD_av", 12, 61_668, ((8, 4),) * 3, "research use, by its authors' terms"),
    _stavis(
        "SumMe",
        "SumMe",
        25,
        109_788,
        ((17, 8), (17, 7), (16, 8)),
        "research use, by its authors' terms",
    ),
)

CATALOGUE: dict[str, Corpus] = {entry.name: entry for entry in _ENTRIES}
"""Every known corpus by its public name."""


def find_corpus(name: str) -> Corpus:
    """Entry of a corpus by its public name or by its folder name in the package.

    Raises:
        InputError: If no corpus has that name; the message names the nearest ones.
    """
    for entry in _ENTRIES:
        if name in (entry.name, entry.folder):
            return entry
    lower = {entry.name.lower(): entry.name for entry in _ENTRIES}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    hint = f"did you mean {lower[near[0]]!r}? " if near else ""
    raise InputError(f"no corpus is called {name!r}; {hint}known: {', '.join(CATALOGUE)}")
