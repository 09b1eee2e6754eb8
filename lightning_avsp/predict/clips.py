"""Clips around the frames of a film, cut from a stream of frames with memory for one clip."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from lightning_avsp.media.video import FilmFrame


@dataclass(frozen=True)
class FilmClip:
    """The frames that a network sees to predict one of them."""

    target: int
    """0-based number of the frame that the map belongs to."""
    frames: np.ndarray
    """RGB, uint8 (T, H, W, 3); the film's first and last frame are repeated where the clip hangs over."""
    start: float
    """Seconds after the film's first frame at which the clip begins; negative where it hangs over."""
    stop: float
    """Seconds after the film's first frame at which the clip ends, also where it hangs over."""
    overhang: tuple[float, float] = (0.0, 0.0)
    """Seconds of the clip before the first and after the last frame of the film."""
    covered: int = 0
    """Frames of the film from the clip's first to its last."""
    reversed: bool = False
    """Whether the frames run backwards, as at the head of a film whose targets come last."""


def sliding_clips(
    frames: Iterable[FilmFrame],
    length: int,
    position: int,
    stride: int = 1,
    frame_seconds: float = 0.04,
    spacing: int = 1,
    reversed_head: bool = False,
) -> Iterator[FilmClip]:
    """A clip for every ``stride``-th frame, and for the last frame, in order.

    Each frame is taken from ``frames`` once, and at most as many as a clip covers are held (twice that at the head if
    it is reversed). As in training data (:class:`lightning_avsp.data.clips.Clip`), a frame fills one frame period
    *around* its own time, so a clip reaches from half a period before its first frame to half a period after its last.

    Args:
        frames: The film from its first frame on.
        length: Frames per clip, T.
        position: Place of the target in its clip, 0 to T-1; T//2 is the centre.
        stride: Distance between targets in frames.
        frame_seconds: Frame period of the film, 1 / fps.
        spacing: Distance between the frames of a clip.
        reversed_head: Where a clip would start before the film, take the one that starts at its target and runs
            backwards (AVRSP, ViNet) instead of repeating the first frame; needs the last position.
    """
    before, after = position * spacing, (length - 1 - position) * spacing
    held: deque[FilmFrame] = deque()

    def backwards(target: int) -> bool:
        return reversed_head and target < before

    def clip(target: int) -> FilmClip:
        first, last = held[0].index, held[-1].index
        turned = backwards(target)
        low, high = (target, target + before) if turned else (target - before, target + after)
        wanted = range(low, high + 1, spacing)
        inside = [held[min(max(i, first), last) - first] for i in wanted]
        missing, beyond = max(0, first - low), max(0, high - last)
        # frames that are not there take their time all the same, and so do those between the frames of a clip
        start, stop = held[max(low, first) - first].start, held[min(high, last) - first].start
        return FilmClip(
            target=target,
            frames=np.stack([frame.pixels for frame in (inside[::-1] if turned else inside)]),
            start=start - (missing + 0.5) * frame_seconds,
            stop=stop + (beyond + 0.5) * frame_seconds,
            overhang=(missing * frame_seconds, beyond * frame_seconds),
            covered=high - low + 1,
            reversed=turned,
        )

    target, done, newest = 0, -1, -1
    for frame in frames:
        newest = frame.index
        held.append(frame)
        while held[0].index < min(target, newest) - before:  # no clip from here on reaches back so far
            held.popleft()
        while target + (before if backwards(target) else after) <= newest:
            yield clip(target)
            done, target = target, target + stride
    while target <= newest:
        yield clip(target)
        done, target = target, target + stride
    if done < newest:
        yield clip(newest)
