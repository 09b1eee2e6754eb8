"""From samples to positions: one for each observer and frame, as shares of the video.

Readers of the corpus align audio and frames by ``(k - 1) / fps``. So frames of a video with uneven times (variable
frame rate) are not numbered as they come: frame ``k`` of the corpus is the one that the video shows in the middle of
the k-th period of an even clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from lightning_avsp.curation.importing.gaze import GazeTable
from lightning_avsp.curation.importing.plausibility import judge_placement, judge_units, lies_on
from lightning_avsp.curation.importing.settings import Pick, ScreenGeometry, TimeStamps
from lightning_avsp.errors import InputError
from lightning_avsp.media.random_access import OFF_CLOCK_SECONDS
from lightning_avsp.media.video import VideoInfo, decode_video

JITTER = 0.5  # up to half a period off, frames keep their order on an even clock


@dataclass(frozen=True)
class FrameClock:
    """Times of the frames of a video, in seconds after the first."""

    fps: float
    """Frames per second in the corpus' list."""
    start: np.ndarray
    """When each frame appears, float64 (F,)."""
    stop: np.ndarray
    """When the next one does, float64 (F,)."""
    source: np.ndarray
    """Index of the video's frame that each shows, int64 (F,), never decreasing."""
    video_frames: int
    """Frames of the video."""
    drift: float
    """Largest distance of a frame of the video from an even clock, in periods."""

    @property
    def even(self) -> bool:
        """True if frames are those of the video, one for one."""
        return len(self.source) == self.video_frames and bool((np.diff(self.source) == 1).all())

    @property
    def seconds(self) -> float:
        """From the first frame to the end of the last."""
        return float(self.stop[-1])

    def frame_at(self, seconds: np.ndarray) -> np.ndarray:
        """Index of the frame that is shown at each time; -1 before the first, after the last, and for NaN."""
        inside = (seconds >= 0) & (seconds < self.stop[-1])  # False for NaN
        return np.where(inside, np.searchsorted(self.start, seconds, side="right") - 1, -1)


def video_clock(info: VideoInfo) -> FrameClock:
    """Decode a video once for the times of its frames.

    Raises:
        InputError: If it cannot be decoded or has fewer than 2 frames.
    """
    base = round(info.start / info.time_base)
    times = np.array([float((pts - base) * info.time_base) for pts, _ in decode_video(info)])
    if len(times) < 2:
        raise InputError(f"{info.path} has {len(times)} frames; a video needs at least 2")
    return make_clock(times, float(times[-1] + info.last), float(info.fps))


def make_clock(times: np.ndarray, end: float, nominal_fps: float) -> FrameClock:
    """Clock of a video from the times of its frames.

    Args:
        times: When each frame appears, seconds after the first, float64 (N,), increasing.
        end: When the last one disappears.
        nominal_fps: Rate that the container states; kept where the times agree with it.
    """
    count = len(times)
    numbers = np.arange(count)
    measured = (count - 1) / float(times[-1])
    # containers misstate the rate: the times themselves are tried too, the stated one first
    drifts = {fps: float(np.abs(times - numbers / fps).max() * fps) for fps in (nominal_fps, measured)}
    for fps, drift in drifts.items():
        longer = end - count / fps  # the last picture of a slideshow stays on
        if drift <= JITTER and longer > max(JITTER / fps, OFF_CLOCK_SECONDS):
            nominal_fps, drifts = fps, {fps: longer * fps}
            break
        if drift <= JITTER:
            # a last frame whose stated duration is nearly nothing is still shown for half a period
            stops = np.append(times[1:], max(end, float(times[-1]) + 0.5 / fps))
            return FrameClock(fps, times, stops, numbers, count, drift)
    # a variable rate: the frame that is shown in the middle of each even period
    periods = max(1, round(end * nominal_fps))
    start = np.arange(periods) / nominal_fps
    middle = start + 0.5 / nominal_fps
    source = np.clip(np.searchsorted(times, middle, side="right") - 1, 0, count - 1)
    return FrameClock(nominal_fps, start, start + 1 / nominal_fps, source, count, min(drifts.values()))


SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
# samples per second, generously: mouse tracking at the one end, the fastest trackers at the other
SLOWEST, FASTEST = 4.0, 5000.0
LONGEST_FIXATION = 0.2  # fixations per second at the least: nobody looks at one point of a film for 5 s
LONGER, SHORTER = 10.0, 0.02  # a recording may run through several videos, or stop early, by these factors
RATE_TOLERANCE = 0.2  # a rate may differ by this share from one that is stated: rounded stamps, lost samples
EARLY = 5e-4  # stamps are rounded to milliseconds: 33 stands for 33.333, where its frame begins
SLOWER = 1.02  # rates closer than this are one rate, stated as 30 and as 29.97
JUMP = 0.1  # samples of one viewer seldom lie further apart than this share of the video
LATE = 0.02  # a few samples before and after the video are usual, more suggest another start
SPARSE = 1.5  # rows further apart than so many frames are fixations, or samples of a slow tracker


@dataclass(frozen=True)
class FrameGaze:
    """Gaze of a video, frame by frame."""

    positions: pd.DataFrame
    """``frame`` (from 0), ``observer`` (code), ``x`` and ``y`` (shares of the video), a row for each observer and frame
    with gaze, in the order of frames."""
    frames: int
    observers: tuple[str, ...]
    """Names of the observers with gaze on the video, by code."""
    counts: dict[str, float]
    """Numbers of samples, each counted once under the first reason that applies: ``total``, ``invalid`` (by the table's
    own column), ``missing`` (no number for x, y or time, or (0, 0) where that means lost), ``out_of_time`` (before the
    first frame or after the last), ``outside`` (valid, during the video, but not on it) and ``used``. ``zeros`` of them
    lie at exactly (0, 0); ``outside_share`` is outside / (outside + used)."""
    examples: dict[str, str]
    """File, line and values of the first sample that was left out for each reason."""
    notes: tuple[str, ...]

    @cached_property
    def points(self) -> tuple[np.ndarray, ...]:
        """For each frame one row (x, y) for each observer who looked at the video: float64 (N, 2), shares of it."""
        edges = np.searchsorted(self.positions["frame"], np.arange(self.frames + 1))
        values = self.positions[["x", "y"]].to_numpy(np.float64)
        return tuple(values[start:stop] for start, stop in pairwise(edges))

    @property
    def empty_frames(self) -> int:
        """Number of frames without gaze."""
        return self.frames - self.positions["frame"].nunique()


