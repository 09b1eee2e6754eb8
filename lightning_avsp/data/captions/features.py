"""Captions of frames with their token features, computed once per distinct text and mapped by dataloader workers.

A folder contains the features of one model: ``model.json``, and files of arrays (:mod:`lightning_avsp.array_file`)
``shards/<hash>.tokens`` with the rows [start, words, end] of many texts, float16, one text after the other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from lightning_avsp.array_file import ArrayFile, ArrayWriter, read_index
from lightning_avsp.backbones.text_encoder import TextEncoder, TextModel
from lightning_avsp.data.captions.lines import Caption, caption_path, read_captions
from lightning_avsp.data.entries import VideoKey
from lightning_avsp.data.text_files import read_json
from lightning_avsp.errors import InputError, require_range
from lightning_avsp.files import atomic_write
from lightning_avsp.input_spec import TextInput
from lightning_avsp.run_folder import write_json

log = logging.getLogger(__name__)

VERSION = 2
"""Version of the folder's format."""

SHARD_TEXTS = 1024  # a killed run loses at most one shard; Ctrl-C loses nothing


RowRange = tuple[str, int, int]
"""Stem of the shard of one text, its first row there, and its number of rows."""


def text_key(text: str) -> str:
    """Return the key of a text: sha-256 of its UTF-8 bytes, in hexadecimal."""
    # equal captions of different frames and corpora share one entry
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
        version = values.pop("version", None) if isinstance(values, dict) else None
        if version != VERSION or set(values) != {field.name for field in fields(TextModel)}:
            raise InputError(
                f"{path} describes no text model of version {VERSION}, which this program reads, but version {version};"
                f" remove {self.folder} and make the features again with `avsp caption`"
            )
        return TextModel(**values)

    def claim(self, model: TextModel) -> None:
        """Reserve the folder for features of this model.

        Raises:
            InputError: If it contains those of another one.
        """
        found = self.model()
        if found is None:
            write_json(self.folder / "model.json", {"version": VERSION, **asdict(model)})
        # by fingerprint: one model has several names and local copies
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
                        found[key] = (path.stem, start, rows)
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
        # a row of CLIP's final normalisation to 3 digits, at half the size
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


MissingCaption = Literal["error", "nearest", "empty"]
"""Rule for a frame without a caption: an error, the caption of the nearest captioned frame of its video, or none."""


class TextSource(Protocol):
    """Source of the token features of captions."""

    def tokens(self, key: VideoKey, frame: int) -> tuple[Tensor, bool]:
        """Return token features, float32 (N, C), of a frame's caption (frames from 1), and True if it has one.

        Rows of zeros follow the end token; all rows are zero where there is no caption.
        """


