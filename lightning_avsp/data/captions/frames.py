"""Captions of frames with their token features, and the rule for frames without a caption."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from lightning_avsp.backbones.text_encoder import TextModel
from lightning_avsp.data.captions.features import TokenFeatures, text_key
from lightning_avsp.data.captions.lines import Caption, caption_path, read_captions
from lightning_avsp.data.entries import VideoKey
from lightning_avsp.errors import InputError
from lightning_avsp.input_spec import TextInput

log = logging.getLogger(__name__)

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
        if self.tokens < 3:
            raise InputError(f"captions.tokens is {self.tokens}; start, one word and end need at least 3")

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
        self._shards = sorted({text.shard for text in rows.values()})
        number_of = {stem: number for number, stem in enumerate(self._shards)}
        self._videos: dict[VideoKey, tuple[np.ndarray, np.ndarray]] = {}
        for corpus, part in nonempty.items():
            by_video: dict[str, dict[int, tuple[int, int, int]]] = {}
            for caption in part:
                text = rows[keys[caption.text]]
                position = (number_of[text.shard], text.start, text.rows)
                by_video.setdefault(caption.video, {})[caption.frame] = position
            for video, frames in by_video.items():
                order = sorted(frames)
                self._videos[corpus, video] = (np.array(order), np.array([frames[frame] for frame in order]))
            log.info("%s: %d captions of %d videos, features of %s", corpus, len(part), len(by_video), model)
        cut = sum(text.rows > length for text in rows.values())
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
    def width(self) -> int:
        """Channels C of a row."""
        return self.model.width

    @property
    def input(self) -> TextInput:
        """Description of these features for a checkpoint."""
        return TextInput(self.model.name, self.model.fingerprint, self.width, self.length)

    def tokens(self, key: VideoKey, frame: int) -> tuple[Tensor, bool]:
        """Return token features, float32 (N, C), of a frame's caption (frames from 1), and True if it has one.

        Raises:
            InputError: If the frame has no caption and ``missing`` is ``error``, or features cannot be read.
        """
        position = self._position(key, frame)
        if position is None:
            return torch.zeros(self.length, self.width), False
        shard, start, count = position
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

    def _position(self, key: VideoKey, frame: int) -> tuple[int, int, int] | None:
        """Return (shard, first row, rows) of the caption that a frame gets."""
        if key not in self._videos:
            if self.missing == "error":
                raise self._absent(key, frame)
            if key not in self._reported:
                self._reported.add(key)
                log.warning("%s has no caption in any frame: its clips are without text", "/".join(key))
            return None
        numbers, positions = self._videos[key]
        index = int(nearest(numbers, np.array([frame]))[0])
        if numbers[index] != frame:
            if self.missing == "error":
                raise self._absent(key, frame)
            if self.missing == "empty":
                return None
        shard, start, rows = (int(number) for number in positions[index])
        return shard, start, rows

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
        stored = torch.cat([stored[: length - 1], stored[-1:]])
    padded = torch.zeros(length, stored.shape[1])
    padded[: len(stored)] = stored
    return padded


class MismatchedText:
    """The caption of another video for every video, or none: tests of whether a model uses text.

    Args:
        source: The captions.
        giver: Video whose caption each video gets, as (key, number of frames); None for no caption.
        frames: Frames of each video.
    """

    def __init__(
        self,
        source: TextSource,
        giver: Mapping[VideoKey, tuple[VideoKey, int] | None],
        frames: Mapping[VideoKey, int],
    ) -> None:
        self.source = source
        self.giver = dict(giver)
        self.frames = dict(frames)

    def tokens(self, key: VideoKey, frame: int) -> tuple[Tensor, bool]:
        """Return token features of the other video's caption at the same share of its length."""
        given = self.giver[key]
        if given is None:
            own, _ = self.source.tokens(key, frame)
            return own.new_zeros(own.shape), False
        other, count = given
        return self.source.tokens(other, 1 + (frame - 1) * (count - 1) // max(1, self.frames[key] - 1))
