"""What a check found, as values, as JSON and as a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_avsp.data.check.faults import Fault, Severity

if TYPE_CHECKING:
    from rich.console import Console

Size = tuple[int, int]


@dataclass(frozen=True)
class CorpusReport:
    """What was found of one corpus."""

    corpus: str
    generated: bool
    """Whether it is SYNTHETIC; its numbers are not held against the published ones."""
    names: tuple[str, ...]
    """Every listed video."""
    listed_frames: int
    published_videos: int
    published_frames: int
    counts: dict[int, tuple[int, int]]
    """(train, test) videos of each split, as listed."""
    published_counts: dict[int, tuple[int, int]]
    videos: int
    """Listed videos of which something is on disk."""
    frames: int
    """Pictures on disk, up to the listed numbers."""
    maps: int
    fixations: int
    surplus: int
    """Complete frames beyond the listed numbers, never read."""
    sizes: dict[Size, int]
    """Videos by (height, width) of their pictures."""
    map_sizes: dict[Size, int]
    rates: dict[int, int]
    """Videos by sample rate of their sound, Hz."""
    channels: dict[int, int]
    """Videos by channels of their sound."""
    facts: tuple[str, ...]
    """What is worth knowing and no fault, e.g. published test lists that overlap."""
    faults: tuple[Fault, ...]

    def count(self, severity: Severity) -> int:
        """Faults of one severity."""
        return sum(fault.severity == severity for fault in self.faults)

    def as_json(self) -> dict[str, Any]:
        """Everything, with keys that JSON can hold."""
        return {
            "corpus": self.corpus,
            "generated": self.generated,
            "found": {
                "videos": self.videos,
                "frames": self.frames,
                "maps": self.maps,
                "fixations": self.fixations,
                "surplus_frames": self.surplus,
                "frame_sizes": _by_size(self.sizes),
                "map_sizes": _by_size(self.map_sizes),
                "sample_rates": self.rates,
                "channels": self.channels,
            },
            "listed": {
                "videos": len(self.names),
                "frames": self.listed_frames,
                "train_test_by_split": self.counts,
            },
            "published": {
                "videos": self.published_videos,
                "frames": self.published_frames,
                "train_test_by_split": self.published_counts,
            },
            "facts": list(self.facts),
            "faults": [fault.as_json() for fault in self.faults],
        }


@dataclass(frozen=True)
class CheckReport:
    """What was found under one root."""

    root: Path
    thoroughness: str
    corpora: tuple[CorpusReport, ...]
    facts: tuple[str, ...]
    """Facts across corpora."""

    @property
    def faults(self) -> list[Fault]:
        """Faults of all corpora, the worst first."""
        return sorted((f for report in self.corpora for f in report.faults), key=lambda fault: fault.order)

    def count(self, severity: Severity) -> int:
        """Faults of one severity."""
        return sum(report.count(severity) for report in self.corpora)

    def as_json(self) -> dict[str, Any]:
        """Everything, with a summary first."""
        return {
            "root": str(self.root),
            "thoroughness": self.thoroughness,
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "notes": self.count("note"),
            "by_kind": dict(Counter(fault.kind for fault in self.faults)),
            "facts": list(self.facts),
            "corpora": [report.as_json() for report in self.corpora],
        }


def print_report(console: Console, report: CheckReport, show: int = 10) -> None:
    """Print what was found, then every kind of fault with its first files and what to do.

    Args:
        console: Where to print.
        report: What was found.
        show: Files that are named for each kind and corpus.
    """
    console.print(_overview(report))
    for corpus in report.corpora:
        console.print(_properties(corpus), markup=False)
        for fact in corpus.facts:
            console.print(f"{corpus.corpus}: {fact}", markup=False)
    for fact in report.facts:
        console.print(fact, markup=False)
    groups: dict[tuple[str, str, str], list[Fault]] = {}
    for fault in report.faults:
        groups.setdefault((fault.corpus, fault.kind, fault.severity), []).append(fault)
    colours = {"error": "bold red", "warning": "yellow", "note": "dim"}
    for (corpus_name, kind, severity), faults in groups.items():
        console.print()
        console.print(f"[{colours[severity]}]{severity}[/] {corpus_name} {kind}: {len(faults)}")
        for fault in faults[:show]:
            console.print(f"  {fault.path}: {fault.detail}", markup=False)
        if len(faults) > show:
            console.print(f"  and {len(faults) - show} more; --json FILE or --show {len(faults)} names all")
        console.print(f"  -> {faults[0].advice}", markup=False)


def _overview(report: CheckReport) -> Any:
    from rich.table import Table

    table = Table(title=f"{report.root}: found / listed / published")
    for column in ("corpus", "videos", "frames", "maps", "fixations", "errors", "warnings"):
        table.add_column(column, no_wrap=True)
    for corpus in report.corpora:
        published = ("-", "-")
        if not corpus.generated:
            published = (str(corpus.published_videos or "-"), str(corpus.published_frames or "-"))
        table.add_row(
            corpus.corpus,
            f"{corpus.videos} / {len(corpus.names)} / {published[0]}",
            f"{corpus.frames} / {corpus.listed_frames or '-'} / {published[1]}",
            str(corpus.maps),
            str(corpus.fixations),
            str(corpus.count("error")),
            str(corpus.count("warning")),
        )
    return table


def _properties(corpus: CorpusReport) -> str:
    """Sizes and sound in one line."""
    sound = ", ".join(f"{rate} Hz: {count}" for rate, count in sorted(corpus.rates.items())) or "none"
    layout = ", ".join(
        f"{count} channels: {videos}" for count, videos in sorted(corpus.channels.items()) if count > 1
    )
    return (
        f"{corpus.corpus}{' (SYNTHETIC)' if corpus.generated else ''}: frames {_sizes(corpus.sizes)}, maps "
        f"{_sizes(corpus.map_sizes)}, sound {sound}{'; ' + layout if layout else ''}"
    )


def _by_size(sizes: dict[Size, int]) -> dict[str, int]:
    return {f"{height}x{width}": count for (height, width), count in sorted(sizes.items())}


def _sizes(sizes: dict[Size, int]) -> str:
    names = _by_size(sizes)
    return next(iter(names)) if len(names) == 1 else f"{len(names)} sizes" if names else "none"
