"""Corpora known to the suite, by any of their names: the published ones, and your own below a root.

Your own are registered by ``avsp data import``, one small JSON file per corpus, ``<root>/corpora/<NAME>.json``; their
videos, audio, maps, fixations and lists lie beside those of the published corpora, in the layout of the STAViS package
(:mod:`lightning_avsp.data.stavis`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_avsp.data.published import CATALOGUE, Corpus, Layout, Part
from lightning_avsp.data.text_files import read_json
from lightning_avsp.errors import InputError
from lightning_avsp.run_folder import write_json

__all__ = ["CATALOGUE", "Corpus", "Layout", "Part", "find_corpus", "known_corpora", "splits_in_mix"]

VERSION = 1  # raised when the meaning of the file of one's own corpus changes

# a name becomes a folder, the stem of lists, and a word of options: no spaces, no leading dot
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_NUMBER = (int, float, type(None))
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "folder": str,
    "splits": (list, tuple),
    "counts": (list, tuple),
    "videos": int,
    "frames": _NUMBER,
    "fps": _NUMBER,
    "has_sound": bool,
    "licence": str,
    "source": str,
    "made": dict,
}
"""Fields of the file with their types; the others of :class:`Corpus` follow from them."""


def find_corpus(name: str, root: Path | None = None) -> Corpus:
    """Find a corpus by its public name, its folder name in the package or another name it is known by.

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
    """Return the published corpora, and behind them those registered under a root, by name."""
    return CATALOGUE | ({} if root is None else read_own(root))


def splits_in_mix(corpora: Sequence[Corpus], split: int) -> list[int]:
    """Return the split that each corpus of a mix contributes to split ``split`` of the whole.

    The one asked for; a corpus that was divided only once contributes that division whatever split the others
    are at, as DIEM's single list does. A single corpus has its own splits only.

    Raises:
        InputError: If no corpus has that split, or one that has several lacks it.
    """
    if not any(split in corpus.splits for corpus in corpora):
        have = "; ".join(f"{corpus.name} has {', '.join(map(str, corpus.splits))}" for corpus in corpora)
        raise InputError(f"no corpus of this mix has split {split}: {have}")
    for corpus in corpora:
        if len(corpus.splits) > 1:
            corpus.list_name("train", split)  # raises for a split that the corpus does not have
    return [corpus.splits[0] if len(corpus.splits) == 1 else split for corpus in corpora]


def own_corpus(
    name: str,
    folder: str = "",
    splits: Sequence[int] = (1,),
    counts: Sequence[Sequence[int]] = (),
    licence: str = "your own",
    source: str = "imported with `avsp data import`",
    **facts: Any,
) -> Corpus:
    """Describe a corpus of one's own.

    Args:
        name: Name of the corpus: letters, digits, ``_``, ``.`` and ``-``.
        folder: Folder below ``video_frames``, ``video_audio`` and ``annotations``, and stem of its lists; the name if
            empty.
        splits: Splits for which there are lists.
        counts: (train, test) number of videos of each split; empty if not counted.
        licence: Terms under which it may be used.
        source: Its origin, in one sentence.
        **facts: ``videos``, ``frames``, ``fps``, ``has_sound`` and ``made``, see :class:`Corpus`.

    Raises:
        InputError: If the name cannot name a folder, belongs to a published corpus, or counts and splits disagree.
    """
    folder = folder or name
    for word in (name, folder):
        if not _NAME.fullmatch(word):
            raise InputError(
                f"{word!r} cannot name a corpus; use 1 to 64 letters, digits, '_', '.' and '-', the first a letter "
                "or digit"
            )
        # file systems may ignore case, and a result of "avad" would pass for AVAD's
        taken = [c.name for c in CATALOGUE.values() if word.lower() in {known.lower() for known in c.names}]
        if taken:
            raise InputError(f"{word!r} is a name of the published corpus {taken[0]}; choose another")
    splits = tuple(int(split) for split in splits)
    pairs = tuple((int(train), int(test)) for train, test in counts)
    if not splits or min(splits) < 1 or len(set(splits)) < len(splits):
        raise InputError(f"{name}: splits must be different numbers from 1 on, got {splits}")
    if pairs and len(pairs) != len(splits):
        raise InputError(f"{name}: {len(pairs)} counts for {len(splits)} splits; give one each")
    facts = {"videos": 0, "frames": None} | facts
    return Corpus(
        name=name,
        folder=folder,
        splits=splits,
        counts=pairs,
        licence=licence,
        source=source,
        own=True,
        **facts,
    )


def own_path(root: Path, name: str) -> Path:
    """Return the path of the file that describes a corpus of one's own."""
    return Path(root) / "corpora" / f"{name}.json"


def read_own(root: Path) -> dict[str, Corpus]:
    """Read the corpora registered under a root, by name, in alphabetical order; empty if there are none.

    Raises:
        InputError: If a file cannot be read, describes another name than its own, or takes a name that is taken.
    """
    folder = own_path(root, "").parent
    found: dict[str, Corpus] = {}
    # hidden files are those that a writer has not finished
    for path in sorted(folder.glob("[!.]*.json")) if folder.is_dir() else []:
        corpus = _read(path)
        _refuse_collision(corpus, found, path)
        found[corpus.name] = corpus
    return found


def register(root: Path, corpus: Corpus) -> Path:
    """Write or replace the description of a corpus, so that readers see the old or the new one.

    Raises:
        InputError: If another registered corpus has its name in other letters, or its folder.
    """
    path = own_path(root, corpus.name)
    _refuse_collision(
        corpus, {name: own for name, own in read_own(root).items() if name != corpus.name}, path
    )
    write_json(path, {"version": VERSION} | {field: getattr(corpus, field) for field in _FIELDS})
    return path


def _read(path: Path) -> Corpus:
    values = read_json(path)
    if not isinstance(values, dict) or "version" not in values:
        raise InputError(f"{path} does not describe a corpus; import it again, or remove the file")
    version = values.pop("version")
    if version != VERSION:
        raise InputError(
            f"{path} has version {version}, this program reads {VERSION}; import the corpus again"
        )
    # users edit these files, and a wrong type would surface as a traceback of another module
    wrong = [key for key, value in values.items() if not isinstance(value, _FIELDS.get(key, ()))]
    if wrong or "name" not in values:
        reason = f"unknown fields or values of the wrong type: {sorted(wrong)}" if wrong else "no name"
        raise InputError(f"{path} has {reason}; import the corpus again")
    if values["name"] != path.stem:
        raise InputError(
            f"{path} describes {values['name']!r}; rename the file or the corpus, both must agree"
        )
    try:
        return own_corpus(**values)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path} does not describe a corpus: {error}") from error


def _refuse_collision(corpus: Corpus, others: Mapping[str, Corpus], path: Path) -> None:
    taken = {name.lower(): other.name for other in others.values() for name in other.names}
    for word in corpus.names:
        if word.lower() in taken:
            raise InputError(f"{path}: {word!r} is already a name of {taken[word.lower()]!r}; choose another")
