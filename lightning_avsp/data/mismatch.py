"""Mismatched audio and captions: those of another video, or none, for every test video."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor

from lightning_avsp.data.captions.features import TextSource
from lightning_avsp.data.entries import VideoEntry, VideoKey
from lightning_avsp.errors import InputError


def label_of(video: str) -> str:
    """Return the kind of a video by its name: the letters behind the last underscore (``V3_Speech3``: ``Speech``)."""
    return re.sub(r"[^A-Za-z]", "", video.rpartition("_")[2]) if "_" in video else ""


def other_videos(videos: Sequence[VideoEntry], seed: int = 0) -> dict[VideoKey, VideoEntry]:
    """Assign another video to each video, whose audio or caption it gets.

    Videos of one corpus and one label (:func:`label_of`) exchange theirs in one seeded ring; videos alone in their
    label form one more ring, and a single one left over takes that of some other video. No video keeps its own.

    Args:
        videos: At least two videos.
        seed: Seed of the rings.

    Raises:
        InputError: If there is only one video.
    """
    if len(videos) < 2:
        raise InputError(
            f"mismatched audio or captions (other_video) need at least 2 videos, there is {len(videos)}"
        )
    generator = np.random.default_rng(seed)
    # speech for speech: mismatched audio is of the right kind, and only its moments are wrong
    groups: dict[tuple[str, str], list[VideoEntry]] = defaultdict(list)
    for entry in videos:
        groups[entry.corpus, label_of(entry.video)].append(entry)
    alone = [group[0] for group in groups.values() if len(group) == 1]
    rings = [group for group in groups.values() if len(group) > 1]
    givers: dict[VideoKey, VideoEntry] = {}
    if len(alone) == 1:
        others = [entry for entry in videos if entry.key != alone[0].key]
        givers[alone[0].key] = others[int(generator.integers(len(others)))]
    elif alone:
        rings.append(alone)
    # Rings, so that every video gives its audio exactly once and none keeps its own
    for ring in rings:
        order = [ring[index] for index in generator.permutation(len(ring))]
        givers |= {entry.key: giver for entry, giver in zip(order, order[1:] + order[:1], strict=True)}
    return givers


def mismatched_audio(
    videos: Sequence[VideoEntry], audio: Literal["true", "other_video", "silent"], seed: int
) -> dict[VideoKey, Path | None]:
    """Return the audio file of each video that does not keep its own; None for silence.

    Raises:
        InputError: If there is only one video, and so no other one.
    """
    if audio == "other_video":
        return {key: giver.wave for key, giver in other_videos(videos, seed).items()}
    return dict.fromkeys(entry.key for entry in videos) if audio == "silent" else {}


@dataclass(frozen=True)
class MismatchedText:
    """The caption of another video for every video, or none: tests of whether a model uses text."""

    source: TextSource
    giver: Mapping[VideoKey, tuple[VideoKey, int] | None]
    """Video whose caption each video gets, as (key, number of frames); None for no caption."""
    frames: Mapping[VideoKey, int]
    """Frames of each video."""

    def tokens(self, key: VideoKey, frame: int) -> tuple[Tensor, bool]:
        """Return token features of the other video's caption at the same share of its length."""
        given = self.giver[key]
        if given is None:
            # zeros of the right shape: a batch stacks them with those of other clips
            own, _ = self.source.tokens(key, frame)
            return own.new_zeros(own.shape), False
        other, count = given
        return self.source.tokens(other, 1 + (frame - 1) * (count - 1) // max(1, self.frames[key] - 1))


def mismatched_text(
    source: TextSource,
    videos: Sequence[VideoEntry],
    text: Literal["true", "other_video", "none"],
    seed: int,
) -> TextSource:
    """Return captions as the videos get them: their own, another video's, or none.

    Raises:
        InputError: If there is only one video, and so no other one.
    """
    if text == "true":
        return source
    givers = other_videos(videos, seed) if text == "other_video" else {}
    return MismatchedText(
        source,
        {e.key: (givers[e.key].key, givers[e.key].n_frames) if e.key in givers else None for e in videos},
        {entry.key: entry.n_frames for entry in videos},
    )
