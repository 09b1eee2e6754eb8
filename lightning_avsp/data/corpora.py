"""Video entries of corpora by name: the table of readers by layout."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from lightning_avsp.data.catalogue import Corpus, Layout, Part, find_corpus, known_corpora, splits_in_mix
from lightning_avsp.data.crowdsal import list_crowdsal, read_crowdsal
from lightning_avsp.data.entries import MissingAudio, VideoEntry, VideoKey
from lightning_avsp.data.lists import ListedVideo, listed_videos
from lightning_avsp.data.partition import refuse_shared
from lightning_avsp.data.picture_videos import list_dhf1k, list_hollywood, read_dhf1k, read_hollywood
from lightning_avsp.data.sources import VideoFrames
from lightning_avsp.data.stavis import read_stavis
from lightning_avsp.errors import CorpusNotFoundError
from lightning_avsp.media.random_access import Backend

log = logging.getLogger(__name__)


Lister = Callable[[Path, Corpus, Part, int], list[ListedVideo]]
"""Lists the videos of one part of a split; opens none."""
Reader = Callable[[Path, Corpus, Sequence[ListedVideo], MissingAudio], list[VideoEntry]]
"""Reads entries of listed videos, in their order."""
LAYOUTS: dict[Layout, tuple[Lister, Reader]] = {
    "stavis": (listed_videos, read_stavis),
    "dhf1k": (list_dhf1k, read_dhf1k),
    "hollywood": (list_hollywood, read_hollywood),
    "crowdsal": (list_crowdsal, read_crowdsal),
}
"""Functions of each layout that a catalogue entry may name."""


def corpus_listing(root: Path, corpus: Corpus, part: Part, split: int) -> list[ListedVideo]:
    """List the videos of one part of a split of one corpus; opens no video.

    Raises:
        CorpusNotFoundError: If the corpus or its list is not there.
        InputError: If it has no such split, or its list cannot be read.
    """
    corpus.list_name(part, split)  # raises for a split that the corpus does not have
    return LAYOUTS[corpus.layout][0](root, corpus, part, split)


Split = int | Literal["all"]
"""A published split, or every video that any split lists."""
Listings = list[tuple[Corpus, list[ListedVideo]]]
"""Videos of each corpus."""


def listed_keys(root: Path, corpora: Sequence[str], split: Split, part: Part = "test") -> list[VideoKey]:
    """Return (corpus, video) of everything listed for one part of a split, corpus after corpus; opens no video.

    Warns, for a corpus without lists, if the number of videos is not the published one.
    """
    listings = _listings(root, corpora, split, part)
    return [(corpus.name, video.name) for corpus, listed in listings for video in listed]


def read_videos(
    root: Path,
    corpora: Sequence[str],
    split: Split,
    part: Part = "test",
    *,
    keep: frozenset[VideoKey] | None = None,
    missing_audio: MissingAudio = "error",
    skip_missing_lists: bool = False,
) -> list[VideoEntry]:
    """Read the entries of one part of a split, in the order of corpora and lists.

    Args:
        root: Root of the packages.
        corpora: Names in the catalogue, or of corpora registered under the root.
        split: Published split (:func:`~lightning_avsp.data.catalogue.splits_in_mix`), or ``all``: every video that any
            list names, once (:func:`every_listed`), whatever the part.
        part: List.
        keep: If given, only these videos are read, e.g. the training share of the training list.
        missing_audio: Policy for videos without audio.
        skip_missing_lists: Under ``all``, lists that are not there are left out with a warning.

    Raises:
        CorpusNotFoundError: If a list, a video or (under ``error``) an audio file is missing.
        InputError: If a corpus is not known.
    """
    videos: list[VideoEntry] = []
    # With `keep` the names were listed, and their numbers reported, before
    for corpus, listed in _listings(root, corpora, split, part, skip_missing_lists, report=keep is None):
        wanted = [video for video in listed if keep is None or (corpus.name, video.name) in keep]
        # a reader opens every video that it is given, and refuses a corpus of which nothing is there
        if wanted:
            videos += LAYOUTS[corpus.layout][1](root, corpus, wanted, missing_audio)
    return videos


def decoded_with(entries: Sequence[VideoEntry], backend: Backend) -> list[VideoEntry]:
    """Return entries whose video files are decoded by ``backend``; entries of images stay as they are."""
    return [
        replace(entry, frames=replace(entry.frames, backend=backend))
        if isinstance(entry.frames, VideoFrames)
        else entry
        for entry in entries
    ]


def _listings(
    root: Path,
    corpora: Sequence[str],
    split: Split,
    part: Part,
    skip_missing_lists: bool = False,
    report: bool = True,
) -> Listings:
    if split == "all":
        return every_listed(root, corpora, skip_missing_lists=skip_missing_lists)
    entries = [find_corpus(name, root) for name in corpora]
    splits = splits_in_mix(entries, split)
    listings = [(c, corpus_listing(root, c, part, own)) for c, own in zip(entries, splits, strict=True)]
    for corpus, listed in listings if report else ():
        if corpus.note and part == "test":
            log.info("%s: %s", corpus.name, corpus.note)
        if corpus.layout == "stavis" or corpus.shots:
            continue  # fold lists name what has to be there; how many shots there are was never published
        # corpora without lists were divided once
        published = corpus.published_count(part, corpus.splits[0])
        if len(listed) != published:
            log.warning(
                "%s: %d videos in the %s part; published: %d", corpus.name, len(listed), part, published
            )
    return listings


def every_listed(root: Path, corpora: Sequence[str], *, skip_missing_lists: bool = False) -> Listings:
    """List every video of each corpus once, in the order of splits and lists.

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
            # Splits overlap: most test videos of one are training videos of the others. Where they list one with
            # different numbers of frames the first counts: readers take the smallest that they find anyway.
            for video in (video for listed in lists for video in listed):
                videos.setdefault(video.name, video)
        if not videos:
            raise missing[0]
        for absent in missing:
            log.warning("%s; its videos are left out unless another list names them", absent)
        found.append((corpus, list(videos.values())))
    return found


def present_corpora(root: Path) -> list[str]:
    """Return the names of all corpora with at least one list under a root.

    Raises:
        CorpusNotFoundError: If there is none.
    """
    names: list[str] = []
    first: CorpusNotFoundError | None = None
    for name in known_corpora(root):
        try:
            # nobody has all corpora, and some have only one split's lists
            every_listed(root, [name], skip_missing_lists=True)
            names.append(name)
        except CorpusNotFoundError as absent:
            first = first or absent
    if not names:
        raise CorpusNotFoundError(f"{root} contains no corpus; looked first for: {first}")
    return names
