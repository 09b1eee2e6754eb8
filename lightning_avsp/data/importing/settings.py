"""Settings of an import, checked before the film is touched."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lightning_avsp.data.catalogue import Part
from lightning_avsp.data.importing.geometry import Coordinates, Geometry, Placement, map_sigma, screen_pixels
from lightning_avsp.errors import InputError

TimeUnit = Literal["s", "ms", "us", "frame"]
"""Unit of the time column; ``frame`` for a column of frame numbers."""

Pick = Literal["median", "mean", "last"]
"""Which place stands for an observer's samples during one frame: median or mean of x and of y, or the last sample."""

Pictures = Literal["jpeg", "film"]
"""``jpeg``: one file per frame. ``film``: a copy of the film, which is decoded whenever it is read."""

_VIDEO = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a gaze table."""

    observer: str = "observer"
    """Who looked; empty for a table of one observer."""
    time: str = "time"
    """When, or the frame's number."""
    x: str = "x"
    y: str = "y"
    valid: str = "valid"
    """Whether the sample is good; empty for a table without such a column."""
    valid_is: tuple[str, ...] = ()
    """Values of the last column that mean good; empty for true, 1, valid, yes (and false, 0, invalid, no for bad)."""


@dataclass(frozen=True)
class ImportSettings:
    """Everything that decides what is written for a video.

    Raises:
        InputError: If settings contradict each other.
    """

    columns: Columns = Columns()
    time_unit: TimeUnit = "ms"
    film_starts_at: float = 0.0
    """Value of the time column when the film's first frame was shown; the number of the first frame for ``frame``."""
    rate: float | None = None
    """Samples per second of the tracker, to check the time stamps against."""
    coordinates: Coordinates = "film"
    screen: tuple[int, int] | None = None
    """(width, height) of the screen in pixels."""
    film_at: tuple[float, float] | None = None
    """(column, row) of the screen where the film begins."""
    film_shown: tuple[float, float] | None = None
    """(width, height) of the screen that the film covered."""
    sigma: float | None = None
    """Standard deviation of the Gaussian in pixels of the film."""
    sigma_degrees: float | None = None
    """The same in degrees of visual angle."""
    screen_cm: float | None = None
    """Width of the screen."""
    distance_cm: float | None = None
    """From the eyes to the screen."""
    pick: Pick = "median"
    map_size: tuple[int, int] | None = None
    """(width, height) of maps; the film's if None."""
    pictures: Pictures = "jpeg"
    jpeg_quality: int = 95
    audio_rate: int = 22_050
    """Samples per second of the sound that is written."""
    drop_zero: bool = False
    """Whether samples at exactly (0, 0) count as lost, as many trackers write them."""
    max_outside: float = 0.5
    """Share of valid samples that may lie outside the film before the geometry is thought to be wrong."""

    def __post_init__(self) -> None:
        """Check what types cannot."""
        if (self.sigma is None) == (self.sigma_degrees is None):
            raise InputError(
                f"give one of --sigma (pixels of the film) and --sigma_degrees, got {self.sigma} and "
                f"{self.sigma_degrees}; one degree of visual angle is usual"
            )
        if (self.sigma if self.sigma is not None else 1) <= 0:
            raise InputError(f"sigma must be positive, got {self.sigma}")
        if self.sigma_degrees is not None:
            missing = [name for name in ("screen", "screen_cm", "distance_cm") if getattr(self, name) is None]
            if missing:
                raise InputError(f"sigma in degrees needs --{', --'.join(missing)} too")
        if self.screen is None and (self.film_at or self.film_shown):
            raise InputError("--film_at and --film_shown place the film on a screen: give --screen too")
        if not 1 <= self.jpeg_quality <= 100 or self.audio_rate < 1 or not 0 <= self.max_outside <= 1:
            raise InputError(
                "jpeg_quality must lie in 1 to 100, audio_rate above 0, max_outside in 0 to 1, got "
                f"{self.jpeg_quality}, {self.audio_rate}, {self.max_outside}"
            )
        if self.rate is not None and self.rate <= 0:
            raise InputError(f"rate must be positive, got {self.rate} samples per second")

    def geometry(self, film: tuple[int, int]) -> Geometry:
        """Placement of a film of (width, height) pixels.

        Raises:
            InputError: If the film is smaller or larger than the screen and nobody said where it was.
        """
        return Geometry(film, self.coordinates, self._placement(film))

    def sigma_on_map(self, film: tuple[int, int], map_size: tuple[int, int]) -> tuple[float, float]:
        """Sigma in (rows, columns) of a map of (height, width)."""
        if self.sigma_degrees is None:
            return map_sigma(map_size, film, self.sigma)
        assert self.screen is not None
        assert self.distance_cm is not None
        assert self.screen_cm is not None
        on_screen = screen_pixels(self.sigma_degrees, self.distance_cm, self.screen_cm, self.screen[0])
        return map_sigma(map_size, film, None, self._placement(film), on_screen)

    def _placement(self, film: tuple[int, int]) -> Placement | None:
        if self.screen is None:
            return None
        at, shown = self.film_at, self.film_shown
        if film != self.screen and (at is None or shown is None):
            scale = min(self.screen[0] / film[0], self.screen[1] / film[1])
            wide, high = film[0] * scale, film[1] * scale
            raise InputError(
                f"the film has {film[0]} x {film[1]} pixels, the screen {self.screen[0]} x {self.screen[1]}: say where "
                f"it was. Unscaled in the middle: --film_at {(self.screen[0] - film[0]) / 2:g},"
                f"{(self.screen[1] - film[1]) / 2:g} --film_shown {film[0]}x{film[1]}. As large as it fits: --film_at "
                f"{(self.screen[0] - wide) / 2:g},{(self.screen[1] - high) / 2:g} --film_shown {wide:g}x{high:g}"
            )
        left, top = at or (0.0, 0.0)
        return Placement(self.screen, left, top, shown or (float(film[0]), float(film[1])))

    def as_json(self) -> dict[str, Any]:
        """For the record of what was imported how."""
        return asdict(self)


def check_video_name(name: str) -> str:
    """A name that can be a folder on every system and a word in a list.

    Raises:
        InputError: If it cannot.
    """
    if not _VIDEO.fullmatch(name):
        near = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_.-") or "film"
        raise InputError(
            f"{name!r} cannot name a video: letters, digits, '_', '.' and '-' only; give --video_name {near}"
        )
    return name


def parse_splits(text: str, existing: tuple[int, ...]) -> tuple[int, ...]:
    """``1``, ``1,3`` or ``all`` (every split that the corpus has already, split 1 for a new one) as numbers.

    Raises:
        InputError: If it is anything else.
    """
    if text.strip().lower() == "all":
        return existing or (1,)
    try:
        splits = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        splits = ()
    if not splits or splits[0] < 1:
        raise InputError(f"split is {text!r}; give numbers from 1 on, e.g. 1 or 1,3, or all")
    return splits


OTHER: dict[Part, Part] = {"train": "test", "test": "train"}
"""The part that a video must not be in too."""
