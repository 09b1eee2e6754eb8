"""From samples to positions: one for each observer and frame, as shares of the video."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from lightning_avsp.data.importing.clock import FrameClock
from lightning_avsp.data.importing.geometry import ScreenGeometry
from lightning_avsp.data.importing.settings import ImportSettings, Pick, TimeStamps
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
        """Number of frames without gaze."""
        return sum(len(points) == 0 for points in self.points)


def assign_to_frames(
    path: Path, gaze: pd.DataFrame, clock: FrameClock, geometry: ScreenGeometry, settings: ImportSettings
) -> FrameGaze:
    """Sort samples into frames and take one position for each observer.

    Args:
        path: File of the samples, for error messages.
        gaze: Samples, as :func:`~lightning_avsp.data.importing.gaze.read_gaze` returns them.
        clock: Frames of the video.
        geometry: Position of the video on the screen.
        settings: Settings of the import.

    Raises:
        InputError: If no sample falls on the video, too many lie outside it, or times are implausible.
    """
    zeros = (gaze.x == 0) & (gaze.y == 0)
    lost = gaze[["x", "y", "time"]].isna().any(axis=1)
    if settings.drop_zero:
        lost |= zeros
    good = gaze[gaze.valid & ~lost]
    invalid = int((~gaze.valid).sum())
    if good.empty:
        raise InputError(
            f"{path}: none of {len(gaze)} samples is valid ({invalid} marked invalid, {int(lost.sum())} without "
            "numbers); check --columns.valid and --columns.valid_is"
        )
    if settings.time.unit == "frame":
        table = _frames_by_number(path, good, clock, settings.time.start)
    else:
        frame = clock.frame_at(_video_seconds(path, gaze, good, clock, settings.time))
        table = good.assign(frame=frame)[frame >= 0]
    in_time = table.index.nunique()
    if in_time == 0:
        raise InputError(
            f"{path}: no valid sample falls into the video of {clock.seconds:.2f} s and {len(clock.source)} frames; "
            f"times run from {gaze.time.min():g} to {gaze.time.max():g} {settings.time.unit}: give --time.start, the "
            "time at which the video began"
        )
    u, v = geometry.in_video(table.x, table.y)
    used = (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
    outside, inside = table.index[~used].nunique(), table.index[used].nunique()
    share = outside / (outside + inside)
    counts = {
        "total": len(gaze),
        "invalid": invalid,
        "missing": int((gaze.valid & lost).sum()),
        "out_of_time": len(good) - in_time,
        "outside": outside,
        "used": inside,
        "zeros": 0 if settings.drop_zero else int((zeros & gaze.valid).sum()),
        "outside_share": share,
    }
    if share > settings.max_outside or not inside:
        raise InputError(
            f"{path}: {share:.0%} of the valid samples lie outside the video (at most {settings.max_outside:.0%}); x "
            f"runs from {table.x.min():g} to {table.x.max():g}, y from {table.y.min():g} to {table.y.max():g}, read as "
            f"{geometry.coordinates!r} for a video of {geometry.video[0]} x {geometry.video[1]}: correct the --screen "
            "options, or raise --max_outside"
        )
    table = table.assign(x=u, y=v)[used]
    points = _pick_positions(table, len(clock.source), settings.maps.pick)
    return FrameGaze(points, counts, table["observer"].nunique())


def _frames_by_number(path: Path, good: pd.DataFrame, clock: FrameClock, first: float) -> pd.DataFrame:
    """Samples with their ``frame`` where frame numbers are given; a video's frame may be shown twice or never."""
    numbers = good.time - first
    odd = good.time[numbers % 1 != 0]
    if len(odd):
        raise InputError(
            f"{path}: frame {odd.iloc[0]:g} minus the first, {first:g}, is not a whole number; for times give "
            "--time.unit s, ms or us"
        )
    if (numbers < 0).any():
        raise InputError(
            f"{path}: frame {good.time.min():g} comes before the first, {first:g}; give its number with --time.start "
            "(0 or 1)"
        )
    frames = pd.Series(np.arange(len(clock.source)), clock.source.astype(np.float64), name="frame")
    return good.assign(number=numbers).join(frames, on="number", how="inner")


def _pick_positions(table: pd.DataFrame, frames: int, pick: Pick) -> tuple[np.ndarray, ...]:
    """Pick one position for each observer and frame.

    Args:
        table: Samples with frame (from 0), observer, time, x and y.
        frames: Frames of the video.
        pick: ``median`` and ``mean`` are taken of x and y apart; ``last`` is the sample of the latest time, of equal
            ones the last row.

    Returns:
        For each frame float64 (observers, 2), (x, y), in the order of observers' categories.
    """
    ordered = table.sort_values("time", kind="stable") if pick == "last" else table
    groups = ordered.groupby(["frame", "observer"], observed=True)[["x", "y"]]
    positions = {"median": groups.median, "mean": groups.mean, "last": groups.last}[pick]()
    of_frame = positions.index.get_level_values("frame")
    edges = np.searchsorted(of_frame, np.arange(frames + 1))
    values = positions.to_numpy(np.float64)
    return tuple(values[start:stop] for start, stop in pairwise(edges))


def _video_seconds(
    path: Path, gaze: pd.DataFrame, good: pd.DataFrame, clock: FrameClock, stamps: TimeStamps
) -> np.ndarray:
    """Seconds after the video's first frame of each good sample, float64 (N,).

    Raises:
        InputError: If length or rate of the recording are implausible in this unit; the message has both values and
            the units that would fit.
    """
    unit = stamps.unit
    seconds = ((good.time - stamps.start) * SECONDS[unit]).to_numpy()
    steps = gaze.sort_values("time").groupby("observer", observed=True)["time"].diff()
    steps = steps[steps > 0]
    if len(steps):
        rates = {name: 1 / (steps.median() * scale) for name, scale in SECONDS.items()}
        if not SLOWEST <= rates[unit] <= FASTEST:
            fits = [f"{name} ({r:g} per second)" for name, r in rates.items() if SLOWEST <= r <= FASTEST]
            remedy = f"--time.unit {' or '.join(fits)} would fit" if fits else "check the time column"
            raise InputError(
                f"{path}: time in {unit} means {rates[unit]:g} samples per second, which no tracker takes "
                f"({SLOWEST:g} to {FASTEST:g}); {remedy}"
            )
        if stamps.rate is not None and abs(rates[unit] - stamps.rate) > RATE_TOLERANCE * stamps.rate:
            raise InputError(
                f"{path}: time in {unit} means {rates[unit]:g} samples per second, --time.rate is {stamps.rate:g}; "
                "correct one of them"
            )
    span = float(np.ptp(seconds))
    if not SHORTER * clock.seconds <= span <= LONGER * clock.seconds:
        raise InputError(
            f"{path}: time in {unit} means a recording of {span:g} s, the video lasts {clock.seconds:g} s; give "
            "another --time.unit, or gaze of this video alone"
        )
    return seconds
