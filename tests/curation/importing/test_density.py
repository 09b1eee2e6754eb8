from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_avsp.curation.importing.clock import make_clock
from lightning_avsp.curation.importing.geometry import ScreenGeometry, parse_size, screen_pixels
from lightning_avsp.curation.importing.writing import as_image, fixated_pixels, gaussian_sum
from lightning_avsp.errors import InputError

shares = st.lists(
    st.tuples(st.floats(0, 0.9999), st.floats(0, 0.9999)).map(list), min_size=1, max_size=6
).map(np.array)


@given(shares, st.floats(0.5, 9), st.floats(0.5, 9))
def test_the_sum_equals_loops_over_pixels(points: np.ndarray, down: float, across: float) -> None:
    height, width = 7, 11
    found = gaussian_sum(points, (height, width), (down, across))
    for row in range(height):
        for column in range(width):
            direct = sum(
                math.exp(
                    -((row + 0.5 - y * height) ** 2) / (2 * down**2)
                    - (column + 0.5 - x * width) ** 2 / (2 * across**2)
                )
                for x, y in points
            )
            assert found[row, column] == pytest.approx(direct, abs=1e-12)  # six float64 values below 1


def test_the_peak_is_255_and_nothing_stays_nothing() -> None:
    picture = as_image(gaussian_sum(np.array([[0.2, 0.7], [0.21, 0.7]]), (40, 60), (3.0, 3.0)))
    assert picture.max() == 255
    assert not as_image(gaussian_sum(np.zeros((0, 2)), (4, 6), (3.0, 3.0))).any()


def test_points_lie_in_their_pixel_up_to_the_last() -> None:
    nearly = np.nextafter(1.0, 0.0)
    matrix = fixated_pixels(np.array([[0.0, 0.0], [nearly, nearly], [0.5, 0.0], [0.5, 0.001]]), (3, 7))
    assert {tuple(point) for point in np.argwhere(matrix)} == {(0, 0), (2, 6), (0, 3)}


def test_a_degree_at_57_cm_is_about_a_centimetre() -> None:
    # 57.3 cm times the tangent of half a degree is 0.50004
    assert screen_pixels(1.0, 57.3, 40.0, 1600) == pytest.approx(40.0, rel=1e-3)
    assert screen_pixels(2.0, 60.0, 50.0, 1000) == 2 * 60 * math.tan(math.radians(1)) * 20
    with pytest.raises(InputError, match="must be positive"):
        screen_pixels(1.0, 0.0, 40.0, 1600)


def test_a_video_beside_the_screen_is_refused() -> None:
    with pytest.raises(InputError, match="columns 1200 to 1300"):
        ScreenGeometry((100, 50), "screen", (1000, 500), (1200.0, 0.0), (100.0, 50.0))
    with pytest.raises(InputError, match="WIDTHxHEIGHT"):
        parse_size("10.5x20", "--screen")


def test_times_with_a_little_jitter_are_numbered_as_they_come() -> None:
    times = np.round(np.arange(100) / 29.97 * 1000) / 1000  # milliseconds, as matroska keeps them
    clock = make_clock(times, 100 / 29.97, 29.97)
    assert clock.even
    assert clock.fps == 29.97
    assert clock.drift < 0.05
    assert clock.frame_at(np.array([-0.001, 0.0, times[50], times[51] - 1e-9, 3.4, np.nan])).tolist() == [
        -1,
        0,
        50,
        50,
        -1,
        -1,
    ]


def test_a_rate_that_the_container_misstates_is_measured() -> None:
    clock = make_clock(np.arange(200) / 25.0, 8.0, 30.0)
    assert clock.even
    assert clock.fps == pytest.approx(25.0)


def test_the_last_picture_of_a_slideshow_stays() -> None:
    clock = make_clock(np.array([0.0, 1.0, 2.0]), 7.0, 3 / 7)
    assert clock.source.tolist() == [0, 1, 2, 2, 2, 2, 2]
    assert (clock.fps, clock.seconds, clock.even) == (1.0, 7.0, False)
