"""Every listed video of some corpora, once: for reading through everything, never for training or testing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from lightning_avsp.data.catalogue import Corpus, Part, find_corpus
from lightning_avsp.data.corpora import LAYOUTS, corpus_listing
from lightning_avsp.data.entries import VideoEntry, VideoKey
from lightning_avsp.data.lists import ListedVideo
from lightning_avsp.data.missing_audio import MissingAudio
from lightning_avsp.data.partition import refuse_shared

Split = int | Literal["all"]
"""A published split, or every video that any split lists."""


def every_listed(root: Path, corpora: Sequence[str]) -> list[tuple[Corpus, list[ListedVideo]]]:
    """Each corpus with all videos that any of its splits lists, each once, in the order of splits and lists.

    Splits may list one video with different numbers of frames: the first one counts, as the readers take the smallest
    number that they find anyway.

    Raises:
        CorpusNotFoundError: If a corpus or a list is not there.
        InputError: If a split has a video in both of its lists.
    """
    found = []
    parts: tuple[Part, ...] = ("train", "test")
    for corpus in (find_corpus(name, root) for name in corpora):
        videos: dict[str, ListedVideo] = {}
        for split in corpus.splits:
            lists = [corpus_listing(root, corpus, part, split) for part in parts]
            refuse_shared(*([(corpus.name, video.name) for video in listed] for listed in lists))
            for video in (video for listed in lists for video in listed):
                videos.setdefault(video.name, video)
        found.append((corpus, list(videos.values())))
    return found


def every_key(root: Path, corpora: Sequence[str]) -> list[VideoKey]:
    """(corpus, video) of everything listed; opens no video."""
    return [(corpus.name, video.name) for corpus, listed in every_listed(root, corpora) for video in listed]


def read_every_video(
    root: Path,
    corpora: Sequence[str],
    *,
    keep: frozenset[VideoKey] | None = None,
    missing_audio: MissingAudio = "error",
) -> list[VideoEntry]:
    """Entries of everything listed, see :func:`~lightning_avsp.data.corpora.read_videos`."""
    videos: list[VideoEntry] = []
    for corpus, listed in every_listed(root, corpora):
        wanted = [video for video in listed if keep is None or (corpus.name, video.name) in keep]
        if wanted:
            videos += LAYOUTS[corpus.layout].read(root, corpus, wanted, missing_audio)
    return videos
