"""Corpora of your own: registered under a root by ``avsp data import``, and read like the published ones.

One small JSON file per corpus, ``<root>/corpora/<NAME>.json``; films, sound, maps, fixations and lists lie beside
those of the published corpora, in the layout of the STAViS package (:mod:`lightning_avsp.data.stavis`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from lightning_avsp.data.published import CATALOGUE, Corpus
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
    """False for a corpus without audio, where a missing audio file is no fault."""
    licence: str = "your own"
    """Terms under which it may be used."""
    source: str = "imported with `avsp data import`"
    """Where it comes from, in one sentence."""
    list_pattern: str = Corpus.list_pattern
    """Name of a fold list, see :class:`~lightning_avsp.data.catalogue.Corpus`."""
    made: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the import, for the record: JSON values."""

    def __post_init__(self) -> None:
        """Check what types cannot."""
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
        """The entry that readers and the data module understand."""
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
    """The catalogue's corpus that answers to a name, whatever its case, or None."""
    for entry in CATALOGUE.values():
        if name.lower() in {known.lower() for known in entry.names}:
            return entry.name
    return None


def own_path(root: Path, name: str) -> Path:
    """File that describes a corpus."""
    return root / OWN_FOLDER / f"{name}.json"


def read_own(root: Path) -> dict[str, OwnCorpus]:
    """Corpora registered under a root, by name, in alphabetical order; empty if there are none.

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
