"""One video of a corpus as every reader delivers it: which files, how many frames, how fast."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

VideoKey = tuple[str, str]
"""(corpus, video): video names alone are not unique, ``clip1`` exists in two corpora."""


@dataclass(frozen=True)
class NumberedFiles:
    """A folder of files numbered from 1, e.g. ``img_00001.jpg``."""

    folder: Path
    pattern: str
    """File name as a format string of the number, e.g. ``img_{:05d}.jpg``."""

    def path(self, number: int) -> Path:
        """File of one frame, counted from 1."""
        return self.folder / self.pattern.format(number)

    def count(self, at_most: int) -> int:
        """How many files there are without a gap from number 1 on, up to ``at_most``."""
        names = {entry.name for entry in self.folder.iterdir()} if self.folder.is_dir() else set()
        number = 0
        while number < at_most and self.pattern.format(number + 1) in names:
            number += 1
        return number

    def first_beyond(self, count: int, at_most: int) -> int | None:
        """First number in ``count + 2 .. at_most`` that exists; if there is one, ``count + 1`` is a gap."""
        names = {entry.name for entry in self.folder.iterdir()} if self.folder.is_dir() else set()
        return next((n for n in range(count + 2, at_most + 1) if self.pattern.format(n) in names), None)


@dataclass(frozen=True)
class VideoEntry:
    """One video, ready to be cut into clips."""

    corpus: str
    """Public name of the corpus, e.g. ``Coutrot1``."""
    video: str
    """Name inside its corpus."""
    n_frames: int
    """Frames that can be used: the smallest of what the list says and what the folders hold."""
    fps: float
    frames: NumberedFiles
    """The pictures."""
    maps: NumberedFiles
    """Continuous saliency maps, 8 bit grey."""
    fixations: NumberedFiles
    """Fixated pixels, one file for each frame."""
    wave: Path | None
    """The sound, or None when the corpus has none for this video and the policy allows that."""
    size: tuple[int, int]
    """(height, width) of the pictures, in pixels; the maps have their own size."""

    @property
    def key(self) -> VideoKey:
        """(corpus, video)."""
        return self.corpus, self.video

    @property
    def seconds(self) -> float:
        """Duration of the usable frames."""
        return self.n_frames / self.fps
