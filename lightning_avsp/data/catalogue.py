"""The corpora that the suite knows, by any of their names: the published ones, and your own below a root."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from lightning_avsp.data.own import read_own
from lightning_avsp.data.published import CATALOGUE, Corpus, Layout, Part
from lightning_avsp.errors import InputError

__all__ = ["CATALOGUE", "Corpus", "Layout", "Part", "find_corpus", "known_corpora", "splits_in_mix"]


def find_corpus(name: str, root: Path | None = None) -> Corpus:
    """Entry of a corpus by its public name, its folder name in the package or another name it is known by.

    Args:
        name: The name.
        root: Root of the packages, where corpora of one's own are registered; without it only published ones are
            known.

    Raises:
        InputError: If no corpus has that name; the message names the nearest ones.
    """
    known = known_corpora(root)
    for entry in known.values():
        if name in entry.names:
            return entry
    lower = {entry.lower(): entry for entry in known}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    hint = f"did you mean {lower[near[0]]!r}? " if near else ""
    raise InputError(f"no corpus is called {name!r}; {hint}known: {', '.join(known)}")


def known_corpora(root: Path | None = None) -> dict[str, Corpus]:
    """The catalogue, and behind it the corpora that are registered under a root, by name."""
    own = {} if root is None else read_own(root)
    return CATALOGUE | {name: entry.as_corpus() for name, entry in own.items()}


def splits_in_mix(corpora: Sequence[Corpus], split: int) -> list[int]:
    """Which split each corpus of a mix contributes to split ``split`` of the whole.

    The one asked for; a corpus that was divided only once contributes that division whatever split the others
    are at, as DIEM's single list does. A single corpus has its own splits only.

    Raises:
        InputError: If no corpus has that split, or one that has several lacks it.
    """
    if not any(split in corpus.splits for corpus in corpora):
        have = "; ".join(f"{corpus.name} has {', '.join(map(str, corpus.splits))}" for corpus in corpora)
        raise InputError(f"no corpus of this mix has split {split}: {have}")
    return [corpus.splits[0] if len(corpus.splits) == 1 else _checked(corpus, split) for corpus in corpora]


def _checked(corpus: Corpus, split: int) -> int:
    corpus.list_name("train", split)  # raises for a split that the corpus does not have
    return split
