"""From names in the catalogue to video entries: the one place that knows which reader reads which layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lightning_avsp.data.catalogue import Corpus, Part, find_corpus
from lightning_avsp.data.entries import VideoEntry, VideoKey
from lightning_avsp.data.lists import ListedVideo, listed_videos
from lightning_avsp.data.stavis import MissingAudio, read_stavis

Reader = Callable[[Path, Corpus, Sequence[ListedVideo], MissingAudio], list[VideoEntry]]

READERS: dict[str, Reader] = {"stavis": read_stavis}
"""Reader of each layout that a catalogue entry may name."""


def listed_keys(root: Path, corpora: Sequence[str], split: int, part: Part) -> list[VideoKey]:
    """(corpus, video) of everything listed for one part of a split, corpus after corpus; opens lists only."""
    entries = [find_corpus(name) for name in corpora]
    return [
        (entry.name, video.name) for entry in entries for video in listed_videos(root, entry, part, split)
    ]


def read_videos(
    root: Path,
    corpora: Sequence[str],
    split: int,
    part: Part,
    *,
    keep: frozenset[VideoKey] | None = None,
    missing_audio: MissingAudio = "error",
) -> list[VideoEntry]:
    """Entries of one part of a split, in the order of corpora and lists.

    Args:
        root: Root of the package.
        corpora: Names in the catalogue.
        split: Which of the published splits.
        part: Which list.
        keep: If given, only these videos are looked at, e.g. the training share of the training list.
        missing_audio: Policy for videos without a sound file.

    Raises:
        CorpusNotFoundError: If a list, a video or (under ``error``) a sound is missing.
        InputError: If a corpus is not in the catalogue.
    """
    videos: list[VideoEntry] = []
    for name in corpora:
        corpus = find_corpus(name)
        listed = listed_videos(root, corpus, part, split)
        if keep is not None:
            listed = [video for video in listed if (corpus.name, video.name) in keep]
        if listed:
            videos += READERS[corpus.layout](root, corpus, listed, missing_audio)
    return videos