def assign_to_frames(path: Path, table: GazeTable, clock: FrameClock, geometry: ScreenGeometry) -> FrameGaze:
    """Sort samples into frames and take one position for each observer.

    Args:
        path: File of the samples, for error messages.
        table: Samples, as :func:`~lightning_avsp.curation.importing.gaze.read_gaze` returns them.
        clock: Frames of the video.
        geometry: Position of the video on the screen.

    Raises:
        InputError: If no sample falls on the video, too many lie outside it or too many observers have none there,
            frames in the middle have none, or times or places are implausible.
    """
    gaze, settings = table.samples, table.settings
    zeros = (gaze.x == 0) & (gaze.y == 0)
    lost = gaze[["x", "y", "time"]].isna().any(axis=1)
    good = gaze[gaze.valid & ~lost]
    invalid = int((~gaze.valid).sum())
    if good.empty:
        raise InputError(
            f"{path}: none of {len(gaze)} samples is valid ({invalid} marked invalid, {int(lost.sum())} without "
            "numbers); check --columns.valid and --columns.valid_is"
        )
    # first units, then gaps: samples in the wrong unit would else be called outside the video
    judge_units(path, good, geometry)
    frame, row = _frames_of_rows(path, gaze, clock, settings.time)
    _check_gaps(path, gaze, frame, row, clock, settings.max_blank)
    shown = pd.DataFrame({"row": row, "frame": frame})[frame >= 0]
    shown = shown[shown["row"].isin(good.index)]
    if shown.empty:
        raise InputError(
            f"{path}: no valid sample falls into the video of {clock.seconds:.2f} s and {len(clock.source)} frames; "
            f"times run from {gaze.time.min():g} to {gaze.time.max():g} {settings.time.unit}: give --time.start, the "
            "time at which the video began"
        )
    in_time = good.loc[shown["row"].unique()]
    u, v = geometry.in_video(in_time.x, in_time.y)
    on_video = lies_on(u, v)
    share = float((~on_video).mean())
    counts = {
        "total": len(gaze),
        "invalid": invalid,
        "missing": int((gaze.valid & lost).sum()),
        "out_of_time": len(good) - len(in_time),
        "outside": int((~on_video).sum()),
        "used": int(on_video.sum()),
        "zeros": 0 if settings.drop_zero else int((zeros & gaze.valid).sum()),
        "outside_share": share,
    }
    notes = _judge_times(good, in_time, clock, settings.time)
    notes += judge_placement(path, in_time, geometry, share, settings.max_outside)
    used = in_time.assign(x=u, y=v)[on_video]
    positions = _pick_positions(
        used.loc[shown["row"][shown["row"].isin(used.index)]].assign(
            frame=shown["frame"][shown["row"].isin(used.index)].to_numpy()
        ),
        settings.maps.pick,
    )
    notes += _check_observers(path, gaze, used, named=bool(settings.columns.observer))
    kept = [str(name) for name in gaze["observer"].cat.categories if (used["observer"] == name).any()]
    codes = {name: code for code, name in enumerate(kept)}
    positions["observer"] = positions["observer"].astype(str).map(codes).astype(np.int64)
    left_out = {
        "invalid": gaze[~gaze.valid],
        "missing": gaze[gaze.valid & lost],
        "out_of_time": good.drop(in_time.index),
        "outside": in_time[~on_video],
    }
    examples = {
        reason: f"{row.file}, line {row.line}: time {row.time:g}, x {row.x:g}, y {row.y:g}"
        for reason, rows in left_out.items()
        for row in rows.head(1).itertuples()
    }
    return FrameGaze(positions, len(clock.source), tuple(kept), counts, examples, tuple(notes))


def _judge_times(
    good: pd.DataFrame, in_time: pd.DataFrame, clock: FrameClock, stamps: TimeStamps
) -> list[str]:
    """Remark on samples beside the video in time, and on frame numbers that begin with 1."""
    notes = []
    late = 1 - len(in_time) / len(good)
    if stamps.unit == "frame":
        if stamps.start == 0 and good["time"].min() == 1:
            notes.append(
                "the first frame with a sample is number 1: if numbers count from 1, give --time.start 1"
            )
    elif late > LATE:
        notes.append(
            f"{late:.0%} of the valid samples lie before or after the video of {clock.seconds:.2f} s; times run from "
            f"{good['time'].min():g} to {good['time'].max():g} {stamps.unit}: compare --time.start"
        )
    return notes


