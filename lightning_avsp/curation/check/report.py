"""Results of a check: faults, numbers, JSON, and the printed report."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.console import Console

Severity = Literal["error", "warning"]
"""``error``: training or evaluation stops there, or scores would be wrong. ``warning``: usable, but look at it."""


@dataclass(frozen=True)
class Fault:
    """One fault of a corpus."""

    path: Path
    """The file or folder concerned, present or missing."""
    message: str
    """Cause, with both values where two disagree, and remedy."""
    severity: Severity = "error"
    corpus: str = ""
    video: str = ""
    """Empty for a fault of lists."""

    @property
    def order(self) -> tuple[bool, str, str]:
        """Sort key: errors first, then by corpus and path."""
        return self.severity != "error", self.corpus, str(self.path)

    def line(self) -> str:
        """Path and message; most messages of readers name the path already."""
        return self.message if self.message.startswith(str(self.path)) else f"{self.path}: {self.message}"

    def similar(self) -> str:
        """Message without path and numbers, the same for faults that differ in them alone."""
        text = self.message.replace(str(self.path), "").replace(self.path.name, "")
        return re.sub(r"\d+", "#", text.replace(self.video, "") if self.video else text)


@dataclass
class VideoReport:
    """Faults and numbers of one video."""

    corpus: str
    video: str
    faults: list[Fault] = field(default_factory=list)
    frames: int = 0
    """Frames within the listed number."""
    maps: int = 0
    fixations: int = 0
    surplus: int = 0
    """Complete frames beyond the listed number, never read."""
    size: tuple[int, int] | None = None
    """(height, width) of most frames."""
    map_size: tuple[int, int] | None = None
    rate: int = 0
    """Samples per second of the audio; 0 without any."""
    channels: int = 0

    def add(self, path: Path, message: str, severity: Severity = "error") -> None:
        """Add a fault."""
        self.faults.append(Fault(path, message, severity, self.corpus, self.video))


@dataclass
class CorpusReport:
    """Numbers and faults of one corpus."""

    corpus: str
    published_videos: int
    published_frames: int
    published_counts: dict[int, tuple[int, int]]
    generated: bool = False
    """True if it is SYNTHETIC; its numbers are not compared with the published ones."""
    names: list[str] = field(default_factory=list)
    """Every listed video."""
    listed_frames: int = 0
    counts: dict[int, tuple[int, int]] = field(default_factory=dict)
    """(train, test) videos of each split whose lists can be read."""
    videos: int = 0
    """Listed videos of which something is on disk."""
    frames: int = 0
    """Frames on disk, up to the listed numbers."""
    maps: int = 0
    fixations: int = 0
    surplus: int = 0
    """Complete frames beyond the listed numbers, never read."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Videos by HEIGHTxWIDTH of their frames."""
    map_sizes: dict[str, int] = field(default_factory=dict)
    rates: dict[int, int] = field(default_factory=dict)
    """Videos by sample rate of their audio, Hz."""
    channels: dict[int, int] = field(default_factory=dict)
    """Videos by audio channels."""
    facts: list[str] = field(default_factory=list)
    """Remarks that are not faults, e.g. published test lists that overlap."""
    faults: list[Fault] = field(default_factory=list)

    def add(self, path: Path, message: str, severity: Severity = "error", video: str = "") -> None:
        """Add a fault of lists, or of a listed video."""
        self.faults.append(Fault(path, message, severity, self.corpus, video))

    def add_video(self, video: VideoReport) -> None:
        """Add the numbers and faults of a video up."""
        self.videos += 1
        for name in ("frames", "maps", "fixations", "surplus"):
            setattr(self, name, getattr(self, name) + getattr(video, name))
        sizes = ["{}x{}".format(*size) if size else "" for size in (video.size, video.map_size)]
        for counts, value in zip((self.sizes, self.map_sizes), sizes, strict=True):
            counts |= {value: counts.get(value, 0) + 1} if value else {}
        for numbers, number in ((self.rates, video.rate), (self.channels, video.channels)):
            numbers |= {number: numbers.get(number, 0) + 1} if number else {}
        self.faults += video.faults

    def count(self, severity: Severity) -> int:
        """Number of faults of one severity."""
        return sum(fault.severity == severity for fault in self.faults)