@dataclass(frozen=True)
class Captions:
    """Folders of captions and of their token features."""

    folder: Path | None = None
    """Folder with ``CORPUS.jsonl``, one line for each caption: ``{"video": ..., "frame": ..., "text": ...}``;
    ``captions`` below the data's root if unset."""
    features: Path | None = None
    """Folder of cached token features, made by ``avsp caption``; ``features`` below `folder` if unset."""
    missing: MissingCaption = "nearest"
    """Rule for a frame without a caption: an error, that of the nearest captioned frame of its video, or none."""
    tokens: int = 77
    """Rows N of every clip's features; longer captions keep their first N - 1 rows and the end token. CLIP reads 77; a
    caption of 20 words rarely has more than 32."""
    model: str | None = None
    """Required text model of the features, by name or by the start of its fingerprint; None accepts any."""

    def __post_init__(self) -> None:
        """Check the number of tokens."""
        require_range(3, **{"captions.tokens": self.tokens})  # start, one word and end

    def below(self, root: Path) -> Captions:
        """Return the same with both folders given: where ``avsp caption`` writes them, unless set."""
        folder = Path(self.folder or root / "captions")
        return replace(self, folder=folder, features=Path(self.features or folder / "features"))

    def find_text(self, corpus: str, video: str, frame: int) -> str | None:
        """Find the caption that a frame gets, or None.

        Raises:
            InputError: If the folder is not given, or the corpus' file is missing or broken.
        """
        if self.folder is None:
            raise InputError("captions.folder is not given; it lies below no root here")
        texts = {
            caption.frame: caption.text
            for caption in read_captions(caption_path(self.folder, corpus))
            if caption.video == video and caption.text.strip()
        }
        if frame not in texts and texts and self.missing == "nearest":
            numbers = np.array(sorted(texts))
            frame = int(numbers[nearest(numbers, np.array([frame]))[0]])
        return texts.get(frame)

    def open(self, corpora: Sequence[str]) -> CaptionedFrames:
        """Read captions of the given corpora, by their public names.

        Raises:
            InputError: If the folders are not given, a file is missing or broken, a caption has no features, or these
                are of another model.
        """
        if self.folder is None or self.features is None:
            raise InputError(
                "captions.folder and captions.features are not given; they lie below no root here"
            )
        cache = TokenFeatures(Path(self.features))
        model = cache.model()
        if model is None:
            raise InputError(
                f"no token features in {self.features}; make them with `avsp caption ROOT --corpus {' '.join(corpora)} "
                f"--out {self.folder} --features_folder {self.features}`"
            )
        if self.model is not None and not (
            # a short prefix of a fingerprint could be met by chance
            self.model == model.name or (len(self.model) >= 8 and model.fingerprint.startswith(self.model))
        ):
            raise InputError(
                f"{self.features} contains features of {model}, but captions.model asks for {self.model}: give the "
                "folder of that model's features, or make them with `avsp caption --text_model`"
            )
        folder = self.folder
        files = {corpus: caption_path(folder, corpus) for corpus in corpora}
        captions = {corpus: read_captions(path) for corpus, path in files.items()}
        return CaptionedFrames(captions, cache, model, self.missing, self.tokens)