def _frames_of_rows(
    path: Path, gaze: pd.DataFrame, clock: FrameClock, stamps: TimeStamps
) -> tuple[np.ndarray, np.ndarray]:
    """Frame of each row, -1 outside the video, and the row; a row that lasts stands once for each of its frames."""
    if stamps.unit == "frame":
        return _frames_by_number(path, gaze, clock, stamps.start)
    seconds, step = _video_seconds(path, gaze, clock, stamps)
    rows = gaze.index.to_numpy()
    length = gaze["duration"].to_numpy() * SECONDS[stamps.unit]
    frame = 1 / clock.fps
    if np.isnan(length).all() and step is not None:
        if stamps.rate is None and step > SPARSE * frame:
            raise InputError(
                f"{path}: rows come every {step * 1000:.0f} ms, a frame lasts {frame * 1000:.0f} ms: for a table of "
                "fixations give --columns.duration, for a tracker that is slower than the video --time.rate"
            )
        if stamps.rate is not None and 1 / stamps.rate > SLOWER * frame:
            length = np.full(len(gaze), 1 / stamps.rate)
    if np.isfinite(length).any():
        # a fixation is of the frames whose middle it covers, and of at least one
        middles = (clock.start + clock.stop) / 2
        edge = seconds - 1e-6  # stamps and middles are rounded
        first, last = (np.searchsorted(middles, each) for each in (edge, edge + np.nan_to_num(length)))
        within = clock.frame_at(seconds + np.nan_to_num(length) / 2)
        several = (last > first) & np.isfinite(seconds)
        count = np.where(several, last - first, 1)
        frames = np.repeat(np.where(several, first, within), count)
        frames += np.arange(len(frames)) - np.repeat(np.cumsum(count) - count, count)
        return frames, np.repeat(rows, count)
    # Stamps of a tracker that is locked to the video lie on the edges of frames: the nearest is meant.
    locked = step is not None and abs(step - frame) <= RATE_TOLERANCE * frame
    early = 0.5 * frame if locked else EARLY
    found = clock.frame_at(seconds + early)
    return np.where(found < 0, clock.frame_at(seconds), found), rows


def _frames_by_number(
    path: Path, gaze: pd.DataFrame, clock: FrameClock, first: float | str
) -> tuple[np.ndarray, np.ndarray]:
    """Frames where their numbers are given; a video's frame may be shown twice or never."""
    if first == "first":
        raise InputError("--time.start first is for times; with frame numbers give the first one's, 0 or 1")
    numbers = gaze.time - float(first)
    odd = gaze.time[numbers.notna() & (numbers % 1 != 0)]
    if len(odd):
        raise InputError(
            f"{path}: frame {odd.iloc[0]:g} minus the first, {first:g}, is not a whole number; for times give "
            "--time.unit s, ms, us or ns"
        )
    if (numbers < 0).any():
        raise InputError(
            f"{path}: frame {gaze.time.min():g} comes before the first, {first:g}; give its number with --time.start "
            "(0 or 1)"
        )
    # counted from 0 the last frame would be one too many: nothing else fits
    if numbers.min() == 1 and numbers.max() == clock.video_frames:
        raise InputError(
            f"{path}: frames are numbered from {gaze.time.min():g} to {gaze.time.max():g}, the video has "
            f"{clock.video_frames}: they count from 1; give --time.start 1"
        )
    # a join, since an uneven video shows a frame several times or never
    frames = pd.Series(np.arange(len(clock.source)), clock.source.astype(np.float64), name="frame")
    found = numbers.rename("number").to_frame().join(frames, on="number", how="left")
    return found["frame"].fillna(-1).to_numpy(np.int64), found.index.to_numpy()