@dataclass(frozen=True)
class CheckReport:
    """Results of all corpora under one root."""

    root: Path
    depth: str
    corpora: tuple[CorpusReport, ...]
    facts: tuple[str, ...] = ()
    """Remarks across corpora."""

    @property
    def faults(self) -> list[Fault]:
        """Faults of all corpora, errors first."""
        return sorted((f for report in self.corpora for f in report.faults), key=lambda fault: fault.order)

    def count(self, severity: Severity) -> int:
        """Number of faults of one severity."""
        return sum(report.count(severity) for report in self.corpora)

    def as_json(self) -> dict[str, Any]:
        """Everything, with a summary first."""
        content = asdict(self)
        for fault in (fault for corpus in content["corpora"] for fault in corpus["faults"]):
            # asdict() leaves paths, which JSON does not have
            fault["path"] = str(fault["path"])
        summary = {"errors": self.count("error"), "warnings": self.count("warning")}
        return {**summary, **content, "root": str(self.root)}


def print_faults(console: Console, report: CheckReport, show: int = 10) -> None:
    """Print a table of numbers, then the faults, similar ones together.

    Args:
        console: Where to print.
        report: Results of the check.
        show: Most faults to print of each group of similar ones.
    """
    from rich.table import Table

    table = Table(title=f"{report.root}: found / listed / published")
    for column in ("corpus", "videos", "frames", "maps", "fixations", "errors", "warnings"):
        table.add_column(column, no_wrap=True)
    for corpus in report.corpora:
        published = (corpus.published_videos, corpus.published_frames) if not corpus.generated else (0, 0)
        table.add_row(
            corpus.corpus,
            f"{corpus.videos} / {len(corpus.names)} / {published[0] or '-'}",
            f"{corpus.frames} / {corpus.listed_frames or '-'} / {published[1] or '-'}",
            *map(str, (corpus.maps, corpus.fixations, corpus.count("error"), corpus.count("warning"))),
        )
    console.print(table)
    for corpus in report.corpora:
        console.print(_properties(corpus), markup=False)
        for fact in corpus.facts:
            console.print(f"{corpus.corpus}: {fact}", markup=False)
    for fact in report.facts:
        console.print(fact, markup=False)
    groups: dict[tuple[str, str, str], list[Fault]] = {}
    for fault in report.faults:
        groups.setdefault((fault.corpus, fault.severity, fault.similar()), []).append(fault)
    for (name, severity, _), faults in groups.items():
        colour = "bold red" if severity == "error" else "yellow"
        console.print(f"\n[{colour}]{severity}[/] {name}: {len(faults)}")
        for fault in faults[:show]:
            # paths may hold brackets, which rich would take for its markup
            console.print(f"  {fault.line()}", markup=False)
        if len(faults) > show:
            console.print(f"  and {len(faults) - show} more; --json FILE or --show {len(faults)} names all")


def _properties(corpus: CorpusReport) -> str:
    """Sizes and audio in one line."""
    rates = ", ".join(f"{rate} Hz: {count}" for rate, count in sorted(corpus.rates.items())) or "none"
    channels = [
        f"{count} channels: {videos}" for count, videos in sorted(corpus.channels.items()) if count > 1
    ]
    frames, maps = (
        next(iter(sizes), "none") if len(sizes) < 2 else f"{len(sizes)} sizes"
        for sizes in (corpus.sizes, corpus.map_sizes)
    )
    return (
        f"{corpus.corpus}{' (SYNTHETIC)' if corpus.generated else ''}: frames {frames}, maps {maps}, audio "
        f"{'; '.join([rates, *channels])}"
    )
