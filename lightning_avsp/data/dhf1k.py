"""Reader of DHF1K (Wang et al., CVPR 2018), in every layout in which copies of it go round.

Below ``<root>/DHF1K``, or the root itself if it has that name, one of::

    annotation/0001/{maps,fixation}/0001.png    the authors' package; frames are looked for in
        annotation/0001/images/0001.png           UNISAL
        video/0001/0001.png  video/001/...        TASED-Net
        frames/1/1.png  images/0001/...           other cuts
        video/001.AVI                             uncut: only through `avsp data prepare`
    0001/{images,maps,fixations}/0001.png       ViNet, also in folders train and val
    frames/1/1.png  maps/1/0001.png             DiffSal, which has no fixations unless fixation/1/ is there too

Fixations are pictures, or MATLAB files with a matrix ``I``, in ``fixation`` or ``fixation/maps``. Videos 1 to 600 train
and 601 to 700, the published validation videos, are tested, as papers do; labels of 701 to 1000 are withheld. The
corpus has no audio.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lightning_avsp.data.catalogue import Corpus, Part
from lightning_avsp.data.entries import MissingAudio, VideoEntry
from lightning_avsp.data.lists import ListedVideo, base_folders, list_path, parse_fold_list, require_root
from lightning_avsp.data.picture_videos import picture_video, report_lacking
from lightning_avsp.errors import CorpusNotFoundError, InputError

log = logging.getLogger(__name__)

Variant = Literal["annotation", "per_video", "frames_maps"]

VARIANTS: dict[Variant, str] = {
    "annotation": "annotation/<video>/{maps,fixation}, as the authors, UNISAL and TASED-Net",
    "per_video": "<video>/{images,maps,fixations}, as ViNet",
    "frames_maps": "frames/<video> and maps/<video>, as DiffSal",
}
"""Layouts that are recognised, with their names."""
NUMBERS: dict[Part, range] = {"train": range(1, 601), "test": range(601, 701)}
"""Videos of each part."""

_FRAME_PLACES = ("frames", "images", "video", "video_frames")
_PER_VIDEO_PARENTS = ("", "train", "training", "val", "validation", "valid")


@dataclass(frozen=True)
class Copy:
    """A copy of the corpus on disk."""

    base: Path
    variant: Variant
    videos: dict[int, Path]
    """Folder of each annotated video by number: of its parts, or of its maps (``frames_maps``)."""


def find_copy(root: Path, corpus: Corpus) -> Copy:
    """Find the copy of the corpus below a root.

    Raises:
        CorpusNotFoundError: If none of the layouts is recognised; the message names them.
        InputError: If one video lies in two folders.
    """
    require_root(root, corpus)
    bases = base_folders(root, corpus)
    for base in bases:
        annotated = _with_maps(_numbered_folders([base / "annotation"]))
        if annotated:
            return Copy(base, "annotation", annotated)
        per_video = _with_maps(_numbered_folders([base / parent for parent in _PER_VIDEO_PARENTS]))
        if per_video:
            return Copy(base, "per_video", per_video)
        maps = _numbered_folders([base / "maps"])
        if maps and (base / "frames").is_dir():
            return Copy(base, "frames_maps", maps)
    tried = " or ".join(map(str, bases)) or f"{root / corpus.folder} (which is not there)"
    raise CorpusNotFoundError(
        f"{corpus.name}: no annotated video in {tried}; expected one of: {'; '.join(VARIANTS.values())}; to obtain "
        f"it: {corpus.source}"
    )


def list_dhf1k(root: Path, corpus: Corpus, part: Part, split: int) -> list[ListedVideo]:
    """List the videos of a part, named by four digits: those of the fold list if there is one, else all on disk.

    Raises:
        CorpusNotFoundError: If the corpus is not there.
        InputError: If a fold list names something that is no number.
    """
    corpus.list_name(part, split)  # raises for another split than 1
    copy = find_copy(root, corpus)
    path = list_path(root, corpus, part, split)
    if path.is_file():
        return [
            ListedVideo(_number_name(video.name, path), video.frames, video.fps)
            for video in parse_fold_list(path)
        ]
    assert corpus.fps is not None
    return [ListedVideo(f"{number:04d}", 0, corpus.fps) for number in NUMBERS[part] if number in copy.videos]


def read_dhf1k(
    root: Path, corpus: Corpus, listed: Sequence[ListedVideo], missing_audio: MissingAudio = "error"
) -> list[VideoEntry]:
    """Read entries of listed videos, in their order, all silent whatever ``missing_audio`` is.

    Raises:
        CorpusNotFoundError: If frames or maps of a video are missing.
        InputError: If numbers have a gap.
    """
    copy = find_copy(root, corpus)
    log.info("%s: layout %s, in %s", corpus.name, VARIANTS[copy.variant], copy.base)
    absent = [video.name for video in listed if int(video.name) not in copy.videos]
    if absent:
        raise CorpusNotFoundError(
            f"{corpus.name}: {len(absent)} of {len(listed)} listed videos are not annotated in {copy.base} "
            f"({', '.join(absent[:5])}{', ...' if len(absent) > 5 else ''}); to obtain them: {corpus.source}"
        )
    entries = [_read_video(copy, corpus, video) for video in listed]
    report_lacking(corpus, entries)
    return entries


def _read_video(copy: Copy, corpus: Corpus, listed: ListedVideo) -> VideoEntry:
    number, base = int(listed.name), copy.base
    folder = copy.videos[number]
    names = list(dict.fromkeys((folder.name, f"{number:04d}", f"{number:03d}", str(number))))
    cut = [base / place / name for place in _FRAME_PLACES for name in names]
    films = [base / "video" / f"{name}{suffix}" for name in names for suffix in (".AVI", ".avi", ".mp4")]
    if copy.variant == "frames_maps":
        annotated = [base / "annotation" / f"{number:04d}"]
        fixations = [base / kind / name for kind in ("fixation", "fixations") for name in names]
        return picture_video(
            corpus, listed, [*cut, *films], folder, [*fixations, *(p / "fixation" for p in annotated)]
        )
    fixations = [folder / "fixation", folder / "fixations"]
    return picture_video(corpus, listed, [folder / "images", *cut, *films], folder / "maps", fixations)


def _numbered_folders(parents: Sequence[Path]) -> dict[int, Path]:
    found: dict[int, Path] = {}
    for parent in parents:
        for path in sorted(parent.iterdir()) if parent.is_dir() else []:
            if path.name.isdecimal() and path.is_dir():
                number = int(path.name)
                if number in found:
                    raise InputError(
                        f"video {number} lies in {found[number]} and in {path}; keep one of them"
                    )
                found[number] = path
    return dict(sorted(found.items()))


def _with_maps(videos: dict[int, Path]) -> dict[int, Path]:
    return {number: folder for number, folder in videos.items() if (folder / "maps").is_dir()}


def _number_name(name: str, path: Path) -> str:
    if not name.isdecimal():
        raise InputError(f"{path}: {name!r} is no number of a video of DHF1K; replace the list")
    return f"{int(name):04d}"
