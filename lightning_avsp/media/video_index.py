"""Videos that are opened once and read by frame number, found by presentation time, never by ``number / fps``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from lightning_avsp.errors import InputError
from lightning_avsp.media.video import VideoInfo, decode_video, open_video

UNSEEKABLE = (".avi", ".mpg", ".mpeg")
"""Containers without presentation times: every decoder that seeks in them was seen to return other frames."""
VIDEO_SUFFIXES = (*UNSEEKABLE, ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".ts", ".wmv", ".flv")
"""File names that are taken for videos, in lower case."""
OFF_CLOCK_SECONDS = 0.1
"""A frame may be so far from the even clock by which audio is read."""
EVEN_REMEDY = "correct the list's rate, or import the video with `avsp data import`, which writes even frames"


def video_info(path: Path) -> VideoInfo:
    """Open a video, cached until the file changes.

    Raises:
        InputError: If the file is missing, empty, no video or cut off; the message names it.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"{path} is missing; unpack the corpus again") from error
    return _info(path, state.st_size, state.st_mtime_ns)


def check_seekable(info: VideoInfo) -> None:
    """Refuse files in which no decoder reaches a frame by its number reliably.

    Raises:
        InputError: If the container keeps no presentation times; the message names the remedy.
    """
    path = info.path
    if path.suffix.lower() in UNSEEKABLE or not len(info.times):
        raise InputError(
            f"{path}: single frames of {path.suffix or 'such'} files cannot be reached reliably (decoders "
            "silently return other frames); decode it once, in order, with `avsp data prepare` and set "
            "data.loading.cache"
        )


def seconds_off_clock(info: VideoInfo, fps: float) -> float:
    """Largest distance in seconds of a frame's time from an even clock of ``fps`` frames per second."""
    times = (info.times - info.times[:1]) * float(info.time_base)
    return float(np.abs(times - np.arange(len(times)) / fps).max(initial=0.0))


def check_even(info: VideoInfo, fps: float) -> None:
    """Refuse a video whose frames cannot be numbered on an even clock, by which its audio is read.

    Raises:
        InputError: If frames are too far off; the message names the remedy.
    """
    off = seconds_off_clock(info, fps)
    if off > OFF_CLOCK_SECONDS:
        raise InputError(
            f"{info.path}: frames are up to {off:.2f} s off an even clock of {fps:g}/s, by which audio is read; "
            f"{EVEN_REMEDY}"
        )


def decode_in_order(path: Path) -> Iterator[tuple[object, VideoInfo]]:
    """Decode every ``av.VideoFrame`` from the first to the last, with its video.

    Raises:
        InputError: If the file is damaged; the message names file and frame.
    """
    info = video_info(path)
    number = 0
    try:
        for _, frame in decode_video(info):
            number += 1
            yield frame, info
    except InputError as error:
        raise damaged(path, number + 1, error.__cause__ or error) from error


def damaged(path: Path, number: int, error: object) -> InputError:
    """Build the error for a frame that cannot be decoded."""
    size = f"{path.stat().st_size} bytes" if path.exists() else "missing"
    return InputError(f"{path} ({size}): frame {number} cannot be decoded: {error}; replace this file")


@lru_cache(maxsize=4096)  # a few kilobytes each
def _info(path: Path, size: int, changed_ns: int) -> VideoInfo:
    info = open_video(path, allow_truncated=True)
    if info.damage is not None:
        raise InputError(f"{path} ({size} bytes) is damaged: {info.damage}; replace this file")
    return replace(info, tolerant=False)
