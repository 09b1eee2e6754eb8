"""Index of a video file: when each of its frames is shown, and where decoding may begin.

Made in one pass over the packets, without decoding, and remembered: readers find a frame by its own time, never
by ``number / fps``, which is wrong wherever frames are not evenly spaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lightning_avsp.errors import InputError

if TYPE_CHECKING:
    from lightning_avsp.media.video import FilmInfo

UNSEEKABLE = (".avi", ".mpg", ".mpeg")
"""Containers without presentation times: every decoder that seeks in them was seen to return other frames."""
VIDEO_SUFFIXES = (*UNSEEKABLE, ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".ts", ".wmv", ".flv")
"""File names that are taken for videos, in lower case."""


@dataclass(frozen=True, eq=False)
class VideoIndex:
    """What is known of a video file without decoding more than its first frame."""

    info: FilmInfo
    """Streams, size, frame rate."""
    times: np.ndarray
    """Presentation time of each frame in the stream's unit, int64 (N,), increasing; empty if any is missing."""
    keys: np.ndarray
    """Presentation times of the key frames among them, int64 (K,), increasing."""
    open_groups: bool
    """Whether frames that follow a key frame in the file are shown before it, and so need the group before."""

    @property
    def n_frames(self) -> int:
        """Frames to be shown."""
        return self.info.frames

    def key_before(self, place: int) -> int:
        """Presentation time of the key frame from which the frame at ``place`` (from 0) is decoded."""
        return int(self.keys[max(0, int(np.searchsorted(self.keys, self.times[place], side="right")) - 1)])


def video_index(path: Path) -> VideoIndex:
    """Index of a video, remembered until the file changes.

    Raises:
        InputError: If the file is missing, empty, no video or cut off; the message names it.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"{path} is missing; unpack the corpus again") from error
    return _index(path, state.st_size, state.st_mtime_ns)


def check_seekable(index: VideoIndex) -> None:
    """Refuse files in which no decoder reaches a frame by its number reliably.

    Raises:
        InputError: If the container keeps no presentation times; the message says what to do.
    """
    path = index.info.path
    if path.suffix.lower() in UNSEEKABLE or not len(index.times):
        raise InputError(
            f"{path}: single frames of {path.suffix or 'such'} files cannot be reached reliably (decoders return "
            "other frames without an error); decode it once, in order, with `avsp data prepare`, and set data.cache"
        )


def decode_in_order(path: Path) -> Iterator[tuple[object, int]]:
    """Every frame from the first to the last as PyAV gives it, with the rotation in degrees that it needs.

    Raises:
        InputError: If the file is damaged; the message names file and frame.
    """
    from lightning_avsp.media.video import decode_video

    info = video_index(path).info
    number = 0
    try:
        for _, frame in decode_video(info):
            number += 1
            yield frame, info.rotation
    except InputError as error:
        raise damaged(path, number + 1, error.__cause__ or error) from error


def damaged(path: Path, number: int, error: object) -> InputError:
    """The error for a frame that cannot be decoded."""
    size = f"{path.stat().st_size} bytes" if path.exists() else "missing"
    return InputError(f"{path} ({size}): frame {number} cannot be decoded: {error}; replace this file")


@lru_cache(maxsize=4096)  # a few kilobytes each
def _index(path: Path, size: int, changed_ns: int) -> VideoIndex:
    from dataclasses import replace

    from lightning_avsp.media.video import open_container, open_film

    info = open_film(path, allow_truncated=True)
    damage = next((note for note in info.notes if note.startswith("damaged film: ")), None)
    if damage is not None:
        what = damage.removeprefix("damaged film: ").partition(";")[0]
        raise InputError(f"{path} ({size} bytes) is damaged: {what}; replace this file")
    times, keys, open_groups, key = [], [], False, None
    with open_container(path) as container:
        for packet in container.demux(container.streams[info.video_index]):
            if packet.size == 0 or packet.is_discard:
                continue
            times.append(packet.pts)
            if packet.is_keyframe:
                keys.append(packet.pts)
                key = packet.pts
            elif None not in (key, packet.pts) and packet.pts < key:
                open_groups = True
    known = None not in times
    return VideoIndex(
        info=replace(info, tolerant=False),
        times=np.sort(np.array(times if known else [], dtype=np.int64)),
        keys=np.sort(np.array(keys if known else [], dtype=np.int64)),
        open_groups=open_groups,
    )
