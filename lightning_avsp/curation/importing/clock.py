"""Times of the corpus' frames, and the frame of the video that each of them shows.

Readers of the corpus align audio and frames by ``(k - 1) / fps``. So frames of a video with uneven times (variable
frame rate) are not numbered as they come: frame ``k`` of the corpus is the one that the video shows in the middle of
the k-th period of an even clock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lightning_avsp.errors import InputError
from lightning_avsp.media.video import VideoInfo, decode_video
from lightning_avsp.media.video_index import OFF_CLOCK_SECONDS

JITTER = 0.5
"""Frames may be off an even clock by this part of a period and still be numbered as they come."""


@dataclass(frozen=True)
class FrameClock:
    """Times of the frames of a video, in seconds after the first."""

    fps: float
    """Frames per second in the corpus' list."""
    start: np.ndarray
    """When each frame appears, float64 (F,)."""
    stop: np.ndarray
    """When the next one does, float64 (F,)."""
    source: np.ndarray
    """Index of the video's frame that each shows, int64 (F,), never decreasing."""
    video_frames: int
    """Frames of the video."""
    drift: float
    """Largest distance of a frame of the video from an even clock, in periods."""

    @property
    def even(self) -> bool:
        """True if frames are those of the video, one for one."""
        return len(self.source) == self.video_frames and bool((np.diff(self.source) == 1).all())

    @property
    def seconds(self) -> float:
        """From the first frame to the end of the last."""
        return float(self.stop[-1])

    def frame_at(self, seconds: np.ndarray) -> np.ndarray:
        """Index of the frame that is shown at each time; -1 before the first, after the last, and for NaN."""
        found = np.searchsorted(self.start, seconds, side="right") - 1
        inside = (seconds >= 0) & (seconds < self.stop[-1])  # False for NaN
        return np.where(inside, found, -1)


def video_clock(info: VideoInfo) -> FrameClock:
    """Decode a video once for the times of its frames.

    Raises:
        InputError: If it cannot be decoded or has fewer than 2 frames.
    """
    base = round(info.start / info.time_base)
    times = np.array([float((pts - base) * info.time_base) for pts, _ in decode_video(info)])
    if len(times) < 2:
        raise InputError(f"{info.path} has {len(times)} frames; a video needs at least 2")
    return make_clock(times, float(times[-1] + info.last), float(info.fps))


def make_clock(times: np.ndarray, end: float, nominal_fps: float) -> FrameClock:
    """Clock of a video from the times of its frames.

    Args:
        times: When each frame appears, seconds after the first, float64 (N,), increasing.
        end: When the last one disappears.
        nominal_fps: Rate that the container states; kept where the times agree with it.
    """
    count = len(times)
    numbers = np.arange(count)
    measured = (count - 1) / float(times[-1])
    drifts = {fps: float(np.abs(times - numbers / fps).max() * fps) for fps in (nominal_fps, measured)}
    for fps, drift in drifts.items():
        longer = end - count / fps  # the last picture of a slideshow stays on
        if drift <= JITTER and longer > max(JITTER / fps, OFF_CLOCK_SECONDS):
            nominal_fps, drifts = fps, {fps: longer * fps}
            break
        if drift <= JITTER:
            stops = np.append(times[1:], max(end, float(times[-1]) + 0.5 / fps))
            return FrameClock(fps, times, stops, numbers, count, drift)
    periods = max(1, round(end * nominal_fps))
    start = np.arange(periods) / nominal_fps
    middle = start + 0.5 / nominal_fps
    source = np.clip(np.searchsorted(times, middle, side="right") - 1, 0, count - 1)
    return FrameClock(nominal_fps, start, start + 1 / nominal_fps, source, count, min(drifts.values()))
