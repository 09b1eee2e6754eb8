"""From samples to places: one for each observer and frame, as shares of the film."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from lightning_avsp.data.importing.clock import FrameClock
from lightning_avsp.data.importing.gaze_table import GazeTable
from lightning_avsp.data.importing.geometry import Geometry
from lightning_avsp.data.importing.settings import ImportSettings, Pick
from lightning_avsp.data.importing.times import film_seconds
from lightning_avsp.errors import InputError


@dataclass(frozen=True)
class SampleCounts:
    """What became of the samples; each is counted once, under the first reason that applies."""

    total: int
    invalid: int
    """The table's own column says so: blinks, lost tracking."""
    missing: int
    """No number for x, y or time, or (0, 0) where that means lost."""
    out_of_time: int
    """Before the first frame or after the last."""
    outside: int
    """Valid, while the film was shown, but not on it."""
    used: int
    zeros: int
    """Samples at exactly (0, 0) that were not dropped as missing."""

    @property
    def outside_share(self) -> float:
        """Share of good samples during the film that lie outside it."""
        good = self.outside + self.used
        return self.outside / good if good else 0.0

    def as_json(self) -> dict[str, Any]:
        """All counts."""
        return {**asdict(self), "outside_share": self.outside_share}


@dataclass(frozen=True)
class FrameGaze:
    """Gaze of a video, frame by frame."""

    points: tuple[np.ndarray, ...]
    """For each frame one row (x, y) for each observer who looked at the film: float64 (N, 2), shares of it."""
    counts: SampleCounts
    observers: int

    @property
    def empty_frames(self) -> int:
        """Frames that nobody looked at."""
        return sum(len(points) == 0 for points in self.points)


