"""Readers of DHF1K, Hollywood-2 and UCF Sports: frames, maps and fixations lie in folders of numbered images.

No list has the number of frames of such a video: the folders are counted, and names are recognised. None of these
corpora has audio.

DHF1K (Wang et al., CVPR 2018), in every layout in which copies of it go round: below ``<root>/DHF1K``, or the root
itself if it has that name, one of::

    annotation/0001/{maps,fixation}/0001.png    the authors' package; frames are looked for in
        annotation/0001/images/0001.png           UNISAL
        video/0001/0001.png  video/001/...        TASED-Net
        frames/1/1.png  images/0001/...           other cuts
        video/001.AVI                             uncut: only through `avsp data prepare`
    0001/{images,maps,fixations}/0001.png       ViNet, also in folders train and val
    frames/1/1.png  maps/1/0001.png             DiffSal, which has no fixations unless fixation/1/ is there too

Fixations are pictures, or MATLAB files with a matrix ``I``, in ``fixation`` or ``fixation/maps``. Videos 1 to 600 train
and 601 to 700, the published validation videos, are tested, as papers do; labels of 701 to 1000 are withheld.

Hollywood-2 and UCF Sports with gaze (Mathe and Sminchisescu, TPAMI 2015), cut as saliency papers do: below
``<root>/Hollywood2`` or ``<root>/UCF``, or the root itself if it has that name::

    training|testing/<video>/images/<any name>_00001.png
    training|testing/<video>/maps/<any name>_00001.png
    training|testing/<video>/fixation/<any name>_00001.png    or .mat with a matrix I, also in fixation/maps

UCF's folders are called ``<class>-<number>`` and its files ``<class>_<number>_001.png``. Hollywood-2 is divided into
shots, many of them shorter than a clip; all are kept, and clips repeat frames at the edges, as the clip policy says.
These copies contain no frame rate: the catalogue's nominal one (24) is used, for times only.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lightning_avsp.data.catalogue import Corpus, Part
from lightning_avsp.data.entries import MissingAudio, VideoEntry, usable_frames
from lightning_avsp.data.lists import (
    ListedVideo,
    base_folders,
    find_below,
    list_path,
    parse_fold_list,
    require_root,
)
from lightning_avsp.data.numbered_files import PICTURES, NumberedFiles, natural, recognise_files
from lightning_avsp.data.sources import (
    FixationSource,
    MatFixations,
    NoFixations,
    PictureFixations,
    PictureFrames,
    PictureMaps,
    VideoFrames,
)
from lightning_avsp.errors import CorpusNotFoundError, InputError
from lightning_avsp.media.images import image_size
from lightning_avsp.media.random_access import video_info

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

# UNISAL, TASED-Net, DiffSal and own cuts unpack frames under different names
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
        # the authors' folder first: a copy may hold one of the others' beside it
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
    copy = find_copy(root, corpus)
    path = list_path(root, corpus, part, split)
    if path.is_file():
        listed = parse_fold_list(path)
        if odd := [video.name for video in listed if not video.name.isdecimal()]:
            raise InputError(f"{path}: {odd[0]!r} is no number of a video of DHF1K; replace the list")
        return [ListedVideo(f"{int(video.name):04d}", video.frames, video.fps) for video in listed]
    assert corpus.fps is not None
    # named alike in every layout, so that results of two copies can be compared
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
    # three ways in which copies number videos, the one of the annotation first
    names = list(dict.fromkeys((folder.name, f"{number:04d}", f"{number:03d}", str(number))))
    cut = [base / place / name for place in _FRAME_PLACES for name in names]
    films = [base / "video" / f"{name}{suffix}" for name in names for suffix in (".AVI", ".avi", ".mp4")]
    if copy.variant == "frames_maps":
        # DiffSal's copy has no fixations: those of the authors' package serve, where it lies beside
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
            # 001 and 0001 are one video, and it must be clear which copy is read
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


PART_FOLDERS: dict[Part, tuple[str, ...]] = {"train": ("training", "train"), "test": ("testing", "test")}
"""Folders that may contain each part."""


def list_hollywood(root: Path, corpus: Corpus, part: Part, split: int) -> list[ListedVideo]:
    """List the videos (of Hollywood-2: shots) of a part, as they lie in its folder, in natural order.

    Raises:
        CorpusNotFoundError: If the folder is not there.
        InputError: If it holds no video.
    """
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
    # in both: a reader is not told which part it reads
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


MATRIX_KEY = "I"
"""Name of the matrix in fixation files of DHF1K, Hollywood-2 and UCF."""
LOSSLESS = (".png", ".bmp")  # JPEG blurs single pixels: its grey ones would all be fixations


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
    # each folder numbered from its own first file would pair wrong frames without a word
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
