"""Video entries of corpora by name: the table of readers by layout."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lightning_avsp.data.catalogue import Corpus, Layout, Part, find_corpus, splits_in_mix
from lightning_avsp.data.crowdsal import list_crowdsal, read_crowdsal
from lightning_avsp.data.dhf1k import list_dhf1k, read_dhf1k
from lightning_avsp.data.entries import VideoEntry, VideoKey
from lightning_avsp.data.hollywood import list_hollywood, read_hollywood
from lightning_avsp.data.lists import ListedVideo, listed_videos
from lightning_avsp.data.missing_audio import MissingAudio
from lightning_avsp.data.stavis import read_stavis
from lightning_avsp.data.video_source import VideoFrames
from lightning_avsp.media.random_access import Backend

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LayoutReader:
    """Reader of one layout."""

    listed: Callable[[Path, Corpus, Part, int], list[ListedVideo]]
    """Lists the videos of one part of a split; opens none."""
    read: Callable[[Path, Corpus, Sequence[ListedVideo], MissingAudio], list[VideoEntry]]
    """Reads entries of listed videos, in their order."""


LAYOUTS: dict[Layout, LayoutReader] = {
    "stavis": LayoutReader(listed_videos, read_stavis),
    "dhf1k": LayoutReader(list_dhf1k, read_dhf1k),
    "hollywood": LayoutReader(list_hollywood, read_hollywood),
    "crowdsal": LayoutReader(list_crowdsal, read_crowdsal),
}
"""Reader of each layout that a catalogue entry may name."""


def corpus_listing(root: Path, corpus: Corpus, part: Part, split: int) -> list[ListedVideo]:
    """List the videos of one part of a split of one corpus; opens no video.

    Raises:
        CorpusNotFoundError: If the corpus or its list is not there.
        InputError: If it has no such split, or its list cannot be read.
    """
    return LAYOUTS[corpus.layout].listed(root, corpus, part, split)


def listed_keys(root: Path, corpora: Sequence[str], split: int, part: Part) -> list[VideoKey]:
    """Return (corpus, video) of everything listed for one part of a split, corpus after corpus; opens no video.

    Warns, for a corpus without lists, if the number of videos is not the published one.
    """
    listings = _listings(root, corpora, split, part)
    _report(listings, part)
    return [(corpus.name, video.name) for corpus, listed in listings for video in listed]


def read_videos(
    root: Path,
    corpora: Sequence[str],
    split: int,
    part: Part,
    *,
    keep: frozenset[VideoKey] | None = None,
    missing_audio: MissingAudio = "error",
) -> list[VideoEntry]:
    """Read the entries of one part of a split, in the order of corpora and lists.

    Args:
        root: Root of the packages.
        corpora: Names in the catalogue, or of corpora registered under the root.
        split: Published split (:func:`~lightning_avsp.data.catalogue.splits_in_mix`).
        part: List.
        keep: If given, only these videos are read, e.g. the training share of the training list.
        missing_audio: Policy for videos without audio.

    Raises:
        CorpusNotFoundError: If a list, a video or (under ``error``) an audio file is missing.
        InputError: If a corpus is not known.
    """
    videos: list[VideoEntry] = []
    listings = _listings(root, corpora, split, part)
    if keep is None:  # else the names were asked for before
        _report(listings, part)
    for corpus, listed in listings:
        wanted = [video for video in listed if keep is None or (corpus.name, video.name) in keep]
        if wanted:
            videos += LAYOUTS[corpus.layout].read(root, corpus, wanted, missing_audio)
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
    root: Path, corpora: Sequence[str], split: int, part: Part
) -> list[tuple[Corpus, list[ListedVideo]]]:
    entries = [find_corpus(name, root) for name in corpora]
    splits = splits_in_mix(entries, split)
    return [
        (entry, corpus_listing(root, entry, part, own)) for entry, own in zip(entries, splits, strict=True)
    ]


def _report(listings: Sequence[tuple[Corpus, list[ListedVideo]]], part: Part) -> None:
    for corpus, listed in listings:
        if corpus.note and part == "test":
            log.info("%s: %s", corpus.name, corpus.note)
        if corpus.layout == "stavis" or corpus.shots:
            continue  # fold lists name what has to be there; how many shots there are was never published
        published = corpus.published_count(part, corpus.splits[0])
        if len(listed) != published:
            log.warning(
                "%s: %d videos in the %s part; published: %d", corpus.name, len(listed), part, published
            )
