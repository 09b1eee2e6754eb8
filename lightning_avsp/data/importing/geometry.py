"""Where the film was on the screen, and how many of its pixels a degree of visual angle covers."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lightning_avsp.errors import InputError

Coordinates = Literal["film", "screen", "film_unit", "screen_unit"]
"""What x and y count: pixels of the film, pixels of the screen, or shares (0 to 1) of either. The origin is the
outer corner of the top left pixel, so pixel 0 covers 0 to 1."""


@dataclass(frozen=True)
class Placement:
    """A film on a screen; pixels of the screen, which are taken to be square."""

    screen: tuple[int, int]
    """(width, height) of the screen."""
    left: float
    """Column of the screen where the film begins."""
    top: float
    """Row of the screen where it begins."""
    shown: tuple[float, float]
    """(width, height) of the screen that the film covers."""

    def __post_init__(self) -> None:
        """Check that the film is on the screen."""
        (width, height), (wide, high) = self.screen, self.shown
        if min(width, height, wide, high) <= 0:
            raise InputError(f"sizes must be positive, got screen {self.screen} and film {self.shown}")
        # The film may be cropped by the screen's edge, but not lie beside it.
        if not (-wide < self.left < width and -high < self.top < height):
            raise InputError(
                f"the film covers columns {self.left:g} to {self.left + wide:g} and rows {self.top:g} to "
                f"{self.top + high:g}, the screen has {width} x {height} pixels: correct --film_at or --film_shown"
            )


@dataclass(frozen=True)
class Geometry:
    """How gaze coordinates become places in the film."""

    film: tuple[int, int]
    """(width, height) of the film in its own pixels."""
    coordinates: Coordinates
    placement: Placement | None = None
    """Needed for coordinates of the screen, and for a sigma in degrees."""

    def __post_init__(self) -> None:
        """Check that coordinates of the screen can be placed."""
        if self.placement is None and self.coordinates in ("screen", "screen_unit"):
            raise InputError(
                f"coordinates are {self.coordinates!r} but the screen is not known: give --screen WIDTHxHEIGHT, or "
                "--coordinates film if x and y are pixels of the film"
            )

    def in_film(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gaze as shares of the film: 0 at its left (top) edge, 1 at its right (bottom) edge; float64 (N,) each."""
        if self.coordinates == "film_unit":
            return x, y
        if self.coordinates == "film":
            return x / self.film[0], y / self.film[1]
        assert self.placement is not None
        wide, high = self.placement.screen if self.coordinates == "screen_unit" else (1, 1)
        left, top = self.placement.left, self.placement.top
        return (x * wide - left) / self.placement.shown[0], (y * high - top) / self.placement.shown[1]


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


def map_sigma(
    map_size: tuple[int, int],
    film: tuple[int, int],
    pixels: float | None,
    placement: Placement | None = None,
    on_screen: float | None = None,
) -> tuple[float, float]:
    """Standard deviation of the Gaussian in rows and columns of the map.

    Args:
        map_size: (height, width) of the map.
        film: (width, height) of the film.
        pixels: Sigma in pixels of the film, or None.
        placement: Where the film was, if sigma is given on the screen.
        on_screen: Sigma in pixels of the screen (:func:`screen_pixels`), or None.

    Returns:
        (rows, columns); they differ where film and map have different aspect ratios.
    """
    if pixels is not None:
        return pixels * map_size[0] / film[1], pixels * map_size[1] / film[0]
    assert placement is not None
    assert on_screen is not None
    return on_screen * map_size[0] / placement.shown[1], on_screen * map_size[1] / placement.shown[0]


def parse_pair(text: str, what: str, separator: str = "x") -> tuple[float, float]:
    """``1920x1080`` or ``320,180`` as two numbers.

    Raises:
        InputError: If it is anything else.
    """
    number = r"(-?[0-9]+(?:\.[0-9]+)?)"
    match = re.fullmatch(f"{number} *{separator} *{number}", text.strip())
    if match is None:
        raise InputError(f"{what} is {text!r}; give two numbers such as {'1920' + separator + '1080'}")
    return float(match[1]), float(match[2])


def parse_size(text: str, what: str) -> tuple[int, int]:
    """``1920x1080`` as (width, height).

    Raises:
        InputError: If it is no pair of whole, positive numbers.
    """
    width, height = parse_pair(text, what)
    if width < 1 or height < 1 or width % 1 or height % 1:
        raise InputError(f"{what} is {text!r}; give whole, positive WIDTHxHEIGHT")
    return int(width), int(height)
