"""Averages as this field takes them: frames to videos to corpora; exact on any number of processes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch.distributed as dist

from lightning_avsp.errors import InputError

FrameKey: TypeAlias = tuple[str, str, int]
"""Corpus, video and frame number: what makes a frame unique."""


@dataclass(frozen=True)
class FrameRow:
    """Values of one frame."""

    corpus: str
    """Corpus name."""
    video: str
    """Video name, unique within the corpus."""
    frame: int
    """Frame number."""
    values: dict[str, float]
    """Metric to value; NaN where the frame does not count."""
    reasons: dict[str, str]
    """Metric to why the frame was dropped from it, or counted as 0; ordinary frames have no entry."""


@dataclass(frozen=True)
class VideoRow:
    """Mean values of one video."""

    corpus: str
    """Corpus name."""
    video: str
    """Video name, unique within the corpus."""
    frames: int
    """Frames scored."""
    values: dict[str, float]
    """Metric to mean over the frames that count; NaN if none does."""
    counted: dict[str, int]
    """Metric to how many frames count."""


@dataclass(frozen=True)
class ScoreTable:
    """Everything behind the averages, sorted by corpus, video and frame."""

    frames: tuple[FrameRow, ...]
    """One row per frame."""
    videos: tuple[VideoRow, ...]
    """One row per video."""

    def frame_records(self) -> list[dict[str, Any]]:
        """Frame rows as flat dicts for a CSV file: key, each metric, and each metric's reason."""
        return [
            {"corpus": row.corpus, "video": row.video, "frame": row.frame}
            | row.values
            | {f"{name}_reason": row.reasons.get(name, "") for name in row.values}
            for row in self.frames
        ]

    def video_records(self) -> list[dict[str, Any]]:
        """Video rows as flat dicts for a CSV file: key, frames, each metric, and frames counted in each."""
        return [
            {"corpus": row.corpus, "video": row.video, "frames": row.frames}
            | row.values
            | {f"{name}_frames": count for name, count in row.counted.items()}
            for row in self.videos
        ]


class VideoAverage:
    """Per-frame values by (corpus, video, frame), averaged over frames, then over videos.

    Every video weighs the same, whatever its length. A frame that arrives twice, as samplers that pad for
    equal shares make it, counts once: the first process that has it, and its first value, win. Sums are
    correctly rounded, so the result does not depend on the order or on the number of processes, to the last
    digit.

    :meth:`table` and :meth:`compute` gather from all processes when ``torch.distributed`` runs, once after
    each :meth:`add` or :meth:`reset`: call them on every process.

    Args:
        names: Metric names.

    Example:
        >>> average = VideoAverage(("cc",))
        >>> average.add(("AVAD", "V1", 1), {"cc": 0.5})
        >>> average.add(("AVAD", "V1", 2), {"cc": 0.7})
        >>> average.add(("AVAD", "V2", 1), {"cc": float("nan")}, {"cc": "no_fixations"})
        >>> average.add(("AVAD", "V2", 2), {"cc": 0.2})
        >>> {name: round(value, 3) for name, value in average.compute().items()}
        {'cc': 0.4, 'AVAD/cc': 0.4, 'frames': 4, 'videos': 2, 'skipped/cc/no_fixations': 1}
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._rows: dict[FrameKey, FrameRow] = {}
        self._gathered: ScoreTable | None = None

    def add(self, key: FrameKey, values: dict[str, float], reasons: dict[str, str] | None = None) -> None:
        """Add a frame with a value for every metric, NaN where it does not count; a frame that is there stays as it is.

        ``reasons`` hold why, for every metric where it does not count or counts as 0.

        Raises:
            InputError: If the metrics are not the ones announced.
        """
        if set(values) != set(self.names):
            raise InputError(
                f"frame {key} has values of {sorted(values)}, but {sorted(self.names)} are averaged."
            )
        corpus, video, frame = str(key[0]), str(key[1]), int(key[2])
        ordered = {name: float(values[name]) for name in self.names}
        row = FrameRow(corpus, video, frame, ordered, dict(reasons or {}))
        self._rows.setdefault((corpus, video, frame), row)  # padding samplers repeat frames: the first counts
        self._gathered = None

    def reset(self) -> None:
        """Remove all frames."""
        self._rows.clear()
        self._gathered = None

    def table(self) -> ScoreTable:
        """Rows of all frames and videos, from all processes."""
        if self._gathered is None:
            merged: dict[FrameKey, FrameRow] = {}
            for rows in _gather(self._rows):
                for key, row in rows.items():
                    merged.setdefault(key, row)  # by rank: the same frame wins everywhere
            frames = tuple(merged[key] for key in sorted(merged))
            self._gathered = ScoreTable(frames, tuple(_video_rows(frames, self.names)))
        return self._gathered

    def compute(self) -> dict[str, float]:
        """Averages and counts.

        Returns:
            ``<metric>``, the mean over all videos; ``<corpus>/<metric>``, over a corpus's videos; ``frames``
            and ``videos`` scored; ``skipped/<metric>/<reason>``, frames dropped;
            ``zeroed/<metric>/<reason>``, frames counted as 0; ``skipped_videos/<metric>``, videos without a
            frame that counts. Counts of 0 are left out; an average over nothing is NaN.
        """
        table = self.table()
        results: dict[str, float] = {
            name: _mean(row.values[name] for row in table.videos) for name in self.names
        }
        for corpus in sorted({row.corpus for row in table.videos}):
            for name in self.names:
                of_corpus = (row.values[name] for row in table.videos if row.corpus == corpus)
                results[f"{corpus}/{name}"] = _mean(of_corpus)
        results |= {"frames": len(table.frames), "videos": len(table.videos)}
        counts: dict[str, float] = {}  # of what did not enter an average as an ordinary value
        for name in self.names:
            for row in table.frames:
                if name in row.reasons:
                    kind = "skipped" if math.isnan(row.values[name]) else "zeroed"
                    key = f"{kind}/{name}/{row.reasons[name]}"
                    counts[key] = counts.get(key, 0) + 1
            empty = sum(row.counted[name] == 0 for row in table.videos)
            if empty:
                counts[f"skipped_videos/{name}"] = empty
        return results | counts


def _gather(rows: dict[FrameKey, FrameRow]) -> list[dict[FrameKey, FrameRow]]:
    """Every process's rows, by rank; as Python objects, since shares and names differ in length."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return [rows]
    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, rows)
    return everyone


def _video_rows(frames: Iterable[FrameRow], names: Sequence[str]) -> list[VideoRow]:
    """One row per video of the sorted ``frames``."""
    videos: dict[tuple[str, str], list[FrameRow]] = {}
    for row in frames:
        videos.setdefault((row.corpus, row.video), []).append(row)
    return [
        VideoRow(
            corpus,
            video,
            frames=len(rows),
            values={name: _mean(row.values[name] for row in rows) for name in names},
            counted={name: sum(not math.isnan(row.values[name]) for row in rows) for name in names},
        )
        for (corpus, video), rows in videos.items()
    ]


def _mean(values: Iterable[float]) -> float:
    """Correctly rounded mean of what is not NaN; NaN of nothing."""
    counted = [value for value in values if not math.isnan(value)]
    # fsum: independent of the order of processes
    return math.fsum(counted) / len(counted) if counted else math.nan
