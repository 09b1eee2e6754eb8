"""One video of a corpus: its sources, number of frames and frame rate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lightning_avsp.data.sources import FixationSource, FrameSource, MapSource

VideoKey = tuple[str, str]
"""(corpus, video): video names alone are not unique, ``clip1`` exists in two corpora."""


@dataclass(frozen=True)
class VideoEntry:
    """One video, ready to be cut into clips."""

    corpus: str
    """Public name of the corpus, e.g. ``Coutrot1``."""
    video: str
    """Name inside its corpus."""
    n_frames: int
    """Usable frames: the smallest number of list and folders."""
    fps: float
    frames: FrameSource
    """Frames."""
    maps: MapSource
    """Continuous saliency maps, 8 bit grey."""
    fixations: FixationSource
    """Fixated pixels of each frame."""
    wave: Path | None
    """Audio file, or video file with audio; None if there is none and the policy allows it."""
    size: tuple[int, int]
    """(height, width) of the frames, in pixels; maps have their own size."""
    subset: str = ""
    """Named part of the test list that the video is in, where there are several (CrowdSAL)."""

    @property
    def key(self) -> VideoKey:
        """(corpus, video)."""
        return self.corpus, self.video

    @property
    def seconds(self) -> float:
        """Duration of the usable frames."""
        return self.n_frames / self.fps
