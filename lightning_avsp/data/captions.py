"""Captions of frames: where they are, what stands in for a missing one, and their token features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from torch import Tensor

from lightning_avsp.data.entries import VideoKey


class TextSource(Protocol):
    """Token features of captions, as a clip reader asks for them."""

    def tokens(self, key: VideoKey, frame: int) -> tuple[Tensor, bool]:
        """Token features float32 (N, C) of the caption of a frame (from 1), and whether there is one.

        Rows of zeros follow the end token; all rows are zero where there is no caption.
        """


@dataclass(frozen=True)
class Captions:
    """Where captions and their token features lie."""

    folder: Path
    """Folder with ``CORPUS.jsonl``, one line for each caption: ``{"video": ..., "frame": ..., "text": ...}``."""
    features: Path
    """Folder of cached token features, made by ``avsp caption``."""
    missing: Literal["error", "nearest", "empty"] = "nearest"
    """What a frame without a caption gets: an error, that of the nearest captioned frame of its video, or none."""

    def open(self, corpora: list[str]) -> TextSource:
        """Read captions of the given corpora.

        Raises:
            InputError: If a file is missing or broken.
        """
        raise NotImplementedError


class ExchangedText:
    """The caption of another video for every video, or none: the test of whether a model reads.

    Args:
        source: The captions.
        giver: Whose caption each video gets, as (key, number of frames); None for no caption.
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
        """Token features of the other video's caption at the same share of its length."""
        given = self.giver[key]
        if given is None:
            own, _ = self.source.tokens(key, frame)
            return own.new_zeros(own.shape), False
        other, count = given
        return self.source.tokens(other, 1 + (frame - 1) * (count - 1) // max(1, self.frames[key] - 1))
