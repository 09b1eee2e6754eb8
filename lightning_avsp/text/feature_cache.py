"""Token features on disk: computed once per distinct text, keyed by text and model, mapped into memory by readers.

A folder holds the features of one model::

    model.json             name and fingerprint of the model, width and longest text of its features
    shards/<hash>.npy      float16 (R, C): the rows [start, words, end] of many texts, one text after the other
    shards/<hash>.json     which texts (sha-256 of each) and how many rows each has; written last

A shard without its ``.json`` is unfinished and does not count, so a run that is killed loses at most the texts of one
shard. Half precision keeps a row of CLIP's final normalisation to 3 digits at half the size.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from lightning_avsp.errors import InputError
from lightning_avsp.run_folder import write_atomically, write_json

VERSION = 1
"""Version of the folder's format."""


@dataclass(frozen=True)
class TextModel:
    """Which model made token features: two models are the same if and only if their fingerprints are."""

    name: str
    """Public name, or path, of the model."""
    fingerprint: str
    """Hash of weights, configuration and vocabulary (:func:`~lightning_avsp.text.clip_features.fingerprint`)."""
    width: int
    """Channels of a row."""
    longest: int
    """Rows of the longest text; longer ones are cut by the model's tokenizer."""

    def __str__(self) -> str:
        return f"{self.name} ({self.width} channels, fingerprint {self.fingerprint[:12]})"


@dataclass(frozen=True)
class Place:
    """Where the rows of one text are."""

    shard: str
    """Stem of the shard's files."""
    start: int
    """First row."""
    rows: int
    """Number of rows."""


def text_key(text: str) -> str:
    """What a text is filed under: sha-256 of its UTF-8 bytes, in hexadecimal."""
    return sha256(text.encode()).hexdigest()


class FeatureCache:
    """Token features in a folder.

    Args:
        folder: The folder; it need not exist before something is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    @property
    def _shards(self) -> Path:
        return self.folder / "shards"

    def model(self) -> TextModel | None:
        """The model whose features lie here, or None in an empty folder.

        Raises:
            InputError: If ``model.json`` cannot be read or is of another version.
        """
        path = self.folder / "model.json"
        if not path.is_file():
            return None
        try:
            values = json.loads(path.read_text())
            version = values.pop("version")
            if version != VERSION:
                raise InputError(
                    f"{path} is of version {version}, this program reads {VERSION}: remove {self.folder} and make "
                    "the features again with `avsp caption`"
                )
            return TextModel(**values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{path} does not describe a text model ({error}); remove {self.folder} and make the features again "
                "with `avsp caption`"
            ) from error

    def claim(self, model: TextModel) -> None:
        """Say that features of this model go here.

        Raises:
            InputError: If those of another model lie here already.
        """
        found = self.model()
        if found is None:
            write_json(self.folder / "model.json", {"version": VERSION, **asdict(model)})
        elif found.fingerprint != model.fingerprint:
            raise InputError(
                f"{self.folder} holds features of {found}, but the text model given is {model}: choose another folder "
                "with --features_folder, or remove this one to make them all again"
            )

    def places(self, keys: Iterable[str]) -> dict[str, Place]:
        """Where the rows of the given texts (:func:`text_key`) are; texts without features are left out.

        Raises:
            InputError: If a shard's index is broken.
        """
        wanted = set(keys)
        found: dict[str, Place] = {}
        for path in sorted(self._shards.glob("*.json")) if self._shards.is_dir() else []:
            start = 0
            for key, rows in _read_index(path):
                if key in wanted:
                    found[key] = Place(path.stem, start, rows)
                start += rows
        return found

    def write(self, texts: Sequence[str], features: Sequence[np.ndarray]) -> None:
        """Add one shard.

        Args:
            texts: Distinct texts.
            features: Rows of each, (rows, C), finite.

        Raises:
            InputError: If a feature is not finite in half precision.
        """
        rows = np.concatenate(features).astype(np.float16)
        if not np.isfinite(rows).all():
            raise InputError(
                f"features of {len(texts)} texts hold numbers that half precision cannot: the text model is broken"
            )
        keys = [text_key(text) for text in texts]
        # Named by its texts: two runs at once write different files, or the same one twice.
        stem = sha256("".join(keys).encode()).hexdigest()[:24]
        self._shards.mkdir(parents=True, exist_ok=True)
        _write_array(self._shards / f"{stem}.npy", rows)
        index = {"texts": [[key, len(part)] for key, part in zip(keys, features, strict=True)]}
        write_atomically(self._shards / f"{stem}.json", json.dumps(index))

    def open_shard(self, stem: str) -> np.ndarray:
        """Rows of a shard, float16 (R, C), mapped into memory.

        Raises:
            InputError: If the file is missing or damaged.
        """
        path = self._shards / f"{stem}.npy"
        try:
            rows: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(
                f"{path} cannot be read ({error}); remove it together with {path.with_suffix('.json').name} and run "
                "`avsp caption` again"
            ) from error
        expected = sum(count for _, count in _read_index(path.with_suffix(".json")))
        if rows.ndim != 2 or len(rows) != expected:
            raise InputError(
                f"{path} holds {rows.shape} numbers, its index says {expected} rows; remove both and run "
                "`avsp caption` again"
            )
        return rows

    def size_on_disk(self) -> int:
        """Bytes of all shards and their indices."""
        return sum(path.stat().st_size for path in self._shards.glob("*.*")) if self._shards.is_dir() else 0


def _read_index(path: Path) -> list[tuple[str, int]]:
    try:
        return [(str(key), int(rows)) for key, rows in json.loads(path.read_text())["texts"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no index of token features ({error}); remove it together with {path.with_suffix('.npy').name} "
            "and run `avsp caption` again"
        ) from error


def _write_array(path: Path, array: Any) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, 0o644)
            np.save(file, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
