"""Films and gaze tables made on the spot."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def make_film(make_film: Callable[..., Path]) -> Callable[..., Path]:
    """A film of 20 frames of 48 x 96, 25 a second; frame i has grey level 40 + 7 i in its left half."""

    def make(name: str = "film.mp4", **settings: object) -> Path:
        small = {"frames": 20, "size": (48, 96), "options": {"crf": "10", "preset": "ultrafast"}}
        return make_film(name, **small | settings)

    return make


Row = tuple[str, float, float, float, int]


@pytest.fixture
def make_table(tmp_path: Path) -> Callable[..., Path]:
    """A CSV of (observer, time, x, y, valid)."""

    def make(rows: Sequence[Sequence[object]], name: str = "gaze.csv", delimiter: str = ",") -> Path:
        path = tmp_path / name
        with path.open("w", newline="") as file:
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerow(("observer", "time", "x", "y", "valid"))
            writer.writerows(rows)
        return path

    return make


@pytest.fixture
def gaze_rows() -> list[Row]:
    """Three observers at 100 samples per second over 0.8 s in a film of 96 x 48; every tenth sample invalid."""
    rng = np.random.default_rng(0)
    rows = []
    for observer in ("anna", "ben", "cleo"):
        place = rng.uniform(20, 40, size=2)
        for index in range(80):
            place = np.clip(place + rng.normal(0, 1.5, size=2), 2, 45)
            rows.append(
                (observer, 10.0 * index, round(place[0] * 2, 3), round(place[1], 3), int(index % 10 != 9))
            )
    return rows
