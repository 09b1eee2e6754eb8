"""Placement of gaze on a video: what cannot be is refused, what is unlikely is noted with the option that mends it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from lightning_avsp.curation.importing.geometry import ScreenGeometry
from lightning_avsp.errors import InputError
from lightning_avsp.media.images import resize

OFF_CENTRE = 0.17
"""Viewers look at the middle: gaze whose centre is further from it than this share of the video is unlikely."""
NARROW = 0.1
"""Gaze of a whole video that covers less than this share of it in both directions is unlikely."""
SWAPPED = 0.05
"""Share outside the video from which on other axes are tried."""
SIGMA_LOW, SIGMA_HIGH = 0.005, 0.15
"""Usual sigma as a share of the video's width: one degree is 2 to 4 per cent of a screen."""


def judge_units(path: Path, good: pd.DataFrame, geometry: ScreenGeometry) -> None:
    """Refuse shares that are read as pixels, and pixels that are read as shares.

    Raises:
        InputError: With the option that mends it.
    """
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
