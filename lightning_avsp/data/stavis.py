"""Reader of the STAViS package layout, in which six audio-visual corpora are distributed.

Under one root (STAViS: Tsiami, Koutras and Maragos, CVPR 2020, data package)::

    video_frames/<folder>/<video>/img_00001.jpg
    video_audio/<folder>/<video>/<video>.wav
    annotations/<folder>/<video>/maps/eyeMap_00001.jpg
    annotations/<folder>/<video>/fixMap_00001.mat
    fold_lists/<folder>_list_{train,test}_{1,2,3}_fps.txt
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from lightning_avsp.data.catalogue import Corpus
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.frames import image_size
from lightning_avsp.data.lists import ListedVideo
from lightning_avsp.data.numbered import NumberedFiles
from lightning_avsp.data.sources import MatFixations, PictureFrames, PictureMaps
from lightning_avsp.errors import CorpusNotFoundError, InputError

log = logging.getLogger(__name__)

MissingAudio = Literal["error", "silence", "skip"]
"""What to do with a video whose sound file is absent: stop, keep it as silent, or leave it out. Never
silently."""


class FrameCountWarning(UserWarning):
    """List and folders disagree about the number of frames; the smallest is used."""


def read_stavis(
    root: Path, corpus: Corpus, listed: Sequence[ListedVideo], missing_audio: MissingAudio = "error"
) -> list[VideoEntry]:
    """Entries of the listed videos of one corpus, in the order of the list.

    Args:
        root: Folder that holds ``video_frames``, ``video_audio``, ``annotations`` and ``fold_lists``.
        corpus: Which corpus of the package.
        listed: What its fold list names.
        missing_audio: Policy for videos without a sound file.

    Raises:
        CorpusNotFoundError: If a video's folder or, under ``error``, its sound is missing.
        InputError: If the numbering of a folder has a gap, or nothing is left.
    """
    entries = [_read_video(root, corpus, video) for video in listed]
    silent = [entry for entry in entries if entry.wave is None]
    if silent:
        _report_missing_audio(root, corpus, silent, len(entries), missing_audio)
        if missing_audio == "skip":
            entries = [entry for entry in entries if entry.wave is not None]
    if not entries:
        raise InputError(
            f"{corpus.name}: none of {len(listed)} listed videos has sound and missing_audio is 'skip'; use "
            "missing_audio: silence to keep them"
        )
    return entries


def wave_path(root: Path, corpus: Corpus, video: str) -> Path:
    """Where the package keeps the sound of a video."""
    return root / "video_audio" / corpus.folder / video / f"{video}.wav"


def _read_video(root: Path, corpus: Corpus, listed: ListedVideo) -> VideoEntry:
    annotation = root / "annotations" / corpus.folder / listed.name
    frames = PictureFrames(root / "video_frames" / corpus.folder / listed.name, "img_{:05d}.jpg")
    maps = PictureMaps(annotation / "maps", "eyeMap_{:05d}.jpg")
    fixations = MatFixations(annotation, "fixMap_{:05d}.mat")
    for files, what in ((frames, "frames"), (maps, "maps"), (fixations, "fixations")):
        if not files.folder.is_dir():
            raise CorpusNotFoundError(
                f"{corpus.name}: no folder of {what} for listed video {listed.name!r} at {files.folder}; "
                f"to obtain it: {corpus.source}"
            )
    counts = {
        "frames": _count(frames, listed.frames),
        "maps": _count(maps, listed.frames),
        "fixMaps": _count(fixations, listed.frames),
    }
    n_frames = min(listed.frames, *counts.values())
    if n_frames < listed.frames:
        found = ", ".join(f"{count} {what}" for what, count in counts.items())
        warnings.warn(
            f"{corpus.name}/{listed.name}: the list says {listed.frames} frames, the folders hold {found}; "
            f"the first {n_frames} are used",
            FrameCountWarning,
            stacklevel=2,
        )
    wave = wave_path(root, corpus, listed.name)
    return VideoEntry(
        corpus=corpus.name,
        video=listed.name,
        n_frames=n_frames,
        fps=listed.fps,
        frames=frames,
        maps=maps,
        fixations=fixations,
        wave=wave if wave.is_file() else None,
        size=image_size(frames.path(1)),
    )


def _count(files: NumberedFiles, listed: int) -> int:
    # Files past the listed number are allowed (AVAD's V11_News4 has one map more than frames); a gap before
    # it is not.
    count = files.count(listed)
    beyond = files.first_beyond(count, listed) if count < listed else None
    if beyond is not None:
        raise InputError(
            f"{files.path(count + 1)} is missing although {files.path(beyond).name} is there; restore it: "
            "numbers must run from 1 without a gap"
        )
    if count == 0:
        raise CorpusNotFoundError(
            f"{files.path(1)} is missing; unpack the corpus again or correct its fold list"
        )
    return count


def _report_missing_audio(
    root: Path, corpus: Corpus, silent: Sequence[VideoEntry], total: int, policy: MissingAudio
) -> None:
    names = ", ".join(entry.video for entry in silent[:5]) + (", ..." if len(silent) > 5 else "")
    numbers = f"{corpus.name}: {len(silent)} of {total} videos have no sound file ({names})"
    if policy == "error":
        raise CorpusNotFoundError(
            f"{numbers}; first looked for: {wave_path(root, corpus, silent[0].video)}. Unpack video_audio of "
            f"{corpus.folder}, or set missing_audio: silence (keep them, silent) or skip (leave them out)"
        )
    log.warning("%s; %s", numbers, "left out" if policy == "skip" else "kept as silent videos")
