"""Frames and target of clips: pure arithmetic, no files.

Frames are counted from 1, as in the file names. Frame ``k`` is seen from ``(k - 1.5) / fps`` to ``(k - 0.5) / fps``
seconds: one frame period around its own time, ``(k - 1) / fps``, so audio and frames are cut alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lightning_avsp.clip_policy import ClipPolicy
from lightning_avsp.errors import InputError

SEGMENT_FRAMES = 90  # longest training segment (STAViS, DiffSal)
SEGMENT_STEP = 74  # from the start of one segment to the next: neighbours share 16 frames, a whole clip


@dataclass(frozen=True)
class Clip:
    """A window of frames and the target frame, whose map is predicted."""

    frames: tuple[int, ...]
    """Numbers of the frames to read, from 1, in the order in which they are shown; repeated where the window leaves
    the video."""
    target: int
    """Number of the target frame."""
    first: int
    """Lowest number that a frame of the window has or would have (below 1 before the video starts)."""
    stride: int = 1
    """Frames of the video from one frame of the window to the next."""
    reversed: bool = False
    """True if the window runs backwards, its lowest number last."""
    audio_reversed: bool = False
    """True if its audio runs backwards too."""

    @property
    def covered(self) -> int:
        """Frames of the video from the first to the last of the window, those in between that are not shown too."""
        return (len(self.frames) - 1) * self.stride + 1

    def span(self, fps: float, times: Sequence[float] = ()) -> tuple[float, float]:
        """Return the time of the window in seconds, from the start of its earliest frame to the end of its latest.

        Args:
            fps: Frames per second.
            times: Seconds after the first frame at which each frame is shown; empty at a constant rate.
        """
        # frames repeated at an edge still take their time: the audio there is outside the file, silent
        return _span(self.first, self.first + self.covered - 1, fps, times)

    def released_span(self, fps: float, times: Sequence[float] = ()) -> tuple[float, float]:
        """Return the time from the start of the first frame read to the end of the last (DiffSal's released cut)."""
        # by the frames read, as the released code cuts, even where a looped clip ends with an early one
        first, last = self.frames[0], self.frames[-1]
        if self.reversed:
            first, last = last, first
        return _span(first, last, fps, times)


def _span(first: int, last: int, fps: float, times: Sequence[float]) -> tuple[float, float]:
    """Return start of the first and end of the last frame; frames outside ``times`` are one frame period apart."""
    if not times:
        return (first - 1.5) / fps, (last - 0.5) / fps

    def shown(number: int) -> float:
        inside = min(max(number, 1), len(times))
        # a video of a varying rate has no frame times outside itself: one period each
        return times[inside - 1] + (number - inside) / fps

    return shown(first) - 0.5 / fps, shown(last) + 0.5 / fps


def clip_at(first: int, n_frames: int, policy: ClipPolicy) -> Clip:
    """Return the clip whose window starts at frame ``first``; outside the video the edge frame is repeated."""
    window = range(first, first + policy.covered, policy.stride)
    numbers = tuple(min(max(number, 1), n_frames) for number in window)
    return Clip(numbers, numbers[policy.target_index], first, policy.stride)


def reversed_clip(target: int, n_frames: int, policy: ClipPolicy) -> Clip:
    """Return the clip that starts at its target and is read backwards, so that the target comes last (AVRSP, ViNet).

    With 32 frames, frame i is seen after frames i + 31, ..., i + 1. In a video that ends before (shorter than 63
    frames, for one of the first 31) its last frame is repeated, where ViNet's code leaves out the whole video.
    """
    window = range(target, target + policy.covered, policy.stride)
    # ViNet's code leaves out a video in which a window would leave the end
    numbers = tuple(min(number, n_frames) for number in reversed(window))
    return Clip(numbers, target, target, policy.stride, reversed=True, audio_reversed=policy.reverse_audio)


def loop_clip(first: int, stop: int, policy: ClipPolicy) -> Clip:
    """Return the clip of frames ``first .. stop - 1``, repeated from the start until it is full (STAViS, DiffSal).

    The target is the median of the frames' numbers, halves rounded up: in a full window the one at ``frames
    // 2``.
    """
    present = range(first, min(stop, first + policy.frames))
    numbers = tuple(present[index % len(present)] for index in range(policy.frames))
    ordered = sorted(numbers)
    middle = policy.frames // 2
    # the released code's target: of a looped clip the middle of its order is no middle of its time
    median = ordered[middle] if policy.frames % 2 else (ordered[middle - 1] + ordered[middle] + 1) // 2
    return Clip(frames=numbers, target=median, first=first)


def evaluation_clips(
    n_frames: int, policy: ClipPolicy, mode: Literal["all", "released"] = "all", every: int = 1
) -> list[Clip]:
    """Return the clips that score a video, in the order of their targets.

    Args:
        n_frames: Frames of the video.
        policy: Clip length, target, and ``start_padding``.
        mode: ``all``: every frame is the target of exactly one clip, edges repeated; under ``start_padding: skip``
            every frame without padding, but at least the last one of a video that is all padding. ``released``: one
            window per start ``1 .. n - 1``, short ones looped, a later prediction of a frame replacing an earlier
            one (STAViS, DiffSal): the first ``frames // 2`` frames are never scored, every other exactly
            once.
        every: Score only every k-th frame, starting in the middle of the first k (validation during
            training).

    Raises:
        InputError: If ``released`` is asked for together with the last frame as target, or with a stride.
    """
    if mode == "all":
        # at least one frame: a video shorter than its padding would vanish from averages
        start = min(policy.padded_frames + 1, n_frames) if policy.start_padding == "skip" else 1
        clips = [evaluation_clip(target, n_frames, policy) for target in range(start, n_frames + 1)]
    else:
        if policy.target != "centre":
            raise InputError(
                "test_frames 'released' is a protocol for the centre frame; use 'all' with target='last'"
            )
        if policy.stride != 1:
            raise InputError(
                "test_frames 'released' is a protocol for neighbouring frames; use 'all' with "
                f"stride={policy.stride}"
            )
        # At least one start, or a video of one frame would have none.
        starts = range(1, max(n_frames, 2))
        by_target = {clip.target: clip for clip in (loop_clip(j, n_frames + 1, policy) for j in starts)}
        clips = [by_target[target] for target in sorted(by_target)]
    return clips[min(every // 2, len(clips) - 1) :: every]


def validation_step(frames: Sequence[int], clips: int) -> int:
    """Return a step for which every step-th frame of validation videos costs at most a fifth of an epoch.

    Args:
        frames: Frames of each validation video.
        clips: Training clips of an epoch.
    """
    # a predicted frame counts as a clip, though it has no backward pass; each video keeps one, however short the epoch
    most = max(clips // 5, len(frames))
    # rounded up; videos that are no multiple of the step may still need a larger one
    step = max(1, -(-sum(frames) // most))
    while sum(len(range(min(step // 2, n - 1), n, step)) for n in frames) > most:
        step += 1
    return step


def evaluation_clip(target: int, n_frames: int, policy: ClipPolicy) -> Clip:
    """Return the clip that scores one frame."""
    if policy.start_padding == "reversed" and target <= policy.padded_frames:
        return reversed_clip(target, n_frames, policy)
    return clip_at(target - policy.padded_frames, n_frames, policy)


def unscored_frames(n_frames: int, policy: ClipPolicy, mode: Literal["all", "released"] = "all") -> int:
    """Count the frames of a video that are the target of no clip of :func:`evaluation_clips` (with ``every`` of 1)."""
    if mode == "all" and policy.start_padding != "skip":
        return 0
    return n_frames - len(evaluation_clips(n_frames, policy, mode))


def segments(n_frames: int) -> list[tuple[int, int]]:
    """Return the training segments of a video as (first, stop): at most 90 frames, one every 74 (STAViS, DiffSal)."""
    starts = range(1, max(n_frames, 2), SEGMENT_STEP)
    return [(start, min(start + SEGMENT_FRAMES, n_frames + 1)) for start in starts]


def training_count(n_frames: int, policy: ClipPolicy) -> int:
    """Return the number of training clips of a video per epoch."""
    if policy.draw == "segments":
        return len(segments(n_frames))
    if policy.draw == "random":
        # as many as fit without overlap: an epoch reads a video about once
        return max(1, n_frames // policy.covered)
    if policy.draw == "one_per_video":
        return 1
    return max(1, -((policy.covered - n_frames - 1) // policy.step))  # rounded up


def training_clip(slot: int, n_frames: int, policy: ClipPolicy, generator: np.random.Generator) -> Clip:
    """Sample one training clip.

    Args:
        slot: Index among the video's :func:`training_count` clips, from 0.
        n_frames: Frames of the video.
        policy: Sampling of clips.
        generator: Source of random numbers; unused if the policy is deterministic.
    """
    if policy.draw == "segments":
        return _clip_of_segment(*segments(n_frames)[slot], n_frames, policy, generator)
    starts = max(1, n_frames - policy.covered + 1)  # a video shorter than a clip has one
    first = 1 + slot * policy.step if policy.draw == "every" else 1 + int(generator.integers(starts))
    return clip_at(min(first, _latest(n_frames, policy)), n_frames, policy)


def _clip_of_segment(
    first: int, stop: int, n_frames: int, policy: ClipPolicy, generator: np.random.Generator
) -> Clip:
    length = stop - first
    room = length - policy.covered
    if policy.crop == "centre":
        # The released centre crop: from the middle of the segment half a clip back (frame 38 of 90).
        offset = max(0, length // 2 - policy.covered // 2)
    else:
        offset = int(generator.integers(room + 1)) if room > 0 else 0
    if policy.short_videos == "loop":
        return loop_clip(first + offset, stop, policy)
    # Without looping, a segment too short for a clip borrows real frames from behind and before it.
    return clip_at(min(first + offset, _latest(n_frames, policy)), n_frames, policy)


def _latest(n_frames: int, policy: ClipPolicy) -> int:
    """Last start of a training window: inside the video, or for a video shorter than a clip by ``short_videos``."""
    latest = n_frames - policy.covered + 1
    return latest if policy.short_videos == "front" else max(1, latest)
