"""Every listed video of some corpora, once: for reading through everything, never for training or testing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from lightning_avsp.data.catalogue import Corpus, Part, find_corpus, known_corpora
from lightning_avsp.data.corpora import LAYOUTS, corpus_listing
from lightning_avsp.data.entries import VideoEntry, VideoKey
from lightning_avsp.data.lists import ListedVideo
from lightning_avsp.data.missing_audio import MissingAudio
from lightning_avsp.data.partition import refuse_shared
from lightning_avsp.errors import CorpusNotFoundError

log = logging.getLogger(__name__)

Split = int | Literal["all"]
"""A published split, or every video that any split lists."""


def every_listed(
    root: Path, corpora: Sequence[str], *, skip_missing_lists: bool = False
) -> list[tuple[Corpus, list[ListedVideo]]]:
    """List every video of each corpus once, in the order of splits and lists.

    Splits may list one video with different numbers of frames: the first one counts, as the readers take the smallest
    number that they find anyway.

    Raises:
        CorpusNotFoundError: If a corpus or a list is not there; with ``skip_missing_lists``, if it has no list at all.
        InputError: If a split has a video in both of its lists.
    """
    found = []
    parts: tuple[Part, ...] = ("train", "test")
    for corpus in (find_corpus(name, root) for name in corpora):
        videos: dict[str, ListedVideo] = {}
        missing: list[CorpusNotFoundError] = []
        for split in corpus.splits:
            lists: list[list[ListedVideo]] = []
            for part in parts:
                try:
                    lists.append(corpus_listing(root, corpus, part, split))
                except CorpusNotFoundError as error:
                    if not skip_missing_lists:
                        raise
                    missing.append(error)
            if len(lists) == len(parts):
                refuse_shared(*([(corpus.name, video.name) for video in listed] for listed in lists))
            for video in (video for listed in lists for video in listed):
                videos.setdefault(video.name, video)
        if not videos:
            raise missing[0]
        for absent in missing:
            log.warning("%s; its videos are left out unless another list names them", absent)
        found.append((corpus, list(videos.values())))
    return found


def every_key(root: Path, corpora: Sequence[str]) -> list[VideoKey]:
    """Return (corpus, video) of everything listed; opens no video."""
    return [(corpus.name, video.name) for corpus, listed in every_listed(root, corpora) for video in listed]


def read_every_video(
    root: Path,
    corpora: Sequence[str],
    *,
    keep: frozenset[VideoKey] | None = None,
    missing_audio: MissingAudio = "error",
    skip_missing_lists: bool = False,
) -> list[VideoEntry]:
    """Read the entries of everything listed, see :func:`~lightning_avsp.data.corpora.read_videos`."""
    videos: list[VideoEntry] = []
    for corpus, listed in every_listed(root, corpora, skip_missing_lists=skip_missing_lists):
        wanted = [video for video in listed if keep is None or (corpus.name, video.name) in keep]
        if wanted:
            videos += LAYOUTS[corpus.layout].read(root, corpus, wanted, missing_audio)
    return videos


def present_corpora(root: Path) -> list[str]:
    """Return the names of all corpora with at least one list under a root.

    Raises:
        CorpusNotFoundError: If there is none.
    """
    names: list[str] = []
    first: CorpusNotFoundError | None = None
    for name in known_corpora(root):
        try:
            every_listed(root, [name], skip_missing_lists=True)
            names.append(name)
        except CorpusNotFoundError as absent:
            first = first or absent
    if not names:
        raise CorpusNotFoundError(f"{root} contains no corpus; looked first for: {first}")
    return names
