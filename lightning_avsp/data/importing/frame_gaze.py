"""From samples to positions: one for each observer and frame, as shares of the video."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from lightning_avsp.data.importing.clock import FrameClock
from lightning_avsp.data.importing.gaze import Gaze
from lightning_avsp.data.importing.geometry import Geometry
from lightning_avsp.data.importing.settings import ImportSettings, Pick
from lightning_avsp.errors import InputError

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
SLOWEST, FASTEST = 4.0, 5000.0
"""Sampling rates of trackers (and mouse tracking) in Hz, generously."""
LONGER, SHORTER = 10.0, 0.02
"""A recording may be longer than its video by this factor, or shorter by it."""
RATE_TOLERANCE = 0.2
"""The rate of the time stamps may differ from the stated one by this share."""


@dataclass(frozen=True)
class FrameGaze:
    """Gaze of a video, frame by frame."""

    points: tuple[np.ndarray, ...]
    """For each frame one row (x, y) for each observer who looked at the video: float64 (N, 2), shares of it."""
    counts: dict[str, float]
    """Numbers of samples, each counted once under the first reason that applies: ``total``, ``invalid`` (by the table's
    own column), ``missing`` (no number for x, y or time, or (0, 0) where that means lost), ``out_of_time`` (before the
    first frame or after the last), ``outside`` (valid, during the video, but not on it) and ``used``. ``zeros`` of them
    lie at exactly (0, 0); ``outside_share`` is outside / (outside + used)."""
    observers: int

    @property
    def empty_frames(self) -> int:
        """Frames that nobody looked at."""
        return sum(len(points) == 0 for points in self.points)


def frame_gaze(gaze: Gaze, clock: FrameClock, geometry: Geometry, settings: ImportSettings) -> FrameGaze:
    """Sort samples into frames and take one position for each observer.

    Raises:
        InputError: If no sample falls on the video, too many lie outside it, or times are implausible.
    """
    zeros = (gaze.x == 0) & (gaze.y == 0)
    lost = np.isnan(gaze.x) | np.isnan(gaze.y) | np.isnan(gaze.time)
    if settings.drop_zero:
        lost |= zeros
    good = gaze.valid & ~lost
    if not good.any():
        raise InputError(
            f"{gaze.path}: none of {len(gaze)} samples is valid ({int((~gaze.valid).sum())} marked invalid, "
            f"{int(lost.sum())} without numbers); check --columns.valid and --columns.valid_is"
        )
    if settings.time.unit == "frame":
        sample, frame = _by_number(gaze, clock, settings.time.start, good)
    else:
        seconds = video_seconds(gaze, clock, settings, good)
        shown = clock.frame_at(seconds)
        sample = np.flatnonzero(good & (shown >= 0))
        frame = shown[sample]
    in_time = np.unique(sample).size
    if in_time == 0:
        raise InputError(
            f"{gaze.path}: no valid sample falls into the video of {clock.seconds:.2f} s and {len(clock.source)} "
            f"frames; times run from {np.nanmin(gaze.time):g} to {np.nanmax(gaze.time):g} {settings.time.unit}: give "
            "--time.start, the time at which the video began"
        )
    u, v = geometry.in_video(gaze.x, gaze.y)
    used = ((u >= 0) & (u < 1) & (v >= 0) & (v < 1))[sample]
    outside, inside = np.unique(sample[~used]).size, np.unique(sample[used]).size
    share = outside / (outside + inside)
    counts = {
        "total": len(gaze),
        "invalid": int((~gaze.valid).sum()),
        "missing": int((gaze.valid & lost).sum()),
        "out_of_time": int(good.sum()) - in_time,
        "outside": outside,
        "used": inside,
        "zeros": 0 if settings.drop_zero else int((zeros & gaze.valid).sum()),
        "outside_share": share,
    }
    if share > settings.max_outside or not inside:
        x, y = gaze.x[sample], gaze.y[sample]
        raise InputError(
            f"{gaze.path}: {share:.0%} of the valid samples lie outside the video (at most "
            f"{settings.max_outside:.0%}); x runs from {x.min():g} to {x.max():g}, y from {y.min():g} to {y.max():g}, "
            f"read as {geometry.coordinates!r} for a video of {geometry.video[0]} x {geometry.video[1]}: correct the "
            "--screen options, or raise --max_outside"
        )
    sample = sample[used]
    table = pd.DataFrame(
        {
            "frame": frame[used],
            "observer": gaze.observer[sample],
            "time": gaze.time[sample],
            "x": u[sample],
            "y": v[sample],
        }
    )
    return FrameGaze(
        pick_positions(table, len(clock.source), settings.maps.pick), counts, table["observer"].nunique()
    )


def _by_number(
    gaze: Gaze, clock: FrameClock, first: float, good: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Samples and their frames where frame numbers are given; a video's frame may be shown twice or never."""
    numbers = gaze.time - first
    odd = np.flatnonzero(good & (numbers % 1 != 0))
    if odd.size:
        raise InputError(
            f"{gaze.path}: frame {gaze.time[odd[0]]:g} minus the first, {first:g}, is not a whole number; for times "
            "give --time.unit s, ms or us"
        )
    if (good & (numbers < 0)).any():
        raise InputError(
            f"{gaze.path}: frame {np.nanmin(gaze.time[good]):g} comes before the first, {first:g}; give its number "
            "with --time.start (0 or 1)"
        )
    samples = pd.DataFrame({"source": numbers, "sample": np.arange(len(numbers))})[good]
    frames = pd.DataFrame({"source": clock.source.astype(np.float64), "frame": np.arange(len(clock.source))})
    both = frames.merge(samples, on="source")
    return both["sample"].to_numpy(), both["frame"].to_numpy()


