"""Time stamps of a tracker as seconds of the film, refused where they cannot be what they are said to be."""

from __future__ import annotations

import numpy as np

from lightning_avsp.data.importing.clock import FrameClock
from lightning_avsp.data.importing.gaze_table import GazeTable
from lightning_avsp.data.importing.settings import ImportSettings
from lightning_avsp.errors import InputError

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
#: Sampling rates that trackers (and mouse tracking) have, in Hz, generously.
SLOWEST, FASTEST = 4.0, 5000.0
#: A recording may be longer than its film by this factor, or shorter by it.
LONGER, SHORTER = 10.0, 0.02
#: By how much the rate of the time stamps may differ from the stated one.
RATE_TOLERANCE = 0.2


def film_seconds(
    table: GazeTable, clock: FrameClock, settings: ImportSettings, good: np.ndarray
) -> np.ndarray:
    """Seconds after the film's first frame of each sample, float64 (N,).

    Args:
        table: Samples.
        clock: The film's frames.
        settings: Unit, start and stated rate.
        good: Which samples count for plausibility, bool (N,).

    Raises:
        InputError: If length or rate of the recording are implausible in this unit; the message has both values and
            the units that would fit.
    """
    unit = settings.time_unit
    seconds = (table.time - settings.film_starts_at) * SECONDS[unit]
    interval = sampling_interval(table)
    if interval is not None:
        rate = 1 / (interval * SECONDS[unit])
        if not SLOWEST <= rate <= FASTEST:
            raise InputError(
                f"{table.path}: time in {unit} means {rate:g} samples per second, which no tracker takes "
                f"({SLOWEST:g} to {FASTEST:g}); {_fitting(interval)}"
            )
        if settings.rate is not None and abs(rate - settings.rate) > RATE_TOLERANCE * settings.rate:
            raise InputError(
                f"{table.path}: time in {unit} means {rate:g} samples per second, --rate says {settings.rate:g}; "
                "correct one of them"
            )
    span = float(np.ptp(seconds[good]))
    if not SHORTER * clock.seconds <= span <= LONGER * clock.seconds:
        raise InputError(
            f"{table.path}: time in {unit} means a recording of {span:g} s, the film lasts {clock.seconds:g} s; give "
            "another --time_unit, or a table of this film alone"
        )
    return seconds


def sampling_interval(table: GazeTable) -> float | None:
    """Median distance of one observer's consecutive time stamps, in their unit; None where nobody has two."""
    order = np.lexsort((table.time, table.observer))  # NaN last
    steps = np.diff(table.time[order])
    steps = steps[(np.diff(table.observer[order]) == 0) & (steps > 0)]
    return float(np.median(steps)) if steps.size else None


def _fitting(interval: float) -> str:
    fits = [
        f"{name} ({1 / (interval * scale):g} per second)"
        for name, scale in SECONDS.items()
        if SLOWEST <= 1 / (interval * scale) <= FASTEST
    ]
    return f"--time_unit {' or '.join(fits)} would fit" if fits else "check the time column"