def _video_seconds(
    path: Path, gaze: pd.DataFrame, clock: FrameClock, stamps: TimeStamps
) -> tuple[np.ndarray, float | None]:
    """Seconds after the video's first frame of each row, float64 (N,), and the median step of a recording."""
    unit = stamps.unit
    of_observer = gaze.groupby("observer", observed=True)["time"]
    start: float | pd.Series = (
        of_observer.transform("min") if stamps.start == "first" else gaze["start"].fillna(float(stamps.start))
    )
    seconds = ((gaze.time - start) * SECONDS[unit]).to_numpy()
    steps = gaze.sort_values("time", kind="stable").groupby("observer", observed=True)["time"].diff().dropna()
    still = float((steps == 0).mean()) if len(steps) else 0.0
    if still > 0.25 and gaze["duration"].isna().all():
        raise InputError(
            f"{path}: {still:.0%} of the samples have the time of another of the same observer, as where several "
            "viewers are in one table; name their column with --columns.observer"
        )
    steps = steps[steps > 0]
    step = None
    if len(steps):
        step = float(steps.median()) * SECONDS[unit]
        rates = {name: 1 / (steps.median() * scale) for name, scale in SECONDS.items()}
        slowest = LONGEST_FIXATION if gaze["duration"].notna().any() else SLOWEST
        if not slowest <= rates[unit] <= FASTEST:
            fits = [f"{name} ({r:g} per second)" for name, r in rates.items() if SLOWEST <= r <= FASTEST]
            if slowest > rates[unit] > LONGEST_FIXATION:
                raise InputError(
                    f"{path}: time in {unit} means {rates[unit]:g} rows per second, fewer than a tracker takes: for a "
                    "table of fixations give --columns.duration"
                )
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
    spans = (of_observer.max() - of_observer.min()) * SECONDS[unit]
    span = float(spans.max())
    if not SHORTER * clock.seconds <= span <= LONGER * clock.seconds:
        raise InputError(
            f"{path}: time in {unit} means a recording of {span:g} s, the video lasts {clock.seconds:g} s; give "
            "another --time.unit, or gaze of this video alone"
        )
    return seconds, step


def _check_gaps(
    path: Path, gaze: pd.DataFrame, frame: np.ndarray, row: np.ndarray, clock: FrameClock, allowed: float
) -> None:
    """Refuse recordings with frames in their middle that have no row at all, valid or not."""
    if gaze["duration"].notna().any():
        return  # between fixations there is nothing
    observer = gaze["observer"].cat.codes.loc[row].to_numpy()
    rows = pd.DataFrame({"observer": observer, "frame": frame})[frame >= 0]
    if rows.empty:
        return
    per_frame = rows.groupby(["observer", "frame"]).size()
    ends = per_frame.reset_index().groupby("observer")["frame"].agg(["min", "max"])
    spanned = int((ends["max"] - ends["min"] + 1).sum())
    blank = spanned - len(per_frame)
    if blank > allowed * spanned:
        counted = per_frame.clip(upper=4).value_counts().reindex(range(1, 5), fill_value=0)
        bars = [
            f"no sample: {blank}",
            *(f"{n}{' or more' if n == 4 else ''}: {counted[n]}" for n in counted.index),
        ]
        raise InputError(
            f"{path}: {blank} of {spanned} frames between first and last sample of a recording have none, at most "
            f"{allowed:.0%} may; frames by samples: {', '.join(bars)}. Check --time.unit and --time.rate, or raise "
            "--max_blank"
        )


def _check_observers(path: Path, gaze: pd.DataFrame, used: pd.DataFrame, named: bool) -> list[str]:
    """Name observers without a sample on the video; refuse if they are most."""
    names = list(map(str, gaze["observer"].cat.categories))
    if len(names) == 1 and not named and gaze["duration"].isna().all():
        jumps = np.hypot(*(used[axis].diff() for axis in "xy")).median()
        text = (
            f"half of the samples lie {jumps:.0%} of the video or more from the one before, as where several viewers "
            "are in one table: name their column with --columns.observer"
        )
        return [text] * bool(jumps > JUMP)
    without = [name for name in names if not (used["observer"] == name).any()]
    if not without:
        return []
    text = f"{len(without)} of {len(names)} observers have no sample on the video: {', '.join(without[:10])}"
    if len(without) >= len(names) / 2:
        raise InputError(
            f"{path}: {text}; where each has a clock of its own give --columns.start, or --time.start first"
        )
    return [text]


def _pick_positions(table: pd.DataFrame, pick: Pick) -> pd.DataFrame:
    """Pick one position for each observer and frame: a table sorted by frame, then in the order of observers."""
    # stable: of two samples at one time the last row counts
    ordered = table.sort_values("time", kind="stable") if pick == "last" else table
    groups = ordered.groupby(["frame", "observer"], observed=True)[["x", "y"]]
    return {"median": groups.median, "mean": groups.mean, "last": groups.last}[pick]().reset_index()
