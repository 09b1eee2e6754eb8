"""Videos whose frames, maps and fixations lie in folders of numbered images, as DHF1K, Hollywood-2 and UCF have them.

No list has the number of frames of such a video: the folders are counted, and names are recognised, since every
repository numbers them in its own way.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from lightning_avsp.data.catalogue import Corpus
from lightning_avsp.data.entries import VideoEntry, usable_frames
from lightning_avsp.data.lists import ListedVideo
from lightning_avsp.data.numbered_files import PICTURES, Numbering, numbering
from lightning_avsp.data.sources import (
    FixationSource,
    FrameSource,
    MatFixations,
    NoFixations,
    PictureFixations,
    PictureFrames,
    PictureMaps,
)
from lightning_avsp.data.video_source import VideoFrames, probe_video
from lightning_avsp.errors import CorpusNotFoundError, InputError
from lightning_avsp.media.images import image_size

log = logging.getLogger(__name__)

MATRIX_KEY = "I"
"""Name of the matrix in fixation files of DHF1K, Hollywood-2 and UCF."""
LOSSLESS = (".png", ".bmp")
"""Suffixes of fixation images: JPEG blurs single pixels."""


def picture_video(
    corpus: Corpus,
    listed: ListedVideo,
    frames: Sequence[Path],
    maps: Path,
    fixations: Sequence[Path],
) -> VideoEntry:
    """Read the entry of one video from its folders.

    Args:
        corpus: Whose video it is.
        listed: Its name, and frames and fps where a list gives them.
        frames: Paths of frames: folders of images or video files; the first that exists counts.
        maps: Folder of maps.
        fixations: Folders of fixations, as images or matrices, also in a folder ``maps`` inside.

    Raises:
        CorpusNotFoundError: If frames or maps are missing.
        InputError: If numbers have a gap, or frames, maps and fixations begin with different ones.
    """
    name = f"{corpus.name}/{listed.name}"
    found_maps = numbering(maps, PICTURES)
    if found_maps is None:
        raise CorpusNotFoundError(f"{name}: no maps at {maps}; to obtain them: {corpus.source}")
    source, frame_numbers, n_frames, size = _frames(name, corpus, frames)
    fixation_source, fixation_numbers = _fixations(fixations)
    parts = {"frames": frame_numbers, "maps": found_maps, "fixations": fixation_numbers}
    firsts = {what: found.first for what, found in parts.items() if found is not None}
    if len(set(firsts.values())) > 1:
        raise InputError(
            f"{name}: numbers begin differently ({', '.join(f'{what} with {n}' for what, n in firsts.items())}), so "
            "maps cannot be assigned to frames; name frames, maps and fixations alike"
        )
    counts = {"frames": n_frames, "maps": found_maps.count}
    if fixation_numbers is not None:
        counts["fixations"] = fixation_numbers.count
    return VideoEntry(
        corpus=corpus.name,
        video=listed.name,
        n_frames=usable_frames(name, counts, listed.frames),
        fps=listed.fps,
        frames=source,
        maps=PictureMaps(maps, found_maps.pattern, found_maps.first),
        fixations=fixation_source,
        wave=None,
        size=size,
    )


def report_lacking(corpus: Corpus, entries: Sequence[VideoEntry]) -> None:
    """Log, once for a corpus, missing fixations and frames that cannot be read one by one."""
    without = [entry.fixations for entry in entries if isinstance(entry.fixations, NoFixations)]
    if without:
        log.warning(
            "%s: %d of %d videos have no fixations (first looked for: %s); they are trained on, and scored "
            "without metrics of fixations",
            corpus.name,
            len(without),
            len(entries),
            without[0].tried,
        )
    films = [entry.frames.path for entry in entries if isinstance(entry.frames, VideoFrames)]
    if films:
        log.warning(
            "%s: frames of %d of %d videos come from video files (first: %s); decode them once with `avsp data "
            "prepare`: single frames of .avi files cannot be read, and other video files are slow",
            corpus.name,
            len(films),
            len(entries),
            films[0],
        )


def _frames(
    name: str, corpus: Corpus, places: Sequence[Path]
) -> tuple[FrameSource, Numbering | None, int, tuple[int, int]]:
    for place in places:
        if place.is_file():
            facts = probe_video(place)
            return VideoFrames(place), None, facts.n_frames, (facts.height, facts.width)
        found = numbering(place, PICTURES)
        if found is not None:
            source = PictureFrames(place, found.pattern, found.first)
            return source, found, found.count, image_size(source.path(1))
    tried = ", ".join(map(str, places))
    raise CorpusNotFoundError(f"{name}: no frames at any of {tried}; to obtain them: {corpus.source}")


def _fixations(places: Sequence[Path]) -> tuple[FixationSource, Numbering | None]:
    for place in places:
        for folder in (place, place / "maps"):
            pictures = numbering(folder, LOSSLESS)
            if pictures is not None:
                return PictureFixations(folder, pictures.pattern, pictures.first), pictures
            matrices = numbering(folder, (".mat",))
            if matrices is not None:
                return MatFixations(folder, matrices.pattern, matrices.first, MATRIX_KEY), matrices
    return NoFixations(places[0]), None
