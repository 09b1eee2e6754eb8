"""Reader of Hollywood-2 and UCF Sports with gaze (Mathe and Sminchisescu, TPAMI 2015), cut as saliency papers do.

Below ``<root>/Hollywood2`` or ``<root>/UCF``, or the root itself if it has that name::

    training|testing/<video>/images/<any name>_00001.png
    training|testing/<video>/maps/<any name>_00001.png
    training|testing/<video>/fixation/<any name>_00001.png    or .mat with a matrix I, also in fixation/maps

UCF's folders are called ``<class>-<number>`` and its files ``<class>_<number>_001.png``. Hollywood-2 is divided into
shots, many of them shorter than a clip; all are kept, and clips repeat frames at the edges, as the clip policy says.
These copies contain no audio and no frame rate: the catalogue's nominal one (24) is used, for times only.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from lightning_avsp.data.catalogue import Corpus, Part
from lightning_avsp.data.entries import MissingAudio, VideoEntry
from lightning_avsp.data.lists import ListedVideo, find_below
from lightning_avsp.data.numbered_files import natural
from lightning_avsp.data.picture_videos import picture_video, report_lacking
from lightning_avsp.errors import CorpusNotFoundError, InputError

log = logging.getLogger(__name__)

PART_FOLDERS: dict[Part, tuple[str, ...]] = {"train": ("training", "train"), "test": ("testing", "test")}
"""Folders that may contain each part."""


def list_hollywood(root: Path, corpus: Corpus, part: Part, split: int) -> list[ListedVideo]:
    """List the videos (of Hollywood-2: shots) of a part, as they lie in its folder, in natural order.

    Raises:
        CorpusNotFoundError: If the folder is not there.
        InputError: If it holds no video.
    """
    corpus.list_name(part, split)  # raises for another split than 1
    folder = find_below(root, corpus, PART_FOLDERS[part])
    names = sorted((path.name for path in folder.iterdir() if (path / "maps").is_dir()), key=natural)
    if not names:
        raise InputError(f"{folder} holds no video with a folder of maps; to obtain it: {corpus.source}")
    assert corpus.fps is not None
    return [ListedVideo(name, 0, corpus.fps) for name in names]


def read_hollywood(
    root: Path, corpus: Corpus, listed: Sequence[ListedVideo], missing_audio: MissingAudio = "error"
) -> list[VideoEntry]:
    """Read entries of listed videos, in their order, all silent whatever ``missing_audio`` is.

    Raises:
        CorpusNotFoundError: If frames or maps of a video are missing.
        InputError: If numbers have a gap.
    """
    parts: tuple[Part, ...] = ("train", "test")
    folders = [find_below(root, corpus, PART_FOLDERS[part]) for part in parts]
    log.info("%s: layout <part>/<video>/{images,maps,fixation}, in %s", corpus.name, folders[0].parent)
    entries = []
    for video in listed:
        folder = next((place / video.name for place in folders if (place / video.name).is_dir()), None)
        if folder is None:
            tried = " or ".join(str(place / video.name) for place in folders)
            raise CorpusNotFoundError(f"{corpus.name}: no folder at {tried}; to obtain it: {corpus.source}")
        fixations = [folder / "fixation", folder / "fixations"]
        entries.append(picture_video(corpus, video, [folder / "images"], folder / "maps", fixations))
    report_lacking(corpus, entries)
    return entries
