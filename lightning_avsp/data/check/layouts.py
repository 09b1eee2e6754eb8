"""Which files make up the videos of a corpus, for every layout."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_avsp.data.catalogue import Corpus
from lightning_avsp.data.check.faults import Fault, fault
from lightning_avsp.data.check.listing import PARTS, Listing, compare_counts
from lightning_avsp.data.check.video_files import FilmFile, PointsFile, VideoFiles
from lightning_avsp.data.lists import ListedVideo
from lightning_avsp.data.numbered import NumberedFiles
from lightning_avsp.errors import AVSPError

if TYPE_CHECKING:
    from lightning_avsp.data.entries import VideoEntry


def stavis_files(root: Path, corpus: Corpus, video: ListedVideo, silent: bool = False) -> VideoFiles:
    """Where the STAViS package's layout keeps a video (:mod:`lightning_avsp.data.stavis`)."""
    from lightning_avsp.data.stavis import video_file, wave_path

    annotation = root / "annotations" / corpus.folder / video.name
    frames = NumberedFiles(root / "video_frames" / corpus.folder / video.name, "img_{:05d}.jpg")
    film = None if frames.folder.is_dir() else video_file(root, corpus, video.name)
    wave = wave_path(root, corpus, video.name)
    return VideoFiles(
        corpus=corpus.name,
        video=video.name,
        listed=video.frames,
        fps=video.fps,
        frames=frames if film is None else FilmFile(film),
        maps=NumberedFiles(annotation / "maps", "eyeMap_{:05d}.jpg"),
        fixations=NumberedFiles(annotation, "fixMap_{:05d}.mat"),
        wave=(film if film is not None and not wave.is_file() else wave) if corpus.has_sound else None,
        silent=silent,
    )


def read_other_listing(root: Path, corpus: Corpus, real: bool) -> Listing:
    """Videos of a corpus whose layout has no fold lists of its own, as its reader lists them."""
    from lightning_avsp.data.corpora import corpus_listing

    listing = Listing()
    split = corpus.splits[0]
    names: dict[str, set[str]] = {}
    place = root / corpus.folder
    for part in PARTS:
        try:
            with _quiet():
                videos = corpus_listing(root, corpus, part, split)
        except AVSPError as error:
            listing.faults.append(fault("list_missing", corpus.name, "", place, f"{part}: {error}"))
            continue
        names[part] = {video.name for video in videos}
        for video in videos:
            listing.videos.setdefault(video.name, video)
            listing.where.setdefault(video.name, f"the {part} part")
    if len(names) == len(PARTS):
        listing.counts[split] = (len(names["train"]), len(names["test"]))
        for name in sorted(names["train"] & names["test"]):
            listing.faults.append(fault("split_overlap", corpus.name, name, place, "in train and test"))
        if real and not corpus.shots:
            compare_counts(place, corpus, split, listing)
    return listing


def other_files(
    root: Path, corpus: Corpus, videos: Sequence[ListedVideo], silent: set[str]
) -> tuple[list[VideoFiles], list[Fault]]:
    """Files of listed videos by the corpus' own reader, and a fault for each video that it refuses."""
    from lightning_avsp.data.corpora import LAYOUTS

    found: list[VideoFiles] = []
    faults: list[Fault] = []
    for video in videos:
        try:
            with _quiet():
                (entry,) = LAYOUTS[corpus.layout].read(root, corpus, [video], "silence")
        except AVSPError as error:
            place = root / corpus.folder
            faults.append(fault("video_unreadable", corpus.name, video.name, place, str(error)))
            continue
        found.append(_entry_files(entry, video, corpus, video.name in silent))
        missing = _missing_fixations(entry)
        if missing is not None:
            detail = "no fixations: the video can train a model, but not score one"
            faults.append(fault("folder_missing", corpus.name, video.name, missing, detail, "warning"))
    return found, faults


def _entry_files(entry: VideoEntry, listed: ListedVideo, corpus: Corpus, silent: bool) -> VideoFiles:
    """What an entry's sources read, file by file."""
    from lightning_avsp.data.sources import JsonFixations, MatFixations
    from lightning_avsp.data.video_source import VideoFrames, VideoMaps

    frames, maps, fixations = entry.frames, entry.maps, entry.fixations
    film = FilmFile(frames.path) if isinstance(frames, VideoFrames) else None
    wave = entry.wave or (film.path if film is not None else None)
    return VideoFiles(
        corpus=entry.corpus,
        video=entry.video,
        listed=listed.frames,
        fps=entry.fps,
        frames=film or _plain(frames),
        maps=FilmFile(maps.path) if isinstance(maps, VideoMaps) else _plain(maps),
        fixations=(
            PointsFile(fixations.path)
            if isinstance(fixations, JsonFixations)
            else _plain(fixations)
            if isinstance(fixations, NumberedFiles)
            else None
        ),
        wave=wave if corpus.has_sound else None,
        silent=silent,
        matrix=fixations.key if isinstance(fixations, MatFixations) else "eyeMap",
    )


def _plain(source: object) -> NumberedFiles:
    """A source of numbered files without what it imports, so that processes start fast."""
    assert isinstance(source, NumberedFiles), f"no check is known for {type(source).__name__}"
    return NumberedFiles(source.folder, source.pattern, source.first)


def _missing_fixations(entry: VideoEntry) -> Path | None:
    from lightning_avsp.data.sources import NoFixations

    return entry.fixations.tried if isinstance(entry.fixations, NoFixations) else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep readers from telling, video by video, what the report tells at its end."""
    logger = logging.getLogger("lightning_avsp.data")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
