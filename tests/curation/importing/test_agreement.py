"""Gaze that follows a film only upside down, or at another time, is noticed; right and aimless gaze is not."""

from __future__ import annotations

import numpy as np
import pytest

from lightning_avsp.curation.importing.plausibility import FilmSketch
from lightning_avsp.media.video import DecodedFrame

FPS, FRAMES = 10, 120


@pytest.fixture(scope="module")
def film() -> tuple[FilmSketch, np.ndarray]:
    """A disc that wanders over noise, and its places as shares of the film, (F, 2)."""
    generator = np.random.default_rng(0)
    time = np.arange(FRAMES) / FPS
    places = np.stack([0.5 + 0.3 * np.sin(1.3 * time), 0.45 + 0.3 * np.sin(0.9 * time + 1)], 1)
    noise = generator.integers(90, 130, (72, 128, 3))
    rows, columns = np.mgrid[:72, :128]
    sketch = FilmSketch({5})
    for index, (x, y) in enumerate(places):
        disc = np.hypot(rows - y * 72, columns - x * 128) < 8
        pixels = np.where(disc[..., None], 240, noise).astype(np.uint8)
        sketch.look(DecodedFrame(index, index, index / FPS, pixels))
    return sketch, places


def judge(film: tuple[FilmSketch, np.ndarray], places: np.ndarray) -> list[str]:
    generator = np.random.default_rng(1)
    points = (places[:, None] + generator.normal(0, 0.03, (FRAMES, 3, 2))).clip(0, 0.999)
    return film[0].judge(tuple(points), np.arange(FRAMES), FPS)


def test_gaze_upside_down_is_noted(film: tuple[FilmSketch, np.ndarray]) -> None:
    sketch, places = film
    assert list(sketch.kept) == [5]
    assert judge(film, places) == []
    (note,) = judge(film, places * (1, -1) + (0, 1))
    assert "if it is taken upside down: compare --screen.origin" in note


@pytest.mark.parametrize(("shift", "said"), [(10, "1 s earlier"), (-10, "1 s later")])
def test_gaze_of_another_time_is_noted(shift: int, said: str, film: tuple[FilmSketch, np.ndarray]) -> None:
    (note,) = judge(film, film[1][np.clip(np.arange(FRAMES) - shift, 0, FRAMES - 1)])
    assert f"if it is taken {said}: compare --time.start" in note


@pytest.mark.parametrize("spread", [0.0, 0.2])
def test_gaze_that_follows_nothing_is_not(spread: float, film: tuple[FilmSketch, np.ndarray]) -> None:
    aimless = 0.5 + np.random.default_rng(2).normal(0, spread, (FRAMES, 2))
    assert judge(film, aimless) == []
    assert film[0].judge((np.full((1, 2), 0.5),) * 30, np.arange(30), FPS) == []  # three seconds are too few
