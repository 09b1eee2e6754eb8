"""Reader of the STAViS package layout, in which six audio-visual corpora are distributed.

Under one root (STAViS: Tsiami, Koutras and Maragos, CVPR 2020, data package)::

    video_frames/<folder>/<video>/img_00001.jpg
    video_audio/<folder>/<video>/<video>.wav
    annotations/<folder>/<video>/maps/eyeMap_00001.jpg
    annotations/<folder>/<video>/fixMap_00001.mat
    fold_lists/<folder>_list_{train,test}_{1,2,3}_fps.txt

Own corpora (:mod:`lightning_avsp.data.catalogue`) have the same layout; instead of a folder of frames they may have a
video file, ``videos/<folder>/<video>.mp4``, which also contains the audio where there is no wav.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightning_avsp.data.catalogue import Corpus
from lightning_avsp.data.entries import MissingAudio, VideoEntry, apply_policy, usable_frames
from lightning_avsp.data.lists import ListedVideo
from lightning_avsp.data.numbered_files import NumberedFiles
from lightning_avsp.data.sources import MatFixations, PictureFrames, PictureMaps, VideoFrames
from lightning_avsp.errors import CorpusNotFoundError, InputError
from lightning_avsp.media.images import image_size
from lightning_avsp.media.random_access import check_even, video_info

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".m4v")
"""Video files that may replace a folder of frames."""


def read_stavis(
    root: Path, corpus: Corpus, listed: Sequence[ListedVideo], missing_audio: MissingAudio = "error"
) -> list[VideoEntry]:
    """Read the entries of the listed videos of one corpus, in the order of the list.

    Args:
        root: Folder with ``video_frames``, ``video_audio``, ``annotations`` and ``fold_lists``.
        corpus: Corpus of the package.
        listed: Videos of its fold list.
        missing_audio: Policy for videos without an audio file.

    Raises:
        CorpusNotFoundError: If a video's folder or, under ``error``, its audio is missing.
        InputError: If the numbering of a folder has a gap, or nothing is left.
    """
    entries = [_read_video(root, corpus, video) for video in listed]
    remedy = f"Unpack video_audio of {corpus.folder}"
    return apply_policy(corpus, entries, missing_audio, lambda video: wave_path(root, corpus, video), remedy)


def wave_path(root: Path, corpus: Corpus, video: str) -> Path:
    """Return the path of a video's audio in the package."""
    return root / "video_audio" / corpus.folder / video / f"{video}.wav"


def video_file(root: Path, corpus: Corpus, video: str) -> Path | None:
    """Find the video file in place of a folder of frames, ``videos/<folder>/<video>.mp4``, if there is one."""
    folder = root / "videos" / corpus.folder
    candidates = [folder / f"{video}{suffix}" for suffix in VIDEO_SUFFIXES]
    return next((path for path in candidates if path.is_file()), None)


def video_sources(
    root: Path, corpus: Corpus, video: str
) -> tuple[PictureFrames | VideoFrames, PictureMaps, MatFixations]:
    """Return the sources of a video's frames, maps and fixations at their paths in the package, present or not."""
    annotation = root / "annotations" / corpus.folder / video
    frames = PictureFrames(root / "video_frames" / corpus.folder / video, "img_{:05d}.jpg")
    file = None if frames.folder.is_dir() else video_file(root, corpus, video)
    return (
        VideoFrames(file) if file else frames,
        PictureMaps(annotation / "maps", "eyeMap_{:05d}.jpg"),
        MatFixations(annotation, "fixMap_{:05d}.mat"),
    )


def _read_video(root: Path, corpus: Corpus, listed: ListedVideo) -> VideoEntry:
    frames, maps, fixations = video_sources(root, corpus, listed.name)
    # folders first: a missing one is one line, not a thousand missing files
    for files, part in ((frames, "frames"), (maps, "maps"), (fixations, "fixations")):
        if not isinstance(files, VideoFrames) and not files.folder.is_dir():
            raise CorpusNotFoundError(
                f"{corpus.name}: no folder of {part} for listed video {listed.name!r} at {files.folder}; "
                f"to obtain it: {corpus.source}"
            )
    audio_track = None
    if isinstance(frames, VideoFrames):
        info = video_info(frames.path)
        # audio and maps are found by frame number on an even clock
        check_even(info, listed.fps)
        n_frames, size = info.frames, (info.height, info.width)
        audio_track = frames.path if info.audio else None
    else:
        n_frames = _count(frames, listed.frames)
        size = image_size(frames.path(1))
    counts = {
        "frames": n_frames,
        "maps": _count(maps, listed.frames),
        "fixMaps": _count(fixations, listed.frames),
    }
    wave = wave_path(root, corpus, listed.name)
    return VideoEntry(
        corpus=corpus.name,
        video=listed.name,
        n_frames=usable_frames(f"{corpus.name}/{listed.name}", counts, listed.frames),
        fps=listed.fps,
        frames=frames,
        maps=maps,
        fixations=fixations,
        # a wav beside a video file was put there on purpose
        wave=wave if wave.is_file() else audio_track,
        size=size,
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
