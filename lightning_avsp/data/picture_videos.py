"""Videos whose frames, maps and fixations lie in folders of numbered images, as DHF1K, Hollywood-2 and UCF have them.

No list has the number of frames of such a video: the folders are counted, and names are recognised, since every
repository numbers them in its own way.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lightning_avsp.data.catalogue import Corpus
from lightning_avsp.data.entries import VideoEntry, usable_frames
from lightning_avsp.data.lists import ListedVideo
from lightning_avsp.data.numbered_files import PICTURES, NumberedFiles, recognise_files
from lightning_avsp.data.sources import (
    FixationSource,
    MatFixations,
    NoFixations,
    PictureFixations,
    PictureFrames,
    PictureMaps,
)
from lightning_avsp.data.video_source import VideoFrames
from lightning_avsp.errors import CorpusNotFoundError, InputError
from lightning_avsp.media.images import image_size
from lightning_avsp.media.video_index import video_info

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
    found_maps = recognise_files(PictureMaps, maps, PICTURES)
    if found_maps is None:
        raise CorpusNotFoundError(f"{name}: no maps at {maps}; to obtain them: {corpus.source}")
    source, n_frames, size = _frames(name, corpus, frames)
    fixation_source, n_fixations = _fixations(fixations)
    parts = {"frames": source, "maps": found_maps[0], "fixations": fixation_source}
    firsts = {part: files.first for part, files in parts.items() if isinstance(files, NumberedFiles)}
    if len(set(firsts.values())) > 1:
        raise InputError(
            f"{name}: numbers begin differently ({', '.join(f'{part} with {n}' for part, n in firsts.items())}), so "
            "maps cannot be assigned to frames; name frames, maps and fixations alike"
        )
    counts = {"frames": n_frames, "maps": found_maps[1]}
    if n_fixations is not None:
        counts["fixations"] = n_fixations
    return VideoEntry(
        corpus=corpus.name,
        video=listed.name,
        n_frames=usable_frames(name, counts, listed.frames),
        fps=listed.fps,
        frames=source,
        maps=found_maps[0],
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
    files = [entry.frames.path for entry in entries if isinstance(entry.frames, VideoFrames)]
    if files:
        log.warning(
            "%s: frames of %d of %d videos come from video files (first: %s); decode them once with `avsp data "
            "prepare`: single frames of .avi files cannot be read, and other video files are slow",
            corpus.name,
            len(files),
            len(entries),
            files[0],
        )


def _frames(
    name: str, corpus: Corpus, paths: Sequence[Path]
) -> tuple[VideoFrames | PictureFrames, int, tuple[int, int]]:
    for path in paths:
        if path.is_file():
            info = video_info(path)
            return VideoFrames(path), info.frames, (info.height, info.width)
        found = recognise_files(PictureFrames, path, PICTURES)
        if found is not None:
            return *found, image_size(found[0].path(1))
    tried = ", ".join(map(str, paths))
    raise CorpusNotFoundError(f"{name}: no frames at any of {tried}; to obtain them: {corpus.source}")


def _fixations(paths: Sequence[Path]) -> tuple[FixationSource, int | None]:
    for path in paths:
        for folder in (path, path / "maps"):
            pictures = recognise_files(PictureFixations, folder, LOSSLESS)
            if pictures is not None:
                return pictures
            matrices = recognise_files(MatFixations, folder, (".mat",))
            if matrices is not None:
                return replace(matrices[0], key=MATRIX_KEY), matrices[1]
    return NoFixations(paths[0]), None
