"""Clips around the frames of a video, cut from a stream of frames with memory for about one clip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lightning_avsp.data.clips import Clip, evaluation_clip
from lightning_avsp.media.video import DecodedFrame
from lightning_avsp.structures import ClipPolicy

_UNBOUNDED = 1 << 40  # frames of a video whose end is not decoded yet


@dataclass(frozen=True)
class VideoClip:
    """One clip with its frames."""

    clip: Clip
    """Numbers of its frames, from 1."""
    frames: np.ndarray
    """RGB, uint8 (T, H, W, 3)."""
    times: Sequence[float]
    """Seconds after the first frame at which each frame of the video is shown, as far as it is decoded."""


def video_clips(
    frames: Iterable[DecodedFrame], policy: ClipPolicy, stride: int = 1, start: int = 0
) -> Iterator[VideoClip]:
    """Cut a clip for every ``stride``-th frame, and for the last frame, in order.

    They are the clips that score the frames of a test video (:func:`~lightning_avsp.data.clips.evaluation_clip`). Each
    frame is taken from ``frames`` once, and at most as many as a clip covers are held (twice that at the start if it is
    reversed).

    Args:
        frames: The video from its first frame on.
        policy: Length of clips, target frame, start padding.
        stride: Distance between targets in frames.
        start: First target, from 0; a multiple of ``stride``.
    """
    # by number, since a clip may repeat an edge frame or skip some by its stride
    held: dict[int, np.ndarray] = {}
    times: list[float] = []

    def cut(clip: Clip) -> VideoClip:
        return VideoClip(clip, np.stack([held[number] for number in clip.frames]), times)

    target, done = start + 1, start
    for frame in frames:
        times.append(frame.start)
        held[len(times)] = frame.pixels
        earliest = min(target, len(times)) - policy.padded_frames  # no later clip reaches further back
        for number in [number for number in held if number < earliest]:
            del held[number]
        # the end is not known yet: a clip is cut as soon as all of its frames are there
        while max((clip := evaluation_clip(target, _UNBOUNDED, policy)).frames) <= len(times):
            yield cut(clip)
            done, target = target, target + stride
    count = len(times)
    for number in range(target, count + 1, stride):
        yield cut(evaluation_clip(number, count, policy))
        done = number
    # the last frame is always predicted, so that nothing behind it is extrapolated
    if done < count:
        yield cut(evaluation_clip(count, count, policy))