class CaptionedFrames:
    """Captions of some corpora with their token features, mapped into memory when first read.

    Args:
        captions: Captions of each corpus.
        cache: Their features.
        model: Model of these features.
        missing: Rule for frames without a caption.
        length: Rows of every clip's features.

    Raises:
        InputError: If a caption has no features.
    """

    def __init__(
        self,
        captions: Mapping[str, Sequence[Caption]],
        cache: TokenFeatures,
        model: TextModel,
        missing: MissingCaption = "nearest",
        length: int = 77,
    ) -> None:
        self.cache = cache
        self.model = model
        self.missing = missing
        self.length = length
        nonempty = {
            corpus: [caption for caption in of_corpus if caption.text.strip()]
            for corpus, of_corpus in captions.items()
        }
        keys = {caption.text: text_key(caption.text) for part in nonempty.values() for caption in part}
        rows = cache.find(keys.values())
        absent = [text for text, key in keys.items() if key not in rows]
        if absent:
            raise InputError(
                f"{len(absent)} of {len(keys)} captions of {', '.join(captions)} have no features of {model.name} in "
                f"{cache.folder}, e.g. {absent[0]!r}: run `avsp caption` for {', '.join(captions)} again"
            )
        # Compact: dataloader workers get copies, and a corpus can have a quarter of a million captions.
        self._shards = sorted({shard for shard, _, _ in rows.values()})
        number_of = {stem: number for number, stem in enumerate(self._shards)}
        self._videos: dict[VideoKey, tuple[np.ndarray, np.ndarray]] = {}
        for corpus, part in nonempty.items():
            by_video: dict[str, dict[int, tuple[int, int, int]]] = {}
            for caption in part:
                shard, start, count = rows[keys[caption.text]]
                by_video.setdefault(caption.video, {})[caption.frame] = (number_of[shard], start, count)
            for video, frames in by_video.items():
                order = sorted(frames)
                self._videos[corpus, video] = (np.array(order), np.array([frames[frame] for frame in order]))
            log.info("%s: %d captions of %d videos, features of %s", corpus, len(part), len(by_video), model)
        cut = sum(count > length for _, _, count in rows.values())
        if cut:
            log.warning(
                "%d of %d distinct captions have more than %d tokens and lose words before their end",
                cut,
                len(rows),
                length,
            )
        self._reported: set[VideoKey] = set()
        self._open: dict[int, np.ndarray] = {}

    @property
    def input(self) -> TextInput:
        """Description of these features for a checkpoint."""
        return TextInput(self.model.name, self.model.fingerprint, self.model.width, self.length)

    def tokens(self, key: VideoKey, frame: int) -> tuple[Tensor, bool]:
        """Return token features, float32 (N, C), of a frame's caption (frames from 1), and True if it has one.

        Raises:
            InputError: If the frame has no caption and ``missing`` is ``error``, or features cannot be read.
        """
        nothing = torch.zeros(self.length, self.model.width), False
        if key not in self._videos:
            if self.missing == "error":
                raise self._absent(key, frame)
            if key not in self._reported:
                self._reported.add(key)
                log.warning("%s has no caption in any frame: its clips are without text", "/".join(key))
            return nothing
        numbers, positions = self._videos[key]
        index = int(nearest(numbers, np.array([frame]))[0])
        if numbers[index] != frame and self.missing != "nearest":
            if self.missing == "error":
                raise self._absent(key, frame)
            return nothing
        shard, start, count = (int(number) for number in positions[index])
        if shard not in self._open:
            self._open[shard] = self.cache.open_shard(self._shards[shard])
        return pad_tokens(self._open[shard][start : start + count], self.length), True

    def log_coverage(self, frames: Mapping[VideoKey, int]) -> None:
        """Log the share of captioned frames of videos of so many frames each; a warning if videos have none.

        Raises:
            InputError: If a frame has no caption and ``missing`` is ``error``.
        """
        captioned, farthest = 0, 0
        without = [key for key in frames if key not in self._videos]
        if without and self.missing == "error":
            raise self._absent(without[0], 1)
        for key in frames.keys() & self._videos.keys():
            numbers, every = self._videos[key][0], np.arange(1, frames[key] + 1)
            captioned += int((numbers <= frames[key]).sum())  # captions past the end count for nothing
            distances = np.abs(every - numbers[nearest(numbers, every)])
            farthest = max(farthest, int(distances.max(initial=0)))
            if self.missing == "error" and distances.any():
                raise self._absent(key, int(every[distances > 0][0]))
        text = f"{captioned} of {sum(frames.values())} frames have a caption of their own"
        if farthest:
            text += f", the others are at most {farthest} frames from one"
        if without:
            names = ", ".join("/".join(key) for key in without[:5]) + ", ..." * (len(without) > 5)
            text += f"; {len(without)} videos have none at all ({names})"
        log.log(
            logging.WARNING if without else logging.INFO,
            "captions: %s; captions.missing is %r",
            text,
            self.missing,
        )

    def _absent(self, key: VideoKey, frame: int) -> InputError:
        return InputError(
            f"frame {frame} of {'/'.join(key)} has no caption: make it with `avsp caption`, or set captions.missing to "
            "nearest or empty"
        )

    def __getstate__(self) -> dict[str, Any]:
        # Open memory maps would be copied in full into every dataloader worker
        return self.__dict__ | {"_open": {}}


def nearest(numbers: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return the index of the number nearest to each frame, of two equally near the earlier."""
    after = np.clip(np.searchsorted(numbers, frames), 0, len(numbers) - 1)
    before = np.maximum(after - 1, 0)
    # of two equally near the earlier: it has been seen by then
    nearer: np.ndarray = np.abs(frames - numbers[before]) <= np.abs(numbers[after] - frames)
    return np.where(nearer, before, after)


def pad_tokens(rows: np.ndarray, length: int) -> Tensor:
    """Bring the features of one caption to a fixed number of rows.

    Args:
        rows: (R, C): start token, words, end token.
        length: Rows N wanted; of a longer caption the first N - 1 rows and the end token are kept.

    Returns:
        float32 (N, C), rows of zeros behind the end token.
    """
    stored = torch.from_numpy(rows.astype(np.float32))
    if len(stored) > length:
        # CLIP's end token gathers the whole caption: it stays
        stored = torch.cat([stored[: length - 1], stored[-1:]])
    padded = torch.zeros(length, stored.shape[1])
    padded[: len(stored)] = stored
    return padded
