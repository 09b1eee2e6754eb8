"""Where everything of a video should be, and what the check of it found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lightning_avsp.data.check.faults import Fault, Severity, fault
from lightning_avsp.data.numbered import NumberedFiles

Thoroughness = Literal["quick", "standard", "full"]
"""``quick``: names, empty files and headers of pictures. ``standard``: every map and fixation file read, pictures by
header and end marker, films by their packets. ``full``: every picture and every film decoded too."""


@dataclass(frozen=True)
class FilmFile:
    """Pictures or maps that are frames of one film."""

    path: Path


@dataclass(frozen=True)
class PointsFile:
    """Fixations of all frames in one file of points."""

    path: Path


@dataclass(frozen=True)
class VideoFiles:
    """Where everything of one video should be."""

    corpus: str
    video: str
    listed: int
    """Frames according to the list; 0 where there is none."""
    fps: float
    frames: NumberedFiles | FilmFile
    maps: NumberedFiles | FilmFile
    fixations: NumberedFiles | PointsFile | None
    """None for a copy of a corpus that has no fixations."""
    wave: Path | None
    """Sound that should be there, a sound file or a film; None where the corpus has none."""
    silent: bool = False
    """Whether the track is known to be silent, as some generated ones are."""
    matrix: str = "eyeMap"
    """Name of the matrix in MATLAB files of fixations."""

    @property
    def place(self) -> Path:
        """What to name for a fault of the video as a whole."""
        return self.frames.path if isinstance(self.frames, FilmFile) else self.frames.folder


@dataclass
class VideoFindings:
    """What the check of one video found."""

    corpus: str
    video: str
    faults: list[Fault] = field(default_factory=list)
    frames: int = 0
    """Pictures within the listed number."""
    maps: int = 0
    fixations: int = 0
    size: tuple[int, int] | None = None
    """(height, width) of most pictures."""
    map_size: tuple[int, int] | None = None
    rate: int = 0
    """Samples per second of the sound; 0 without one."""
    channels: int = 0
    wave: Path | None = None
    surplus: int = 0
    """Complete frames beyond the listed number, which are never read."""

    def add(self, kind: str, path: Path, detail: str, severity: Severity | None = None) -> None:
        """Note a fault, with its kind's severity unless another is given."""
        self.faults.append(fault(kind, self.corpus, self.video, path, detail, severity))
