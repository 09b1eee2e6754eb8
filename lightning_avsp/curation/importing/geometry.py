"""Gaze coordinates as shares of the video, and pixels under a visual angle."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from lightning_avsp.errors import InputError

Coordinates = Literal["video", "screen", "video_unit", "screen_unit"]
"""Meaning of x and y: pixels of the video, pixels of the screen, or shares (0 to 1) of either. The origin is the
outer corner of the top left pixel, so pixel 0 covers 0 to 1."""
Origin = Literal["top_left", "bottom_left", "centre"]
"""Origin of x and y. From the bottom and from the centre y counts upwards."""


@dataclass(frozen=True)
class ScreenGeometry:
    """A video on a screen whose pixels are taken to be square.

    Raises:
        InputError: If the video does not lie on the screen, or the coordinates need a screen that is not given.
    """

    video: tuple[int, int]
    """(width, height) of the video in its own pixels."""
    coordinates: Coordinates
    screen: tuple[int, int] | None = None
    """(width, height) of the screen, needed for its coordinates and for a sigma in degrees."""
    at: tuple[float, float] = (0.0, 0.0)
    """(column, row) of the screen where the video begins."""
    shown: tuple[float, float] = (1.0, 1.0)
    """(width, height) of the screen that the video covers."""
    origin: Origin = "top_left"
    pixel_aspect: float = 1.0
    """Width of a pixel of the video over its height."""

    def __post_init__(self) -> None:
        """Check that the video is on the screen."""
        if self.screen is None:
            if self.coordinates in ("screen", "screen_unit"):
                raise InputError(
                    f"coordinates are {self.coordinates!r} but the screen's size is missing: give --screen.size "
                    "WIDTHxHEIGHT, or --screen.coordinates video if x and y are pixels of the video"
                )
            return
        (width, height), (wide, high), (left, top) = self.screen, self.shown, self.at
        if min(width, height, wide, high) <= 0:
            raise InputError(f"sizes must be positive, got screen {self.screen} and video {self.shown}")
        # The video may be cropped by the screen's edge, but not lie beside it.
        if not (-wide < left < width and -high < top < height):
            raise InputError(
                f"the video covers columns {left:g} to {left + wide:g} and rows {top:g} to {top + high:g}, the screen "
                f"has {width} x {height} pixels: correct --screen.video_at or --screen.video_shown"
            )

    def in_video(self, x: pd.Series, y: pd.Series) -> tuple[pd.Series, pd.Series]:
        """Gaze as shares of the video: 0 at its left (top) edge, 1 at its right (bottom) edge; float64 (N,) each."""
        wide, high = self.extent
        if self.origin != "top_left":
            y = high - y
        if self.origin == "centre":
            x, y = x + wide / 2, y - high / 2
        if self.coordinates.startswith("video"):
            return x / wide, y / high
        assert self.screen is not None
        return (
            (x * (self.screen[0] / wide) - self.at[0]) / self.shown[0],
            (y * (self.screen[1] / high) - self.at[1]) / self.shown[1],
        )

    @property
    def extent(self) -> tuple[int, int]:
        """(width, height) of what x and y count on, in their unit: (1, 1) for shares."""
        if self.coordinates.endswith("unit"):
            return 1, 1
        return self.video if self.coordinates == "video" or self.screen is None else self.screen


def screen_pixels(degrees: float, distance_cm: float, screen_cm: float, screen_px: int) -> float:
    """Pixels of the screen under a visual angle in its middle: ``2 d tan(angle / 2)`` times pixels per cm.

    Args:
        degrees: Visual angle.
        distance_cm: From the eye to the screen.
        screen_cm: Width of the screen.
        screen_px: The same in pixels.

    Raises:
        InputError: If a length is not positive, or the angle not between 0 and 180.
    """
    if min(distance_cm, screen_cm, screen_px) <= 0 or not 0 < degrees < 180:
        raise InputError(
            f"distance ({distance_cm} cm), screen width ({screen_cm} cm, {screen_px} pixels) and angle ({degrees} "
            "degrees, below 180) must be positive"
        )
    return 2 * distance_cm * math.tan(math.radians(degrees) / 2) * screen_px / screen_cm


def parse_pair(text: str, option: str, separator: str = "x") -> tuple[float, float]:
    """Parse ``1920x1080`` or ``320,180``.

    Raises:
        InputError: If it is anything else.
    """
    number = r"(-?[0-9]+(?:\.[0-9]+)?)"
    match = re.fullmatch(f"{number} *{separator} *{number}", text.strip())
    if match is None:
        raise InputError(f"{option} is {text!r}; give two numbers such as {'1920' + separator + '1080'}")
    return float(match[1]), float(match[2])


def parse_size(text: str, option: str) -> tuple[int, int]:
    """Parse ``1920x1080`` as (width, height).

    Raises:
        InputError: If it is not a pair of whole, positive numbers.
    """
    width, height = parse_pair(text, option)
    if width < 1 or height < 1 or width % 1 or height % 1:
        raise InputError(f"{option} is {text!r}; give whole, positive WIDTHxHEIGHT")
    return int(width), int(height)
