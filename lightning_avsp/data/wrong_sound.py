"""Another video's sound for every video: the test of whether a model listens."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lightning_avsp.data.entries import VideoEntry, VideoKey


def label_of(video: str) -> str:
    """Kind of a video by its name: the letters behind the last underscore (``V3_Speech3``: ``Speech``)."""
    return re.sub(r"[^A-Za-z]", "", video.rpartition("_")[2]) if "_" in video else ""


def other_sounds(videos: Sequence[VideoEntry], seed: int = 0) -> dict[VideoKey, Path | None]:
    """Sound of another video for each video.

    Videos of one corpus and one label (:func:`label_of`) exchange their sounds in one seeded ring, so that a
    wrong sound is of the right kind and only its moments are wrong; videos alone in their label form one more
    ring, and a single one left over takes the sound of some other video. No video keeps its own.

    Args:
        videos: At least two videos.
        seed: Seed of the rings.

    Raises:
        ValueError: If there is only one video.
    """
    return {key: giver.wave for key, giver in other_videos(videos, seed).items()}


def other_videos(videos: Sequence[VideoEntry], seed: int = 0) -> dict[VideoKey, VideoEntry]:
    """The video whose sound or caption each video gets, see :func:`other_sounds`."""
    if len(videos) < 2:
        raise ValueError("one video has no other whose sound it could take")
    generator = np.random.default_rng(seed)
    groups: dict[tuple[str, str], list[VideoEntry]] = defaultdict(list)
    for entry in videos:
        groups[entry.corpus, label_of(entry.video)].append(entry)
    alone = [group[0] for group in groups.values() if len(group) == 1]
    rings = [group for group in groups.values() if len(group) > 1]
    exchanged: dict[VideoKey, VideoEntry] = {}
    if len(alone) == 1:
        others = [entry for entry in videos if entry.key != alone[0].key]
        exchanged[alone[0].key] = others[int(generator.integers(len(others)))]
    elif alone:
        rings.append(alone)
    for ring in rings:
        order = [ring[index] for index in generator.permutation(len(ring))]
        exchanged |= {entry.key: giver for entry, giver in zip(order, order[1:] + order[:1], strict=True)}
    return exchanged