def frame_gaze(
    table: GazeTable, clock: FrameClock, geometry: Geometry, settings: ImportSettings
) -> FrameGaze:
    """Sort samples into frames and take one place for each observer.

    Raises:
        InputError: If no sample falls on the film, too many lie outside it, or times are implausible.
    """
    zeros = (table.x == 0) & (table.y == 0)
    lost = np.isnan(table.x) | np.isnan(table.y) | np.isnan(table.time)
    if settings.drop_zero:
        lost |= zeros
    good = table.valid & ~lost
    if not good.any():
        raise InputError(
            f"{table.path}: none of {len(table)} samples is valid ({int((~table.valid).sum())} marked invalid, "
            f"{int(lost.sum())} without numbers); check --valid_column and --valid_is"
        )
    if settings.time_unit == "frame":
        sample, frame = _by_number(table, clock, settings, good)
    else:
        seconds = film_seconds(table, clock, settings, good)
        shown = clock.frame_at(seconds)
        sample = np.flatnonzero(good & (shown >= 0))
        frame = shown[sample]
    in_time = np.unique(sample).size
    if in_time == 0:
        raise InputError(
            f"{table.path}: no valid sample falls into the film of {clock.seconds:.2f} s and {len(clock.source)} "
            f"frames; times run from {np.nanmin(table.time):g} to {np.nanmax(table.time):g} {settings.time_unit}: give "
            "--film_starts_at, the time at which the film began"
        )
    u, v = geometry.in_film(table.x, table.y)
    on_film = (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
    used = on_film[sample]
    counts = SampleCounts(
        total=len(table),
        invalid=int((~table.valid).sum()),
        missing=int((table.valid & lost).sum()),
        out_of_time=int(good.sum()) - in_time,
        outside=np.unique(sample[~used]).size,
        used=np.unique(sample[used]).size,
        zeros=0 if settings.drop_zero else int((zeros & table.valid).sum()),
    )
    if counts.outside_share > settings.max_outside or not counts.used:
        raise InputError(_outside_message(table, geometry, settings, counts, sample))
    sample, frame = sample[used], frame[used]
    points = pick_places(
        frame,
        table.observer[sample],
        table.time[sample],
        u[sample],
        v[sample],
        len(clock.source),
        settings.pick,
    )
    return FrameGaze(points, counts, int(np.unique(table.observer[sample]).size))


def _by_number(
    table: GazeTable, clock: FrameClock, settings: ImportSettings, good: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Samples and their frames where the table states frame numbers; a film's frame may be shown twice or never."""
    numbers = table.time - settings.film_starts_at
    odd = np.flatnonzero(good & (numbers % 1 != 0))
    if odd.size:
        raise InputError(
            f"{table.path}: frame {table.time[odd[0]]:g} minus the first, {settings.film_starts_at:g}, is no whole "
            "number; for times give --time_unit s, ms or us"
        )
    before = good & (numbers < 0)
    if before.any():
        raise InputError(
            f"{table.path}: frame {np.nanmin(table.time[good]):g} comes before the first, "
            f"{settings.film_starts_at:g}; give its number with --film_starts_at (0 or 1)"
        )
    samples, frames = [], []
    wanted = np.where(good & (numbers < clock.film_frames), numbers, -1).astype(np.int64)
    order = np.argsort(wanted, kind="stable")
    for frame, source in enumerate(clock.source):
        left = np.searchsorted(wanted[order], source, side="left")
        right = np.searchsorted(wanted[order], source, side="right")
        samples.append(order[left:right])
        frames.append(np.full(right - left, frame))
    return np.concatenate(samples), np.concatenate(frames)


def pick_places(
    frame: np.ndarray,
    observer: np.ndarray,
    time: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    frames: int,
    pick: Pick,
) -> tuple[np.ndarray, ...]:
    """One place for each observer and frame.

    Args:
        frame: Frame of each sample, from 0, int64 (N,).
        observer: Who it is of, int64 (N,).
        time: When, for the last; ties go by the order given.
        x: float64 (N,).
        y: float64 (N,).
        frames: Frames of the video.
        pick: ``median`` and ``mean`` are taken of x and y apart.

    Returns:
        For each frame float64 (observers, 2), (x, y), in the order of observers' numbers.
    """
    pair = frame * (int(observer.max(initial=0)) + 1) + observer
    if pick == "last":
        order = np.lexsort((np.arange(len(pair)), time, pair))
        ends = np.flatnonzero(np.append(np.diff(pair[order]) != 0, True))
        chosen = order[ends]
        places, of_frame = np.stack([x[chosen], y[chosen]], axis=1), frame[chosen]
    else:
        columns = [_by_group(pair, values, pick) for values in (x, y)]
        places = np.stack(columns, axis=1)
        of_frame = frame[np.unique(pair, return_index=True)[1]]
    edges = np.searchsorted(of_frame, np.arange(frames + 1))
    return tuple(places[start:stop] for start, stop in pairwise(edges))


def _by_group(group: np.ndarray, values: np.ndarray, pick: Pick) -> np.ndarray:
    """Mean or median of the values of each group, in the order of group numbers."""
    order = np.lexsort((values, group))
    ordered = values[order]
    _, starts, counts = np.unique(group[order], return_index=True, return_counts=True)
    if pick == "mean":
        return np.add.reduceat(ordered, starts) / counts
    return (ordered[starts + (counts - 1) // 2] + ordered[starts + counts // 2]) / 2


def _outside_message(
    table: GazeTable, geometry: Geometry, settings: ImportSettings, counts: SampleCounts, sample: np.ndarray
) -> str:
    x, y = table.x[sample], table.y[sample]
    return (
        f"{table.path}: {counts.outside_share:.0%} of the valid samples lie outside the film (at most "
        f"{settings.max_outside:.0%}); x runs from {x.min():g} to {x.max():g}, y from {y.min():g} to {y.max():g}, read "
        f"as {geometry.coordinates!r} for a film of {geometry.film[0]} x {geometry.film[1]}: correct --coordinates, "
        "--screen, --film_at and --film_shown, or raise --max_outside"
    )
