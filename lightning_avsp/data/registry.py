"""Corpora by name: the published ones, and own ones that ``avsp data import`` registers under a root.

One small JSON file per corpus, ``<root>/corpora/<NAME>.json``; videos, audio, maps, fixations and lists lie beside
those of the published corpora, in the layout of the STAViS package (:mod:`lightning_avsp.data.stavis`).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from lightning_avsp.data.catalogue import CATALOGUE, Corpus
from lightning_avsp.errors import InputError
from lightning_avsp.run_folder import write_json

OWN_FOLDER = "corpora"
"""Folder below the root that holds one JSON file per corpus."""
VERSION = 1
"""Version of the file, raised when its meaning changes."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class OwnCorpus:
    """Facts about a corpus of one's own, as its file holds them.

    Raises:
        InputError: If the name cannot name a folder, belongs to a published corpus, or counts and splits disagree.
    """

    name: str
    """Name of the corpus: letters, digits, ``_``, ``.`` and ``-``."""
    folder: str = ""
    """Folder below ``video_frames``, ``video_audio`` and ``annotations``, and stem of its lists; the name if empty."""
    splits: tuple[int, ...] = (1,)
    """Splits for which there are lists."""
    counts: tuple[tuple[int, int], ...] = ()
    """(train, test) number of videos of each split; empty if not counted."""
    videos: int = 0
    """Distinct videos in all lists; 0 if not counted."""
    frames: int = 0
    """Frames of these videos; 0 if not counted."""
    fps: float | None = None
    """Frames per second, where all videos have the same."""
    has_sound: bool = True
    """False if its videos have no audio at all; then a missing audio file is no fault."""
    licence: str = "your own"
    """Terms under which it may be used."""
    source: str = "imported with `avsp data import`"
    """Origin, in one sentence."""
    list_pattern: str = Corpus.list_pattern
    """Name of a fold list, see :class:`~lightning_avsp.data.catalogue.Corpus`."""
    made: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the import, for the record: JSON values."""

    def __post_init__(self) -> None:
        """Check names and splits."""
        object.__setattr__(self, "folder", self.folder or self.name)
        for what in (self.name, self.folder):
            if not _NAME.fullmatch(what):
                raise InputError(
                    f"{what!r} cannot name a corpus; use 1 to 64 letters, digits, '_', '.' and '-', the first a letter "
                    "or digit"
                )
            taken = published_name(what)
            if taken is not None:
                raise InputError(f"{what!r} is a name of the published corpus {taken}; choose another")
        if not self.splits or min(self.splits) < 1 or len(set(self.splits)) < len(self.splits):
            raise InputError(f"{self.name}: splits must be different numbers from 1 on, got {self.splits}")
        if self.counts and len(self.counts) != len(self.splits):
            raise InputError(
                f"{self.name}: {len(self.counts)} counts for {len(self.splits)} splits; give one each"
            )

    def as_corpus(self) -> Corpus:
        """Convert to the catalogue's entry, for readers and the data module."""
        return Corpus(
            name=self.name,
            folder=self.folder,
            videos=self.videos,
            frames=self.frames or None,
            counts=self.counts,
            licence=self.licence,
            source=self.source,
            list_pattern=self.list_pattern,
            splits=self.splits,
            layout="stavis",
            has_sound=self.has_sound,
            fps=self.fps,
            own=True,
        )


def published_name(name: str) -> str | None:
    """Return the published corpus of a name in any case, or None."""
    for entry in CATALOGUE.values():
        if name.lower() in {known.lower() for known in entry.names}:
            return entry.name
    return None


def own_path(root: Path, name: str) -> Path:
    """Return the file that describes a corpus."""
    return root / OWN_FOLDER / f"{name}.json"


def read_own(root: Path) -> dict[str, OwnCorpus]:
    """Read the corpora registered under a root, by name, in alphabetical order; empty if there are none.

    Raises:
        InputError: If a file cannot be read, describes another name than its own, or takes a name that is taken.
    """
    folder = Path(root) / OWN_FOLDER
    found: dict[str, OwnCorpus] = {}
    for path in sorted(folder.glob("[!.]*.json")) if folder.is_dir() else []:
        corpus = _read(path)
        _refuse_collision(corpus, found, path)
        found[corpus.name] = corpus
    return found


def register(root: Path, corpus: OwnCorpus) -> Path:
    """Write or replace the description of a corpus, so that readers see the old or the new one.

    Raises:
        InputError: If another registered corpus has its name in other letters, or its folder.
    """
    others = {name: own for name, own in read_own(root).items() if name != corpus.name}
    path = own_path(Path(root), corpus.name)
    _refuse_collision(corpus, others, path)
    write_json(path, {"version": VERSION, **asdict(corpus)})
    return path


def _read(path: Path) -> OwnCorpus:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values.pop("version")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} does not describe a corpus ({error!r}); import it again, or remove the file"
        ) from error
    if version != VERSION:
        raise InputError(
            f"{path} has version {version}, this program reads {VERSION}; import the corpus again"
        )
    unknown = set(values) - {entry.name for entry in fields(OwnCorpus)}
    if unknown or "name" not in values:
        what = f"unknown fields {sorted(unknown)}" if unknown else "no name"
        raise InputError(f"{path} has {what}; import the corpus again")
    if values["name"] != path.stem:
        raise InputError(
            f"{path} describes {values['name']!r}; rename the file or the corpus, both must agree"
        )
    try:
        values["splits"] = tuple(int(split) for split in values.get("splits", (1,)))
        values["counts"] = tuple((int(train), int(test)) for train, test in values.get("counts", ()))
        return OwnCorpus(**values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} does not describe a corpus: {error}") from error


def _refuse_collision(corpus: OwnCorpus, others: Mapping[str, OwnCorpus], path: Path) -> None:
    taken = {name.lower(): other.name for other in others.values() for name in (other.name, other.folder)}
    for what in (corpus.name, corpus.folder):
        if what.lower() in taken:
            raise InputError(f"{path}: {what!r} is already a name of {taken[what.lower()]!r}; choose another")


def find_corpus(name: str, root: Path | None = None) -> Corpus:
    """Find a corpus by its public name, its folder name in the package or another of its names.

    Args:
        name: The name.
        root: Root of the packages, where own corpora are registered; without it only published ones are found.

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
    """Return the catalogue, followed by the corpora that are registered under a root, by name."""
    own = {} if root is None else read_own(root)
    return CATALOGUE | {name: entry.as_corpus() for name, entry in own.items()}


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
    return [corpus.splits[0] if len(corpus.splits) == 1 else _checked(corpus, split) for corpus in corpora]


def _checked(corpus: Corpus, split: int) -> int:
    corpus.list_name("train", split)  # raises for a split that the corpus does not have
    return split
