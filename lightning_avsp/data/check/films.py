"""Films, saliency films and lists of points: layouts that do not keep one file for each frame."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lightning_avsp.data.check.sound import SILENCE, SoundState
from lightning_avsp.errors import AVSPError


@dataclass(frozen=True)
class FilmState:
    """What was found of a film."""

    frames: int = 0
    size: tuple[int, int] | None = None
    """(height, width) as displayed."""
    problem: str = ""
    """Why it cannot be used; empty where it can."""
    blank: tuple[int, ...] | None = None
    """Frames, from 1, in which every pixel is black; None if nobody looked."""


@dataclass(frozen=True)
class PointLists:
    """What was found of a file of points."""

    lists: tuple[np.ndarray, ...] = ()
    """(row, column) of each frame: float64 (N, 2)."""
    problem: str = ""


def inspect_film(path: Path, decode: bool, want_blank: bool = False) -> FilmState:
    """State of a film; never raises for what the file holds.

    Args:
        path: The film.
        decode: Whether to decode every frame; else all packets are read and the first frame is decoded.
        want_blank: Whether to say which frames are black; needs ``decode``.
    """
    from lightning_avsp.media.video import decode_video, open_video

    try:
        info = open_video(path)
        size = (info.height, info.width)
        if not decode:
            return FilmState(info.frames, size)
        count, blank = 0, []
        for _, frame in decode_video(info):
            count += 1
            if want_blank and not frame.reformat(format="gray").to_ndarray().any():
                blank.append(count)
    except (AVSPError, OSError) as error:
        return FilmState(problem=str(error))
    return FilmState(count, size, blank=tuple(blank) if want_blank else None)


def inspect_track(path: Path, listen: bool) -> SoundState:
    """State of the sound track of a film, laid on the clock of its picture; never raises for what the file holds."""
    from lightning_avsp.media.audio_track import iterate_audio
    from lightning_avsp.media.video import open_video

    try:
        info = open_video(path)
        if info.audio is None:
            return SoundState(problem="the film has no sound track")
        if not listen:
            return SoundState(info.seconds, info.audio.rate, info.audio.channels)
        end, silent = 0.0, True
        for start, samples in iterate_audio(info):
            end = start + samples.shape[1] / info.audio.rate
            silent = silent and bool(np.abs(samples).max(initial=0) < SILENCE)
    except (AVSPError, OSError) as error:
        return SoundState(problem=str(error))
    if end <= 0:
        return SoundState(problem="its sound track holds no sample while the film is shown")
    return SoundState(end, info.audio.rate, info.audio.channels, silent)


def inspect_points(path: Path) -> PointLists:
    """Points of every frame from JSON; never raises for what the file holds."""
    try:
        frames = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(frames, list):
            return PointLists(
                problem=f"expected a list with one list for each frame, found {type(frames).__name__}"
            )
        lists = []
        for number, pairs in enumerate(frames, start=1):
            points = np.asarray(pairs, dtype=np.float64)
            if points.size and (points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all()):
                return PointLists(problem=f"frame {number} is no list of [row, column] pairs")
            lists.append(points.reshape(-1, 2))
    except (OSError, ValueError, TypeError) as error:
        return PointLists(problem=f"cannot be read: {error}")
    return PointLists(tuple(lists))
