"""Which frames make a clip and which of them is the target: pure arithmetic, no files.

Frames are counted from 1, as in the file names. Frame ``k`` is seen from ``(k - 1.5) / fps`` to ``(k - 0.5) /
fps``
seconds: its own time is ``(k - 1) / fps`` and it fills one frame period around it, so sound and picture are
cut alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lightning_avsp.errors import InputError

SEGMENT_FRAMES = 90
"""Longest training segment (STAViS, DiffSal)."""
SEGMENT_STEP = 74
"""Frames from the start of one segment to the next: neighbours share 16 frames."""


@dataclass(frozen=True)
class Clip:
    """A window of frames and the one whose map is wanted."""

    frames: tuple[int, ...]
    """Numbers of the frames to read, from 1, in order; repeated where the window leaves the video."""
    target: int
    """Number of the frame whose saliency is wanted."""
    first: int
    """Number that the first frame of the window has or would have (below 1 before the video starts)."""

    def span(self, fps: float) -> tuple[float, float]:
        """Time of the window in seconds, from the start of its first frame to the end of its last.

        Frames that are repeated at an edge still take their time: the sound there is outside the file,
        silent.
        """
        return (self.first - 1.5) / fps, (self.first + len(self.frames) - 1.5) / fps

    def released_span(self, fps: float) -> tuple[float, float]:
        """Time from the start of the first frame read to the end of the last one (DiffSal's released cut)."""
        return (self.frames[0] - 1.5) / fps, (self.frames[-1] - 0.5) / fps


@dataclass(frozen=True)
class ClipPolicy:
    """How clips are cut out of a video."""

    frames: int = 16
    """Frames of a clip."""
    target: Literal["centre", "last"] = "centre"
    """Which frame is wanted: ``centre``, the 9th of 16, as DiffSal's released code, or the ``last``
    (causal)."""
    draw: Literal["segments", "random", "one_per_video", "every"] = "segments"
    """Training clips: one from each segment of 90 frames every 74 (STAViS, DiffSal); ``random`` starts, as
    many as clips fit into the video; one random start per video and epoch (ViNet, TASED-Net); or every
    window."""
    crop: Literal["random", "centre"] = "random"
    """Which clip of a segment: a new one each epoch (STAViS), or always its centre (DiffSal as released)."""
    short: Literal["edge", "loop"] = "edge"
    """Training segments shorter than a clip: move the window back into the video and repeat the last frame if
    that is not enough, or repeat the segment from its start and take the median frame (as released)."""

    def __post_init__(self) -> None:
        """Check what types cannot."""
        if self.frames < 1:
            raise InputError(f"a clip needs at least 1 frame, got frames={self.frames}")
        if self.short == "loop" and self.target != "centre":
            raise InputError(
                "short='loop' is a rule for the centre frame; use short='edge' with target='last'"
            )

    @property
    def target_index(self) -> int:
        """Place of the target inside a clip, from 0: ``frames // 2`` (8 of 16) or the last."""
        return self.frames // 2 if self.target == "centre" else self.frames - 1


def clip_at(first: int, n_frames: int, policy: ClipPolicy) -> Clip:
    """The clip whose window starts at frame ``first``; outside the video the edge frame is repeated."""
    numbers = tuple(min(max(number, 1), n_frames) for number in range(first, first + policy.frames))
    return Clip(frames=numbers, target=numbers[policy.target_index], first=first)


def loop_clip(first: int, stop: int, policy: ClipPolicy) -> Clip:
    """The clip of frames ``first .. stop - 1``, repeated from the start until it is full (STAViS, DiffSal).

    The target is the median of the frames' numbers, halves rounded up: in a full window the one at ``frames
    // 2``.
    """
    present = range(first, min(stop, first + policy.frames))
    numbers = tuple(present[index % len(present)] for index in range(policy.frames))
    ordered = sorted(numbers)
    middle = policy.frames // 2
    median = ordered[middle] if policy.frames % 2 else (ordered[middle - 1] + ordered[middle] + 1) // 2
    return Clip(frames=numbers, target=median, first=first)


def evaluation_clips(
    n_frames: int, policy: ClipPolicy, mode: Literal["all", "released"] = "all", every: int = 1
) -> list[Clip]:
    """Clips that score a video, in the order of their targets.

    Args:
        n_frames: Frames of the video.
        policy: Clip length and target.
        mode: ``all``: every frame is the target of exactly one clip, edges repeated. ``released``: one window
            per start ``1 .. n - 1``, short ones looped, a later prediction of a frame replacing an earlier
            one (STAViS, DiffSal): the first ``frames // 2`` frames are never scored, every other exactly
            once.
        every: Score only every k-th frame, starting in the middle of the first k (validation during
            training).

    Raises:
        InputError: If ``released`` is asked for together with the last frame as target.
    """
    if mode == "all":
        clips = [clip_at(target - policy.target_index, n_frames, policy) for target in range(1, n_frames + 1)]
    else:
        if policy.target != "centre":
            raise InputError(
                "test_frames 'released' is a protocol for the centre frame; use 'all' with target='last'"
            )
        # At least one start, or a video of one frame would have none.
        starts = range(1, max(n_frames, 2))
        by_target = {clip.target: clip for clip in (loop_clip(j, n_frames + 1, policy) for j in starts)}
        clips = [by_target[target] for target in sorted(by_target)]
    return clips[min(every // 2, len(clips) - 1) :: every]


def segments(n_frames: int) -> list[tuple[int, int]]:
    """Training segments of a video as (first, stop): at most 90 frames, one every 74 (STAViS, DiffSal)."""
    starts = range(1, max(n_frames, 2), SEGMENT_STEP)
    return [(start, min(start + SEGMENT_FRAMES, n_frames + 1)) for start in starts]


def training_count(n_frames: int, policy: ClipPolicy) -> int:
    """How many training clips a video gives per epoch."""
    if policy.draw == "segments":
        return len(segments(n_frames))
    if policy.draw == "random":
        return max(1, n_frames // policy.frames)
    if policy.draw == "one_per_video":
        return 1
    return max(1, n_frames - policy.frames + 1)


def training_clip(slot: int, n_frames: int, policy: ClipPolicy, generator: np.random.Generator) -> Clip:
    """One training clip.

    Args:
        slot: Which of the video's :func:`training_count` clips, from 0.
        n_frames: Frames of the video.
        policy: How clips are drawn.
        generator: Source of chance; draws nothing where the policy leaves nothing to chance.
    """
    if policy.draw == "segments":
        return _clip_of_segment(*segments(n_frames)[slot], n_frames, policy, generator)
    starts = max(1, n_frames - policy.frames + 1)  # a video shorter than a clip has one, filled at its end
    first = 1 + slot if policy.draw == "every" else 1 + int(generator.integers(starts))
    return clip_at(first, n_frames, policy)


def _clip_of_segment(
    first: int, stop: int, n_frames: int, policy: ClipPolicy, generator: np.random.Generator
) -> Clip:
    length = stop - first
    room = length - policy.frames
    if policy.crop == "centre":
        # The released centre crop: from the middle of the segment half a clip back (frame 38 of 90).
        offset = max(0, length // 2 - policy.frames // 2)
    else:
        offset = int(generator.integers(room + 1)) if room > 0 else 0
    if policy.short == "loop":
        return loop_clip(first + offset, stop, policy)
    # Without looping, a segment too short for a clip borrows real frames from before it.
    latest = max(1, n_frames - policy.frames + 1)
    return clip_at(min(first + offset, latest), n_frames, policy)