def pick_positions(table: pd.DataFrame, frames: int, pick: Pick) -> tuple[np.ndarray, ...]:
    """One position for each observer and frame.

    Args:
        table: Samples with frame (from 0), observer, time, x and y.
        frames: Frames of the video.
        pick: ``median`` and ``mean`` are taken of x and y apart; ``last`` is the sample of the latest time, of equal
            ones the last row.

    Returns:
        For each frame float64 (observers, 2), (x, y), in the order of observers' numbers.
    """
    ordered = table.sort_values("time", kind="stable") if pick == "last" else table
    groups = ordered.groupby(["frame", "observer"])[["x", "y"]]
    positions = {"median": groups.median, "mean": groups.mean, "last": groups.last}[pick]()
    of_frame = positions.index.get_level_values("frame")
    edges = np.searchsorted(of_frame, np.arange(frames + 1))
    values = positions.to_numpy(np.float64)
    return tuple(values[start:stop] for start, stop in pairwise(edges))


def video_seconds(gaze: Gaze, clock: FrameClock, settings: ImportSettings, good: np.ndarray) -> np.ndarray:
    """Seconds after the video's first frame of each sample, float64 (N,).

    Args:
        gaze: Samples.
        clock: Frames of the video.
        settings: Unit, start and stated rate.
        good: Samples that count for plausibility, bool (N,).

    Raises:
        InputError: If length or rate of the recording are implausible in this unit; the message has both values and
            the units that would fit.
    """
    unit, stated = settings.time.unit, settings.time.rate
    seconds = (gaze.time - settings.time.start) * SECONDS[unit]
    interval = sampling_interval(gaze)
    if interval is not None:
        rates = {name: 1 / (interval * scale) for name, scale in SECONDS.items()}
        if not SLOWEST <= rates[unit] <= FASTEST:
            fits = [f"{name} ({r:g} per second)" for name, r in rates.items() if SLOWEST <= r <= FASTEST]
            remedy = f"--time.unit {' or '.join(fits)} would fit" if fits else "check the time column"
            raise InputError(
                f"{gaze.path}: time in {unit} means {rates[unit]:g} samples per second, which no tracker takes "
                f"({SLOWEST:g} to {FASTEST:g}); {remedy}"
            )
        if stated is not None and abs(rates[unit] - stated) > RATE_TOLERANCE * stated:
            raise InputError(
                f"{gaze.path}: time in {unit} means {rates[unit]:g} samples per second, --time.rate is {stated:g}; "
                "correct one of them"
            )
    span = float(np.ptp(seconds[good]))
    if not SHORTER * clock.seconds <= span <= LONGER * clock.seconds:
        raise InputError(
            f"{gaze.path}: time in {unit} means a recording of {span:g} s, the video lasts {clock.seconds:g} s; give "
            "another --time.unit, or gaze of this video alone"
        )
    return seconds


def sampling_interval(gaze: Gaze) -> float | None:
    """Median interval of one observer's consecutive time stamps, in their unit; None where nobody has two."""
    order = np.lexsort((gaze.time, gaze.observer))  # NaN last
    steps = np.diff(gaze.time[order])
    steps = steps[(np.diff(gaze.observer[order]) == 0) & (steps > 0)]
    return float(np.median(steps)) if steps.size else None
