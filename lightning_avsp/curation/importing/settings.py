"""Settings of an import in groups, as the command line has them, checked before the video is opened."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

import pandas as pd

from lightning_avsp.curation.importing.numbers import Decimal
from lightning_avsp.errors import InputError, require_range

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


def parse_size(text: str, option: str, form: str = "WIDTHxHEIGHT") -> tuple[int, int]:
    """Parse ``1920x1080`` as the two lengths, in the order that ``form`` names.

    Raises:
        InputError: If it is not a pair of whole, positive numbers.
    """
    match = re.fullmatch("([1-9][0-9]*) *x *([1-9][0-9]*)", text.strip().lower())
    if match is None:
        raise InputError(f"{option} is {text!r}; give whole, positive {form}")
    return int(match[1]), int(match[2])


Format = Literal["auto", "table", "eyelink", "neon", "pupil", "tobii", "diem", "coord", "webgazer"]
"""Exports of trackers (:mod:`~lightning_avsp.curation.importing.formats`); auto recognises what is unmistakable."""
TimeUnit = Literal["s", "ms", "us", "ns", "frame"]
Pick = Literal["median", "mean", "last"]


@dataclass(frozen=True)
class Columns:
    """Columns of a gaze table, by name, or by number from 1 in a table without a header.

    Args:
        observer: Name of the observer; empty for a table of one observer.
        time: Time, or number of the frame.
        x: Horizontal position; two columns with a comma between them are two eyes, averaged where both are valid.
        y: Vertical position, likewise.
        valid: Validity of the sample, or of each eye; empty for a table without such a column.
        valid_is: Values of that column that mean valid, with commas between them, or a limit such as >=0.6 for a
            confidence; true, 1, valid, yes by default.
        start: Time at which the first frame was shown, for viewers with clocks of their own.
        duration: Duration of a fixation, in the unit of time, for a table of fixations.
        decimal: Decimal mark; auto decides for each column from the whole column.
    """

    observer: str = "observer"
    time: str = "time"
    x: str = "x"
    y: str = "y"
    valid: str = "valid"
    valid_is: str = ""
    start: str = ""
    duration: str = ""
    decimal: Decimal = "auto"


@dataclass(frozen=True)
class TimeStamps:
    """Time column of a gaze table.

    Args:
        unit: Unit of times; frame for frame numbers.
        start: Time at which the first frame was shown, in that unit; number of the first frame for frame; first for the
            first sample of each viewer.
        rate: Samples per second of the tracker, to check times against. Samples of a tracker slower than the video
            hold until the next is due.
    """

    unit: TimeUnit = "ms"
    start: float | Literal["first"] = 0.0
    rate: float | None = None


@dataclass(frozen=True)
class EyeLink:
    """Recordings of an EyeLink (.asc), read with pymovements; columns are not used.

    Args:
        start_message: Text of the message at whose time the first frame was shown, found in each recording; time.start
            then counts from there.
        samples: Samples to use: all, or those inside the fixations that the tracker detected.
    """

    start_message: str = ""
    samples: Literal["all", "fixations"] = "all"


@dataclass(frozen=True)
class Screen:
    """Position of the video on the screen.

    Args:
        coordinates: Meaning of x and y: pixels or shares (0 to 1) of video or screen; auto is screen if its size is
            given, else video; unit is screen_unit or video_unit likewise.
        size: WIDTHxHEIGHT of the screen in pixels.
        video_at: COLUMN,ROW of the screen where the video began; needed if it did not fill the screen.
        video_shown: WIDTHxHEIGHT of the screen that the video covered; fit (as large as possible, in the middle) or
            unscaled (in the middle), without video_at.
        width_cm: Width of the screen.
        distance_cm: Distance from the eyes to the screen.
        origin: Where x and y are 0; y counts upwards from the bottom and from the centre.
    """

    coordinates: Literal["auto", "unit", "video", "screen", "video_unit", "screen_unit"] = "auto"
    size: str = ""
    video_at: str = ""
    video_shown: str = ""
    width_cm: float | None = None
    distance_cm: float | None = None
    origin: Origin = "top_left"


@dataclass(frozen=True)
class MapSettings:
    """Maps and fixations.

    Args:
        sigma: Standard deviation of the Gaussian in pixels of the video.
        sigma_degrees: The same in degrees of visual angle; needs screen.size, screen.width_cm and screen.distance_cm.
        pick: Position that stands for an observer's samples during a frame.
        size: WIDTHxHEIGHT of maps and fixation matrices; that of the video by default.
    """

    sigma: float | None = None
    sigma_degrees: float | None = None
    pick: Pick = "median"
    size: str = ""


@dataclass(frozen=True)
class Files:
    """Written files.

    Args:
        frames: jpeg writes each frame; video keeps a copy of the video, which is decoded whenever it is read.
        quality: JPEG quality of frames and maps, 1 to 100.
        audio_rate: Samples per second of the audio.
    """

    frames: Literal["jpeg", "video"] = "jpeg"
    quality: int = 95
    audio_rate: int = 22_050


@dataclass(frozen=True)
class ImportSettings:
    """Everything that decides the files of a video.

    Args:
        columns: Columns of a gaze table.
        time: Time column of a gaze table.
        eyelink: EyeLink recordings.
        format: Export of a tracker, with its columns and units; auto recognises what is unmistakable, table none.
        screen: Position of the video on the screen.
        maps: Maps and fixations.
        files: Written files.
        drop_zero: Count samples at exactly (0, 0) as lost.
        max_outside: Share of valid samples outside the video from which on the geometry is taken to be wrong.
        max_blank: Share of frames between a recording's first and last sample that may be without any.

    Raises:
        InputError: If settings contradict each other.
    """

    columns: Columns = field(default_factory=Columns)
    time: TimeStamps = field(default_factory=TimeStamps)
    eyelink: EyeLink = field(default_factory=EyeLink)
    format: Format = "auto"
    screen: Screen = field(default_factory=Screen)
    maps: MapSettings = field(default_factory=MapSettings)
    files: Files = field(default_factory=Files)
    drop_zero: bool = False
    max_outside: float = 0.5
    max_blank: float = 0.05

    def __post_init__(self) -> None:
        """Check what types cannot."""
        maps, screen, files = self.maps, self.screen, self.files
        # no default: a map's width decides every score on it
        if (maps.sigma is None) == (maps.sigma_degrees is None):
            raise InputError(
                f"give one of --maps.sigma (pixels of the video) and --maps.sigma_degrees, got {maps.sigma} and "
                f"{maps.sigma_degrees}; one degree of visual angle is usual"
            )
        if maps.sigma_degrees is not None:
            missing = [name for name in ("size", "width_cm", "distance_cm") if not getattr(screen, name)]
            if missing:
                raise InputError(f"a sigma in degrees needs --screen.{', --screen.'.join(missing)} too")
        if not screen.size and (screen.video_at or screen.video_shown):
            raise InputError("--screen.video_at and --screen.video_shown need --screen.size too")
        for name, text in (("--screen.size", screen.size), ("--maps.size", maps.size)):
            if text:
                parse_size(text, name)
        require_range(1, 100, **{"--files.quality": files.quality})
        require_range(1, **{"--files.audio_rate": files.audio_rate})
        require_range(0, 1, **{"--max_outside": self.max_outside, "--max_blank": self.max_blank})
        require_range(1e-6, **{"--maps.sigma": maps.sigma, "--time.rate": self.time.rate})
        require_range(1e-6, 90, **{"--maps.sigma_degrees": maps.sigma_degrees})
        require_range(
            1e-6, **{"--screen.width_cm": screen.width_cm, "--screen.distance_cm": screen.distance_cm}
        )

    def geometry(self, video: tuple[int, int], pixel_aspect: float = 1.0) -> ScreenGeometry:
        """Position on the screen of a video of (width, height) pixels.

        Args:
            video: Size of the stored frames.
            pixel_aspect: Width of a pixel over its height, as the video is shown.

        Raises:
            InputError: If the video has another size than the screen and its position is not given.
        """
        given, whole = self.screen, ("screen" if self.screen.size else "video")
        # x and y of a tracker count on the screen, and without its size on the video
        names = {"auto": whole, "unit": f"{whole}_unit"}
        coordinates = cast("Coordinates", names.get(given.coordinates, given.coordinates))
        if not given.size:
            return ScreenGeometry(video, coordinates, origin=given.origin, pixel_aspect=pixel_aspect)
        size = parse_size(given.size, "--screen.size")
        natural = (video[0] * pixel_aspect, float(video[1]))  # as players show it
        scale = min(size[0] / natural[0], size[1] / natural[1])
        if given.video_shown in ("fit", "unscaled"):
            if given.video_at:
                raise InputError(
                    f"--screen.video_shown {given.video_shown} has a place of its own; omit --screen.video_at"
                )
            scale = scale if given.video_shown == "fit" else 1.0
            shown = (natural[0] * scale, natural[1] * scale)
            at = ((size[0] - shown[0]) / 2, (size[1] - shown[1]) / 2)
        elif given.video_at and given.video_shown:
            at = parse_pair(given.video_at, "--screen.video_at", ",")
            shown = parse_pair(given.video_shown, "--screen.video_shown")
        elif max(abs(natural[0] - size[0]), abs(natural[1] - size[1])) < 1:
            at = parse_pair(given.video_at, "--screen.video_at", ",") if given.video_at else (0.0, 0.0)
            shown = parse_pair(given.video_shown, "--screen.video_shown") if given.video_shown else natural
        else:
            # both usual positions as options to copy, since nothing in the files tells which it was
            wide, high = natural[0] * scale, natural[1] * scale
            raise InputError(
                f"the video has {natural[0]:g} x {natural[1]:g} pixels, the screen {size[0]} x {size[1]}: "
                "give its position. Unscaled in the middle (--screen.video_shown unscaled): --screen.video_at "
                f"{(size[0] - natural[0]) / 2:g},{(size[1] - natural[1]) / 2:g} --screen.video_shown "
                f"{natural[0]:g}x{natural[1]:g}. As large as it fits (--screen.video_shown fit): --screen.video_at "
                f"{(size[0] - wide) / 2:g},{(size[1] - high) / 2:g} --screen.video_shown {wide:g}x{high:g}"
            )
        return ScreenGeometry(video, coordinates, size, at, shown, given.origin, pixel_aspect)

    def map_size(self, video: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the maps of a video of (width, height) pixels."""
        width, height = parse_size(self.maps.size, "--maps.size") if self.maps.size else video
        return height, width

    def map_sigma(self, geometry: ScreenGeometry) -> tuple[float, float]:
        """Sigma in (rows, columns) of the map; they differ where map and video have different aspect ratios."""
        (rows, columns), sigma, (wide, high) = self.map_size(geometry.video), self.maps.sigma, geometry.video
        # degrees are of the screen, and become pixels of the map by the part of it that the video covered
        if sigma is None:
            lengths = (self.maps.sigma_degrees, self.screen.distance_cm, self.screen.width_cm)
            assert geometry.screen is not None  # as __post_init__ has checked, and the three numbers
            degrees, distance, width = cast("tuple[float, float, float]", lengths)
            # under an angle in the middle of the screen lie 2 d tan(angle / 2) of its width
            sigma = 2 * distance * math.tan(math.radians(degrees) / 2) * geometry.screen[0] / width
            return sigma * rows / geometry.shown[1], sigma * columns / geometry.shown[0]
        # A pixel of the video is as high as sigma counts, and wider by its aspect.
        return sigma * rows / high, sigma / geometry.pixel_aspect * columns / wide

    def as_json(self) -> dict[str, Any]:
        """Flat settings for the record of the import, e.g. ``maps.sigma``."""
        flat: dict[str, Any] = {}
        for name, value in asdict(self).items():
            group = value if isinstance(value, dict) else {"": value}
            flat |= {f"{name}.{key}".rstrip("."): each for key, each in group.items()}
        return flat


def check_video_name(name: str) -> str:
    """Return a name that can be a folder on every system and a word in a list.

    Raises:
        InputError: If it cannot.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", name):
        # a line of a fold list is split at spaces, and the name is a folder
        near = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_.-") or "video"
        raise InputError(
            f"{name!r} cannot name a video: letters, digits, '_', '.' and '-' only; give --video_name {near}"
        )
    return name


def parse_splits(text: str, existing: tuple[int, ...]) -> tuple[int, ...]:
    """Parse ``1``, ``1,3`` or ``all`` (every split that the corpus has already, split 1 for a new one).

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
