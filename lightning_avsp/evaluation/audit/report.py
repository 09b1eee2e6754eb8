"""The common form of audit results: tables, notes and verdicts as text, everything as JSON, paired differences."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from lightning_avsp.data.entries import VideoKey
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.formatting import with_interval
from lightning_avsp.evaluation.statistics import LEVEL, Interval, bootstrap_mean
from lightning_avsp.metrics import ScoreTable
from lightning_avsp.run_folder import RunFolder
from lightning_avsp.structures import SaliencyBatch
from lightning_avsp.tasks.prediction import frame_keys


@dataclass
class AuditReport:
    """Result of an audit."""

    record: Any
    """All values, for JSON."""
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    """Tables by title."""
    notes: list[str] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Format tables, notes and verdicts as lines of text."""
        lines = []
        for title, frame in self.tables.items():
            lines += ["", title, *(line.rstrip() for line in frame.to_string().splitlines())]
        if self.verdicts:
            return [*lines, "", *self.notes, "", *(f"verdict: {text}" for text in self.verdicts)]
        return [*lines, *self.notes]


@dataclass
class MapChange:
    """Movement of the maps when nothing but one input changes; in units of the map's range [0, 1]."""

    largest: float = 0.0
    """Of any pixel of any map; exactly 0 where maps do not depend on the input."""
    total: float = 0.0
    spread: float = 0.0
    clips: int = 0

    @property
    def mean(self) -> float:
        """Mean absolute change of a pixel."""
        return self.total / max(1, self.clips)

    @property
    def relative(self) -> float:
        """Mean change over the original maps' own standard deviation over pixels; 0 where nothing moves."""
        # constant maps have no spread to divide by
        return 0.0 if self.total == 0 else self.total / max(self.spread, 1e-12)

    def add(self, moved: Tensor, base: Tensor) -> None:
        """Add maps (B, 1, H, W) with the changed and with the original input."""
        # absolute: movements up and down would cancel
        change = (moved - base).abs()
        self.largest = max(self.largest, float(change.max()))
        self.total += float(change.mean(dim=(1, 2, 3)).sum())
        self.spread += float(base.std(dim=(1, 2, 3)).sum())
        self.clips += len(base)


def check_finite(maps: Tensor, batch: SaliencyBatch, title: str) -> None:
    """Refuse NaN maps, in which a comparison would find no change.

    Raises:
        InputError: If a map is not finite.
    """
    if not bool(maps.isfinite().all()):  # NaN - NaN would count as a change of nothing at all
        keys = frame_keys(batch)
        raise InputError(
            f"the model predicts NaN among frames {keys[0]} to {keys[-1]} ({title}); its training diverged, audit "
            "another checkpoint"
        )


def report_file(checkpoint: Path, name: str) -> Path:
    """Return the default JSON file of an audit: in the run's ``results/``, or beside a file outside any run."""
    folder = checkpoint.resolve().parent
    run = RunFolder(folder.parent)
    # a run keeps its audits; a file that was copied out of one has no results folder
    if folder == run.checkpoints and run.record.is_file():
        return run.results / f"audit_{name}_{checkpoint.stem}.json"
    return checkpoint.with_name(f"{checkpoint.stem}.audit_{name}.json")


def common_notes(frames: int, videos: int, synthetic: Sequence[str]) -> list[str]:
    """Return the notes on averages, intervals and synthetic data."""
    notes = [
        f"{frames} frames of {videos} videos; means over videos of means over frames; in brackets the {LEVEL:.0%} "
        "bootstrap interval over videos"
    ]
    if synthetic:
        notes.append(f"SYNTHETIC data, no video that people watched: {', '.join(synthetic)}")
    return notes


def difference(interval: Interval) -> str:
    """Format a difference: ``-0.123 [-0.150, -0.098]``, or ``exactly 0``."""
    # to the last bit, which is a finding of its own
    if interval.mean == 0 and (math.isnan(interval.low) or interval.low == interval.high == 0):
        return "exactly 0"
    if interval.mean != 0 and abs(interval.mean) < 5e-4:  # three decimals would hide even the sign
        return f"{interval.mean:+.1g} [{interval.low:+.1g}, {interval.high:+.1g}]"
    return str(with_interval(interval, sign=True))


def mean_difference(
    first: ScoreTable, second: ScoreTable, metric: str, videos: Collection[VideoKey]
) -> tuple[Interval, int]:
    """Compare two score tables of the same frames.

    Returns:
        Mean over videos of the mean over frames of ``first - second`` with its 95 % bootstrap interval, and the number
        of videos; frames without a value in either table do not count.
    """
    # paired by frame: the difference varies far less than the scores
    base = {(row.corpus, row.video, row.frame): row.values[metric] for row in second.frames}
    wanted, found = set(videos), defaultdict(list)
    for row in first.frames:
        change = row.values[metric] - base[row.corpus, row.video, row.frame]
        if (row.corpus, row.video) in wanted and not math.isnan(change):
            found[row.corpus, row.video].append(change)
    means = [("/".join(key), math.fsum(values) / len(values)) for key, values in found.items()]
    return bootstrap_mean([means]), len(means)


def mean_value(table: ScoreTable, metric: str, videos: Collection[VideoKey]) -> float:
    """Average a metric over some videos' means over frames; NaN of nothing."""
    rows = [row for row in table.videos if (row.corpus, row.video) in set(videos)]
    counted = [row.values[metric] for row in rows if not math.isnan(row.values[metric])]
    return math.fsum(counted) / len(counted) if counted else math.nan
