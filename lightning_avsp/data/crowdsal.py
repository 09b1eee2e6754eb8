"""Reader of CrowdSAL as the NTIRE 2026 challenge on video saliency prediction gives it out.

Below ``<root>/CrowdSAL``, or the root itself if it has that name, as unpacked (the inner ``Train`` and ``Test`` may be
absent)::

    TrainTestSplit.json      {"train": [...], "public_test": [...], "private_test": [...]}, names with .mp4
    Videos/<video>.mp4       most with audio
    Saliency{Train,Test}/{Train,Test}/<video>.mp4            maps as a 10-bit video
    Fixations{Train,Test}/{Train,Test}/<video>/fixations.json   for each frame a list of [row, column], repeats count

The corpus was divided once, so it has split 1 alone. Its test part is both test sets; ``VideoEntry.subset`` says in
which of them a video is.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from lightning_avsp.data.catalogue import Corpus, Part
from lightning_avsp.data.entries import MissingAudio, VideoEntry, apply_policy, usable_frames
from lightning_avsp.data.lists import ListedVideo, find_below
from lightning_avsp.data.sources import JsonFixations, VideoFrames, VideoMaps
from lightning_avsp.data.text_files import check_name, read_json
from lightning_avsp.errors import CorpusNotFoundError, InputError
from lightning_avsp.media.random_access import video_info
from lightning_avsp.media.video import open_container

log = logging.getLogger(__name__)

SPLIT_FILE = "TrainTestSplit.json"
SUBSETS: dict[Part, tuple[str, ...]] = {"train": ("train",), "test": ("public_test", "private_test")}
"""Keys of the split file that make up each part."""

_NESTED = ("Train", "Test", "train", "test")


def read_split(base: Path) -> dict[str, list[str]]:
    """Read the names of the videos, without suffix, in each of ``train``, ``public_test`` and ``private_test``.

    Raises:
        InputError: If the file contains anything else, or names a video twice.
    """
    path = base / SPLIT_FILE
    content = read_json(path)
    try:
        split = {
            key: [check_name(name.removesuffix(".mp4")) for name in content[key]]
            for part in SUBSETS.values()
            for key in part
        }
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is no split of this corpus ({error!r}): it needs lists train, public_test and private_test; "
            "download it again"
        ) from error
    names = [name for part in split.values() for name in part]
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise InputError(
            f"{path} names {len(twice)} videos twice ({', '.join(twice[:5])}); download it again"
        )
    return split


def list_crowdsal(root: Path, corpus: Corpus, part: Part, split: int) -> list[ListedVideo]:
    """List the videos of a part by the split file, in its order; the public test before the private one.

    Raises:
        CorpusNotFoundError: If the split file is not there.
        InputError: If it cannot be read, or names nothing for this part.
    """
    base = find_below(root, corpus, [SPLIT_FILE]).parent
    subsets = read_split(base)
    names = [name for key in SUBSETS[part] for name in subsets[key]]
    if not names:
        raise InputError(f"{base / SPLIT_FILE} names no video to {part}; download it again")
    # the split file has neither frames nor rates: the videos themselves do
    return [ListedVideo(name, 0, 0.0) for name in names]


def read_crowdsal(
    root: Path, corpus: Corpus, listed: Sequence[ListedVideo], missing_audio: MissingAudio = "error"
) -> list[VideoEntry]:
    """Read entries of listed videos, in their order; audio is in the video file.

    Raises:
        CorpusNotFoundError: If a video file, its maps, its fixations or, under ``error``, its audio is missing.
        InputError: If a file cannot be read.
    """
    base = find_below(root, corpus, [SPLIT_FILE]).parent
    log.info("%s: layout of the NTIRE 2026 challenge (video files), in %s", corpus.name, base)
    places = {
        "videos": _folders(base, "Videos*"),
        "maps": _folders(base, "Saliency*"),
        "fixations": _folders(base, "Fixations*"),
    }
    subset_of = {name: key for key, names in read_split(base).items() for name in names}
    entries = []
    for video in listed:
        path = _find(corpus, video.name, "video", places["videos"], f"{video.name}.mp4")
        maps = _find(corpus, video.name, "maps", places["maps"], f"{video.name}.mp4")
        points = JsonFixations(
            _find(corpus, video.name, "fixations", places["fixations"], f"{video.name}/fixations.json")
        )
        n_frames, fps, size, has_audio = read_header(path)
        counts = {"frames": n_frames, "maps": read_header(maps)[0], "fixations": points.count()}
        entries.append(
            VideoEntry(
                corpus=corpus.name,
                video=video.name,
                n_frames=usable_frames(f"{corpus.name}/{video.name}", counts),
                fps=fps,
                frames=VideoFrames(path),
                maps=VideoMaps(maps),
                fixations=points,
                wave=path if has_audio else None,
                size=size,
                subset=subset_of[video.name],
            )
        )
    remedy = "These video files have no audio track"
    return apply_policy(
        corpus, entries, missing_audio, lambda video: places["videos"][0] / f"{video}.mp4", remedy
    )


def find_clips(root: Path, corpus: Corpus, subsets: Sequence[str]) -> dict[Path, int]:
    """Find the video files of some parts of the split, each with the frames of its maps, else its own.

    Raises:
        CorpusNotFoundError: If the split file or a video is not there.
        InputError: If a file cannot be read.
    """
    base = find_below(root, corpus, [SPLIT_FILE]).parent
    videos, maps = (_folders(base, pattern) for pattern in ("Videos*", "Saliency*"))
    found = {}
    split = read_split(base)
    for name in (name for key in subsets for name in split[key]):
        path = _find(corpus, name, "video", videos, f"{name}.mp4")
        truth = (folder / path.name for folder in maps if (folder / path.name).is_file())
        found[path] = read_header(next(truth, path))[0]
    return found


def read_header(path: Path) -> tuple[int, float, tuple[int, int], bool]:
    """Read the header of a video, or where it does not count the frames, all packets.

    Returns:
        Number of frames, frames per second, (height, width), and True if there is an audio track.

    Raises:
        InputError: If the file cannot be read as a video.
        MissingDependencyError: If PyAV is not installed.
    """
    # the header alone: thousands of videos are opened before training begins
    with open_container(path) as container:
        stream = next(iter(container.streams.video), None)
        if stream is not None and stream.codec_context and stream.frames and stream.average_rate:
            size = (stream.height, stream.width)
            return stream.frames, float(stream.average_rate), size, bool(container.streams.audio)
    info = video_info(path)
    return info.frames, float(info.fps), (info.height, info.width), info.audio is not None


def _folders(base: Path, pattern: str) -> list[Path]:
    """Folders of one kind, and those inside in which archives are often unpacked."""
    found: list[Path] = []
    for top in sorted(path for path in base.glob(pattern) if path.is_dir()):
        found += [
            folder for folder in (top, *(top / name for name in (*_NESTED, top.name))) if folder.is_dir()
        ]
    return found


def _find(corpus: Corpus, video: str, what: str, folders: Iterable[Path], name: str) -> Path:
    tried = [folder / name for folder in folders]
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        where = " or ".join(map(str, tried[:4])) or "no such folder"
        raise CorpusNotFoundError(
            f"{corpus.name}/{video}: no {what} ({where}); to obtain it: {corpus.source}"
        )
    return found
