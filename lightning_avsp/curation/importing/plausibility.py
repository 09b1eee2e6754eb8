"""Placement of gaze on a video: what cannot be is refused, what is unlikely is noted with the option that mends it.

Mirrored and late gaze is noticed by its agreement with what moves and stands out in the film.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from lightning_avsp.curation.importing.settings import ScreenGeometry
from lightning_avsp.errors import InputError
from lightning_avsp.media.images import resize
from lightning_avsp.media.video import DecodedFrame

# viewers look at the middle: gaze centred further from it than this share of the video is unlikely
OFF_CENTRE = 0.17
NARROW = 0.1  # nobody looks at a tenth of the picture for a whole video
SWAPPED = 0.05  # below this share outside the video other axes are not worth a try
# shares of the video's width, generously: one degree is 2 to 4 per cent of a screen
SIGMA_LOW, SIGMA_HIGH = 0.005, 0.15


def judge_units(path: Path, good: pd.DataFrame, geometry: ScreenGeometry) -> None:
    """Refuse shares that are read as pixels, and pixels that are read as shares.

    Raises:
        InputError: With the option that mends it.
    """
    # a quantile: blinks throw single samples far away
    largest = float(np.nanquantile(np.abs(good[["x", "y"]].to_numpy()), 0.99))
    shares = geometry.coordinates.endswith("unit")
    whole = "screen" if geometry.coordinates.startswith("screen") else "video"
    # Inside one pixel at a corner nobody looks for a whole video.
    if not shares and largest <= 1.5 and min(geometry.extent) > 8:
        raise InputError(
            f"{path}: 99% of x and y lie within {largest:g}, read as pixels of the {whole}: they are shares; give "
            f"--screen.coordinates {whole}_unit"
        )
    if shares and largest > 8:
        raise InputError(
            f"{path}: x and y reach {largest:g}, read as shares of the {whole}, 0 to 1: they are pixels; give "
            f"--screen.coordinates {whole}"
        )


def lies_on(u: pd.Series, v: pd.Series) -> pd.Series:
    """True for shares of the video that lie on it."""
    return (u >= 0) & (u < 1) & (v >= 0) & (v < 1)


def judge_placement(
    path: Path, samples: pd.DataFrame, geometry: ScreenGeometry, outside: float, allowed: float
) -> list[str]:
    """Compare samples during the video with where the video is said to lie.

    Args:
        path: File of the samples.
        samples: ``x`` and ``y`` as they were written.
        geometry: Position of the video on the screen.
        outside: Share of the samples that lie outside the video.
        allowed: Largest such share.

    Returns:
        A line of plausibility, and remarks on what is unlikely.

    Raises:
        InputError: If more lie outside, or far fewer would with swapped axes or another origin.
    """
    x, y = samples["x"], samples["y"]
    readings = {
        "with x and y swapped: exchange --columns.x and --columns.y": (geometry, y, x),
        "if they counted from the middle: give --screen.origin centre": (
            replace(geometry, origin="centre"),
            x,
            y,
        ),
    }
    # with few samples outside, another reading always fits a little better
    for reading, (other, across, down) in readings.items() if outside >= SWAPPED else ():
        less = float(1 - lies_on(*other.in_video(across, down)).mean())
        if less < outside / 4:
            raise InputError(
                f"{path}: {outside:.0%} of the valid samples lie outside the video, {less:.0%} would {reading}"
            )
    if outside > allowed or outside == 1:
        raise InputError(
            f"{path}: {outside:.0%} of the valid samples lie outside the video (at most {allowed:.0%}); x runs from "
            f"{x.min():g} to {x.max():g}, y from {y.min():g} to {y.max():g}, read as {geometry.coordinates!r} for a "
            f"video of {geometry.video[0]} x {geometry.video[1]}: correct the --screen options, or raise --max_outside"
        )
    u, v = geometry.in_video(x, y)
    centre = (float(u.median()), float(v.median()))
    spread = [float(each.quantile(0.95) - each.quantile(0.05)) for each in (u, v)]
    notes = [
        f"placement: {1 - outside:.1%} of the samples during the video lie on it, their centre {centre[0]:.0%} from "
        f"the left and {centre[1]:.0%} from the top"
    ]
    if math.hypot(centre[0] - 0.5, centre[1] - 0.5) > OFF_CENTRE:
        notes.append(
            "the centre of gaze is far from the middle of the video, where viewers look most: compare --screen.size, "
            "--screen.video_at, --screen.video_shown and --screen.origin with the recording, and look at the picture"
        )
    if max(spread) < NARROW and len(samples) > 100:
        notes.append(
            f"90% of the gaze lie within {spread[0]:.1%} x {spread[1]:.1%} of the video: degrees of visual angle or "
            "another unit may be meant; give positions in pixels or shares (--screen.coordinates)"
        )
    if outside > SWAPPED:
        notes.append(
            f"{outside:.0%} outside the video is much: where it was shown with bars beside it, give --screen.video_at "
            "and --screen.video_shown (or fit)"
        )
    return notes


def judge_sigma(sigma: tuple[float, float], size: tuple[int, int]) -> list[str]:
    """Remark on an unusual width of the Gaussian, in pixels (rows, columns) of maps of (H, W)."""
    share = sigma[1] / size[1]
    if SIGMA_LOW <= share <= SIGMA_HIGH:
        return []
    return [
        f"sigma is {share:.2%} of the video's width, usual are {SIGMA_LOW:.1%} to {SIGMA_HIGH:.0%}: compare "
        "--maps.sigma (pixels of the video) or --maps.sigma_degrees with the recording"
    ]


def draw_placement(frames: Mapping[int, np.ndarray], points: tuple[np.ndarray, ...], path: Path) -> None:
    """Write frames beside each other with the gaze over them.

    Args:
        frames: RGB, uint8 (H, W, 3), by number from 0.
        points: For each frame of the video positions as shares, float64 (N, 2), (x, y).
        path: Image to write.
    """
    height, panels = 270, []
    for number, pixels in sorted(frames.items()):
        width = max(1, round(pixels.shape[1] / pixels.shape[0] * height))
        panel = Image.fromarray(resize(pixels, (height, width)))
        pen = ImageDraw.Draw(panel)
        for x, y in points[number] * (width, height):
            for radius, colour in ((5, "black"), (4, "yellow")):
                pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=2)
        pen.text(
            (4, 4),
            f"frame {number + 1}, {len(points[number])} observers",
            fill="yellow",
            stroke_width=1,
            stroke_fill="black",
        )
        panels.append(panel)
    sheet = Image.new("RGB", (sum(panel.width for panel in panels), height))
    left = 0
    for panel in panels:
        sheet.paste(panel, (left, 0))
        left += panel.width
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=90)


GRID = (24, 32)  # a cell is about a degree of a screen wide, as much as trackers err
SHIFTS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)  # from half a second on: viewers themselves are late by 0.2 s
# neighbouring frames are alike: a second counts as one observation, and so many are needed
BLOCK_S, FEWEST_BLOCKS = 1.0, 6
AGREES = 0.3  # standard deviations above the mean: below this gaze follows nothing that the sketch can see
LESS = 0.6  # as it was given gaze agrees by at most this part of that, or nothing is said
CERTAIN = 4.0  # standard errors, since thirteen readings are compared and a remark must not be chance


class FilmSketch:
    """Salient places of each frame of a film, and some frames as they are, collected while it is decoded.

    Args:
        wanted: Indices of frames to keep, from 0.
    """

    def __init__(self, wanted: Collection[int]) -> None:
        self.wanted = wanted
        self.kept: dict[int, np.ndarray] = {}
        """Wanted frames, RGB, uint8 (H, W, 3)."""
        self.maps: list[np.ndarray] = []
        """Conspicuity of each frame: contrast and motion, standardised, float16 of the grid."""
        self._previous: np.ndarray | None = None

    def look(self, frame: DecodedFrame) -> None:
        """Take the next frame."""
        if frame.index in self.wanted:
            self.kept[frame.index] = frame.pixels
        # sixteen pixels of a cell of the grid are enough for its mean
        step = max(1, min(frame.pixels.shape[0] // GRID[0], frame.pixels.shape[1] // GRID[1]) // 4)
        small = resize(np.ascontiguousarray(frame.pixels[::step, ::step]), GRID).astype(np.float32).mean(-1)
        contrast = np.abs(small - gaussian_filter(small, 3))
        motion = np.abs(small - (small if self._previous is None else self._previous))
        # each over its own mean: a still film has only contrast, a cut only motion
        total = gaussian_filter(sum(each / (each.mean() + 1) for each in (contrast, motion)), 1)
        self.maps.append(((total - total.mean()) / (total.std() + 1e-3)).astype(np.float16))
        self._previous = small

    def judge(self, points: tuple[np.ndarray, ...], source: np.ndarray, fps: float) -> list[str]:
        """Remark on gaze that agrees with the film only upside down, or earlier or later.

        Args:
            points: For each frame of the corpus positions as shares of the video, float64 (N, 2), (x, y).
            source: Index of the film's frame that each shows, int64 (F,).
            fps: Frames of the corpus per second.
        """
        maps = np.stack(self.maps)[source].astype(np.float32)  # (F, rows, columns)
        frame = np.repeat(np.arange(len(points)), [len(each) for each in points])
        row, column = (
            np.minimum(
                np.concatenate([each[:, axis] for each in points]) * GRID[side], GRID[side] - 1
            ).astype(int)
            for axis, side in ((1, 0), (0, 1))
        )

        def agree(shift: int, mirrored: bool) -> np.ndarray:
            """Mean conspicuity at the gaze of each second, NaN without any."""
            at = frame - shift
            inside = (at >= 0) & (at < len(maps))
            rows = GRID[0] - 1 - row if mirrored else row
            values = maps[at[inside], rows[inside], column[inside]]
            block = (frame[inside] / (fps * BLOCK_S)).astype(int)
            length = int(len(maps) / (fps * BLOCK_S)) + 1
            counts = np.bincount(block, minlength=length)
            return np.bincount(block, values, length) / np.where(counts, counts, np.nan)

        given = agree(0, False)
        readings = {"upside down: compare --screen.origin (bottom_left: y counts upwards)": agree(0, True)}
        for seconds in (sign * each for each in SHIFTS for sign in (1, -1)):
            words = f"{abs(seconds):g} s {'earlier' if seconds > 0 else 'later'}: compare --time.start"
            readings[words] = agree(round(seconds * fps), False)
        if np.isfinite(given).sum() < FEWEST_BLOCKS:
            return []
        means = {name: float(np.nanmean(each)) for name, each in readings.items() if np.isfinite(each).any()}
        best = max(means, key=lambda name: means[name])
        own, mean, better = float(np.nanmean(given)), means[best], readings[best] - given
        better = better[np.isfinite(better)]
        error = better.std(ddof=1) / np.sqrt(len(better)) if len(better) >= FEWEST_BLOCKS else np.inf
        if mean < AGREES or own > LESS * mean or better.mean() < CERTAIN * error:
            return []
        return [
            f"the gaze lies {own:.2f} standard deviations above the mean of what moves and stands out in the film, and "
            f"{mean:.2f} if it is taken {best}"
        ]
