"""Token features on disk: computed once per distinct text, filed under text and model, mapped by dataloader workers.

A folder contains the features of one model: ``model.json``, and files of arrays (:mod:`lightning_avsp.array_file`)
``shards/<hash>.tokens`` with the rows [start, words, end] of many texts, float16, one text after the other. Half
precision stores a row of CLIP's final normalisation to 3 digits at half the size. A killed run loses at most one shard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from lightning_avsp.array_file import ArrayFile, ArrayWriter, read_index
from lightning_avsp.backbones.text_encoder import TextEncoder, TextModel
from lightning_avsp.data.text_files import read_json
from lightning_avsp.errors import InputError
from lightning_avsp.files import atomic_write
from lightning_avsp.run_folder import write_json

VERSION = 2
"""Version of the folder's format."""

SHARD_TEXTS = 1024
"""Texts of one shard: the loss of a killed run; Ctrl-C loses nothing."""


@dataclass(frozen=True)
class RowRange:
    """Position of one text's rows."""

    shard: str
    """Stem of the shard's file."""
    start: int
    """First row."""
    rows: int
    """Number of rows."""


def text_key(text: str) -> str:
    """Return the key of a text: sha-256 of its UTF-8 bytes, in hexadecimal."""
    return sha256(text.encode()).hexdigest()


class TokenFeatures:
    """Token features in a folder, which is made when something is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def _shard(self, stem: str) -> Path:
        return self.folder / "shards" / f"{stem}.tokens"

    def model(self) -> TextModel | None:
        """Return the model whose features the folder contains, None for an empty folder.

        Raises:
            InputError: If ``model.json`` cannot be read or is of another version.
        """
        path = self.folder / "model.json"
        if not path.is_file():
            return None
        values = read_json(path)
        try:
            version = values.pop("version")
            if version == VERSION:
                return TextModel(**values)
            reason = f"version {version}, this program reads {VERSION}"
        except (TypeError, KeyError, AttributeError) as error:
            reason = f"no text model: {error}"
        raise InputError(
            f"{path}: {reason}; remove {self.folder} and make the features again with `avsp caption`"
        )

    def claim(self, model: TextModel) -> None:
        """Reserve the folder for features of this model.

        Raises:
            InputError: If it contains those of another one.
        """
        found = self.model()
        if found is None:
            write_json(self.folder / "model.json", {"version": VERSION, **asdict(model)})
        elif found.fingerprint != model.fingerprint:
            raise InputError(
                f"{self.folder} contains features of {found}, but the text model given is {model}: choose another "
                "folder with --features_folder, or remove this one to make them all again"
            )

    def find(self, keys: Iterable[str]) -> dict[str, RowRange]:
        """Find the rows of texts (:func:`text_key`); texts without features are left out.

        Raises:
            InputError: If a shard is truncated or foreign.
        """
        wanted = set(keys)
        found: dict[str, RowRange] = {}
        for path in sorted(self._shard("").parent.glob("[!.]*.tokens")):
            index = read_index(path)
            start = 0
            try:
                for key, rows in (index or {})["texts"]:
                    if key in wanted:
                        found[key] = RowRange(path.stem, start, rows)
                    start += rows
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(
                    f"{path} is truncated or foreign; remove it and run `avsp caption` again"
                ) from error
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
            raise InputError(f"features of {len(texts)} texts are NaN or infinite in half precision")
        keys = [text_key(text) for text in texts]
        # Named by its texts: two runs at once write different files, or the same one twice.
        stem = sha256("".join(keys).encode()).hexdigest()[:24]
        with atomic_write(self._shard(stem)) as stream:
            writer = ArrayWriter(stream)
            writer.array("rows", rows)
            writer.finish({"texts": [[key, len(part)] for key, part in zip(keys, features, strict=True)]})

    def open_shard(self, stem: str) -> np.ndarray:
        """Map the rows of a shard, float16 (R, C).

        Raises:
            InputError: If the file is missing or truncated.
        """
        return ArrayFile(self._shard(stem)).array("rows")

    def size_on_disk(self) -> int:
        """Return the bytes of all shards."""
        return sum(path.stat().st_size for path in self._shard("").parent.glob("*.tokens"))


def cache_features(
    encoder: TextEncoder,
    texts: Sequence[str],
    cache: TokenFeatures,
    *,
    batch: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Compute and store the features of all texts that have none yet; returns the number of encoded texts.

    Args:
        encoder: Text encoder.
        texts: Texts; empty and repeated ones are skipped.
        cache: Their store.
        batch: Texts per forward pass.
        progress: Called with the number of finished texts and of all texts to encode.

    Raises:
        InputError: If the folder contains features of another model.
    """
    cache.claim(encoder.model)
    distinct = sorted({text for text in texts if text.strip()})
    there = cache.find(text_key(text) for text in distinct)
    todo = [text for text in distinct if text_key(text) not in there]
    done = 0
    for shard in _parts(todo, SHARD_TEXTS):
        # Texts of like length together: less padding to compute.
        order = sorted(shard, key=lambda text: (len(text.split()), text))
        features: list[np.ndarray] = []
        try:
            for part in _parts(order, batch):
                features += encoder.encode(part)
                done += len(part)
                if progress is not None:
                    progress(done, len(todo))
        finally:  # also after Ctrl-C
            if features:
                cache.write(order[: len(features)], features)
    return len(todo)


def _parts(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), size):
        yield texts[start : start + size]
