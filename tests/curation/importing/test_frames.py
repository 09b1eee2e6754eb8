"""Gaze of viewers on the frames of a video, maps of it, and placements that cannot be or are unlikely."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_avsp.curation.importing.frames import FrameGaze, assign_to_frames, make_clock
from lightning_avsp.curation.importing.gaze import read_gaze
from lightning_avsp.curation.importing.plausibility import FilmSketch, judge_sigma
from lightning_avsp.curation.importing.settings import (
    Columns,
    ImportSettings,
    MapSettings,
    Screen,
    ScreenGeometry,
    TimeStamps,
    parse_size,
)
from lightning_avsp.curation.importing.writing import as_image, fixated_pixels, gaussian_sum
from lightning_avsp.errors import InputError
from lightning_avsp.media.video import DecodedFrame

VIDEO = (640, 360)


def assign(
    table: pd.DataFrame,
    folder: Path,
    fps: float = 30.0,
    frames: int = 90,
    name: str = "gaze.csv",
    **changes: object,
) -> FrameGaze:
    """Gaze of a table on a video of even times."""
    path = folder / name
    table.to_csv(path, index=False)
    settings = ImportSettings(**{"maps": MapSettings(sigma=20.0), **changes})
    found = read_gaze(path, settings)
    clock = make_clock(np.arange(frames) / fps, frames / fps, fps)
    return assign_to_frames(path, found, clock, found.settings.geometry(VIDEO))


def samples(times: np.ndarray, observer: str = "anna", x: object = 320.0, y: object = 180.0) -> pd.DataFrame:
    return pd.DataFrame({"observer": observer, "time": times, "x": x, "y": y, "valid": 1})


@pytest.mark.parametrize("fps", [24.0, 25.0, 29.97, 30.0, 60.0])
@pytest.mark.parametrize("digits", [0, 2, 6])
def test_stamps_locked_to_frames_give_every_frame_its_sample(fps: float, digits: int, tmp_path: Path) -> None:
    numbers = np.arange(90)
    found = assign(samples(np.round(numbers / fps * 1000, digits), x=numbers * 7.0), tmp_path, fps)
    assert found.positions["frame"].tolist() == numbers.tolist()
    np.testing.assert_allclose(found.positions["x"], numbers * 7 / 640)
    if digits:  # twice the rate gives each frame two samples
        numbers = np.arange(180)
        table = samples(np.round(numbers / fps * 500, digits), x=numbers * 3.0)
        found = assign(table, tmp_path, fps, maps=MapSettings(sigma=20.0, pick="last"))
        np.testing.assert_allclose(found.positions["x"] * 640, np.arange(1, 180, 2) * 3.0)


def test_fixations_fill_the_frames_that_they_cover(tmp_path: Path) -> None:
    """The case of the tracker: every 220 ms a fixation of 200 ms, 50 frames of 40 ms."""
    onsets = np.arange(0, 2000, 220)
    table = samples(onsets, x=np.arange(len(onsets)) * 10.0).assign(duration=200)
    message = r"rows come every 220 ms, a frame lasts 40 ms: .* --columns\.duration"
    with pytest.raises(InputError, match=message):
        assign(table, tmp_path, 25.0, 50)
    found = assign(table, tmp_path, 25.0, 50, columns=Columns(duration="duration"))
    middles = 40 * np.arange(50) + 20
    shown = [np.flatnonzero((onsets <= m) & (m < onsets + 200)) for m in middles]
    expected = {frame: one[0] * 10.0 for frame, one in enumerate(shown) if len(one)}
    assert len(expected) == 46
    assert dict(zip(found.positions["frame"], (found.positions["x"] * 640).round(6), strict=True)) == expected
    short = samples(np.array([0.0, 45.0, 90.0, 500.0])).assign(duration=[30, 10, 5, 400])
    found = assign(short, tmp_path, 25.0, 25, columns=Columns(duration="duration"))
    assert found.positions["frame"].tolist() == [0, 1, 2, *range(12, 22)]


def test_a_slow_tracker_holds_its_sample(tmp_path: Path) -> None:
    times = np.arange(0, 3000, 100)
    with pytest.raises(InputError, match=r"--time\.rate"):
        assign(samples(times), tmp_path)
    found = assign(samples(times, x=times / 5), tmp_path, time=TimeStamps(rate=10.0))
    np.testing.assert_allclose(found.positions["x"] * 640, np.repeat(times / 5, 3), rtol=1e-12)
    film_rate = samples(np.arange(72) / 24 * 1000)  # not slow enough for a table of fixations
    with pytest.raises(InputError, match=r"frames between first and last sample .* --time\.rate"):
        assign(film_rate, tmp_path)
    assert assign(film_rate, tmp_path, time=TimeStamps(rate=24.0)).empty_frames == 0
    with pytest.raises(InputError, match=r"3\.33\d* rows per second, .* --columns\.duration"):
        assign(samples(np.arange(0, 3000, 300)), tmp_path)


def test_frames_without_a_row_are_refused_with_their_histogram(tmp_path: Path) -> None:
    times = np.delete(np.arange(0, 3000, 10.0), slice(100, 130))
    message = r"9 of 90 frames .* frames by samples: no sample: 9, 1: 0, 2: 0, 3: 54"
    with pytest.raises(InputError, match=message):
        assign(samples(times), tmp_path)
    assert assign(samples(times), tmp_path, max_blank=0.2).empty_frames == 9
    lost = samples(np.arange(0, 3000, 10.0))
    lost.loc[100:129, "x"] = np.nan  # rows of a blink are rows
    assert assign(lost, tmp_path).empty_frames == 9


@pytest.mark.parametrize("by", ["column", "first"])
def test_viewers_with_clocks_of_their_own(by: str, tmp_path: Path) -> None:
    every = np.arange(0, 3000, 20.0)
    starts = {"anna": 5_000.0, "ben": 900_000.0, "cleo": 77.0}
    table = pd.concat(
        [
            samples(every + start, name, x=100.0 + 10 * i).assign(began=start)
            for i, (name, start) in enumerate(starts.items())
        ]
    )
    message = r"2 of 3 observers have no sample on the video: anna, ben.*--columns\.start"
    with pytest.raises(InputError, match=message):
        assign(table, tmp_path)
    changes = {"columns": Columns(start="began")} if by == "column" else {"time": TimeStamps("ms", "first")}
    found = assign(table, tmp_path, **changes)
    assert found.observers == ("anna", "ben", "cleo")
    assert len(found.positions) == 270
    assert found.points[40].tolist() == [[100 / 640, 0.5], [110 / 640, 0.5], [120 / 640, 0.5]]


def test_viewers_without_a_column_are_refused_and_oddities_noted(tmp_path: Path) -> None:
    every = np.arange(0, 3000, 20.0)
    table = pd.concat([samples(every, name) for name in "abc"])
    with pytest.raises(InputError, match=r"67% of the samples have the time of another.*--columns\.observer"):
        assign(table.drop(columns="observer"), tmp_path, columns=Columns(observer=""))
    u, v = look(count=600)  # two viewers in turns, 10 ms apart, at places of their own
    mixed = samples(np.arange(0, 3000, 5.0), x=(u * 0.4 + 0.3 * (np.arange(600) % 2)) * 640, y=v * 360)
    found = assign(mixed.drop(columns="observer"), tmp_path, columns=Columns(observer=""))
    assert any("several viewers are in one table" in note for note in found.notes)
    found = assign(pd.concat([table, samples(every, "dora", x=np.nan)]), tmp_path)
    assert "1 of 4 observers have no sample on the video: dora" in found.notes
    found = assign(samples(np.arange(1000, 4000, 10.0)), tmp_path, max_blank=0.4)
    assert (
        "33% of the valid samples lie before or after the video of 3.00 s; times run from 1000 to 3990 ms: compare "
        "--time.start"
    ) in found.notes


def look(spread: float = 0.12, seed: int = 0, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the video at which a viewer looks, around its middle."""
    return tuple(np.random.default_rng(seed).normal(0.5, spread, (2, count)).clip(0, 0.999))


@pytest.mark.parametrize(
    ("x", "y", "middle", "screen", "said"),
    [
        (
            1.0,
            1.0,
            0,
            Screen(),
            r"pixels of the video: they are shares; give --screen\.coordinates video_unit",
        ),
        (640, 360, 0, Screen("video_unit"), r"they are pixels; give --screen\.coordinates video"),
        (360, 640, 0, Screen(), r"with x and y swapped: exchange --columns\.x and --columns\.y"),
        (640, 360, 0.5, Screen(), r"would if they counted from the middle: give --screen\.origin centre"),
        (1920, 1080, 0, Screen(), r"(9\d|100)% of the valid samples lie outside the video"),
    ],
)
def test_placements_that_cannot_be_are_refused(
    x: float, y: float, middle: float, screen: Screen, said: str, tmp_path: Path
) -> None:
    u, v = look()
    table = samples(np.arange(0, 3000, 10.0), x=(u - middle) * x, y=(v - middle) * y)
    with pytest.raises(InputError, match=said):
        assign(table, tmp_path, screen=screen)


@pytest.mark.parametrize(
    ("x", "y", "screen", "said"),
    [
        (0.5, 0.5, Screen(size="1280x720", video_shown="fit"), "centre of gaze is far from the middle"),
        (0.05, 0.05, Screen(), "another unit may be meant"),
        (1.25, 1.25, Screen(), "is much: where it was shown with bars"),
        # a screen of 1920 x 1080 was said to have 2560 x 1440; a letterbox above the video was not mentioned
        (3.0, 3.0, Screen(size="2560x1440", video_shown="fit"), "centre of gaze is far from the middle"),
        (1.0, 1.4, Screen(), "centre of gaze is far from the middle"),
    ],
)
def test_unlikely_placements_are_noted_with_their_option(
    x: float, y: float, screen: Screen, said: str, tmp_path: Path
) -> None:
    u, v = look(0.2)
    table = samples(np.arange(0, 3000, 10.0), x=u * 640 * x, y=v * 360 * y)
    found = assign(table, tmp_path, screen=screen)
    assert any(said in note for note in found.notes), found.notes
    u, v = look()
    clean = assign(samples(np.arange(0, 3000, 10.0), x=u * 640, y=v * 360), tmp_path)
    assert [note for note in clean.notes if not note.startswith("placement: 100.0%")] == []


@pytest.mark.parametrize(
    ("screen", "x", "y"),
    [
        (Screen(), 160.0, 90.0),
        (Screen("video_unit"), 0.25, 0.25),
        (Screen("screen", "1000x500", "200,100", "200x200"), 250.0, 150.0),
        (Screen("screen_unit", "1000x500", "200,100", "200x200"), 0.25, 0.3),
        (Screen(origin="bottom_left"), 160.0, 270.0),
        (Screen(origin="centre"), -160.0, 90.0),
        (Screen("video_unit", origin="bottom_left"), 0.25, 0.75),
        (Screen("unit", "1280x1024", video_shown="fit"), 0.25, (152 + 180) / 1024),
        (Screen(size="1280x1024", video_shown="unscaled", origin="bottom_left"), 480.0, 1024 - (332 + 90)),
    ],
)
def test_one_place_in_every_kind_of_coordinates(screen: Screen, x: float, y: float, tmp_path: Path) -> None:
    found = assign(samples(np.arange(0, 3000, 10.0), x=x, y=y), tmp_path, screen=screen)
    np.testing.assert_allclose(found.points[10], [[0.25, 0.25]])


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    """720 x 576 with pixels of 16:15 is shown as 768 x 576."""
    settings = ImportSettings(maps=MapSettings(sigma=16.0), screen=Screen(size="768x576"))
    geometry = settings.geometry((720, 576), 16 / 15)
    assert geometry.in_video(np.array([384.0]), np.array([288.0])) == (0.5, 0.5)
    np.testing.assert_allclose(settings.map_sigma(geometry), (16.0, 15.0))
    other = ImportSettings(maps=MapSettings(sigma=9.0), screen=Screen(size="1024x816"))
    message = r"the video has 768 x 576 pixels.*--screen.video_at 0,24 --screen.video_shown 1024x768"
    with pytest.raises(InputError, match=message):
        other.geometry((720, 576), 16 / 15)


def test_frame_numbers_from_one_are_recognised(tmp_path: Path) -> None:
    table = samples(np.arange(1, 91))
    with pytest.raises(InputError, match=r"numbered from 1 to 90, .* give --time\.start 1"):
        assign(table, tmp_path, time=TimeStamps("frame"))
    assert assign(table, tmp_path, time=TimeStamps("frame", 1)).empty_frames == 0
    found = assign(table[:-1], tmp_path, time=TimeStamps("frame"))
    assert any("is number 1: if numbers count from 1" in note for note in found.notes)


def test_every_sample_left_out_has_an_example(tmp_path: Path) -> None:
    table = samples(np.arange(0, 3010, 10.0))
    table.loc[3, "valid"], table.loc[5, "x"], table.loc[7, "x"] = 0, np.nan, -40
    found = assign(table, tmp_path)
    counts = {"total": 301, "invalid": 1, "missing": 1, "out_of_time": 1, "outside": 1, "used": 297}
    assert {key: found.counts[key] for key in counts} == counts
    assert found.examples == {
        "invalid": "gaze.csv, line 5: time 30, x 320, y 180",
        "missing": "gaze.csv, line 7: time 50, x nan, y 180",
        "out_of_time": "gaze.csv, line 302: time 3000, x 320, y 180",
        "outside": "gaze.csv, line 9: time 70, x -40, y 180",
    }


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


def test_sizes_on_the_screen() -> None:
    with pytest.raises(InputError, match="columns 1200 to 1300"):
        ScreenGeometry((100, 50), "screen", (1000, 500), (1200.0, 0.0), (100.0, 50.0))
    assert judge_sigma((20.0, 20.0), (360, 640)) == []
    (note,) = judge_sigma((1.0, 1.0), (360, 640))
    assert "0.16% of the video's width" in note


def test_clocks_of_jitter_misstated_rates_and_slideshows() -> None:
    times = np.round(np.arange(100) / 29.97 * 1000) / 1000  # milliseconds, as matroska keeps them
    clock = make_clock(times, 100 / 29.97, 29.97)
    assert (clock.even, clock.fps) == (True, 29.97)
    assert clock.drift < 0.05
    asked = np.array([-0.001, 0.0, times[50], times[51] - 1e-9, 3.4, np.nan])
    assert clock.frame_at(asked).tolist() == [-1, 0, 50, 50, -1, -1]
    clock = make_clock(np.arange(200) / 25.0, 8.0, 30.0)  # the container misstates the rate
    assert (clock.even, clock.fps) == (True, pytest.approx(25.0))
    clock = make_clock(np.array([0.0, 1.0, 2.0]), 7.0, 3 / 7)  # the last picture stays
    assert clock.source.tolist() == [0, 1, 2, 2, 2, 2, 2]
    assert (clock.fps, clock.seconds, clock.even) == (1.0, 7.0, False)


RATE, LENGTH = 10, 120


@pytest.fixture(scope="module")
def film() -> tuple[FilmSketch, np.ndarray]:
    """A disc that wanders over noise, and its places as shares of the film, (F, 2)."""
    generator = np.random.default_rng(0)
    time = np.arange(LENGTH) / RATE
    places = np.stack([0.5 + 0.3 * np.sin(1.3 * time), 0.45 + 0.3 * np.sin(0.9 * time + 1)], 1)
    noise = generator.integers(90, 130, (72, 128, 3))
    rows, columns = np.mgrid[:72, :128]
    sketch = FilmSketch({5})
    for index, (x, y) in enumerate(places):
        disc = np.hypot(rows - y * 72, columns - x * 128) < 8
        pixels = np.where(disc[..., None], 240, noise).astype(np.uint8)
        sketch.look(DecodedFrame(index, index, index / RATE, pixels))
    return sketch, places


def judge(film: tuple[FilmSketch, np.ndarray], places: np.ndarray) -> list[str]:
    generator = np.random.default_rng(1)
    points = (places[:, None] + generator.normal(0, 0.03, (LENGTH, 3, 2))).clip(0, 0.999)
    return film[0].judge(tuple(points), np.arange(LENGTH), RATE)


def test_gaze_upside_down_is_noted(film: tuple[FilmSketch, np.ndarray]) -> None:
    sketch, places = film
    assert list(sketch.kept) == [5]
    assert judge(film, places) == []
    (note,) = judge(film, places * (1, -1) + (0, 1))
    assert "if it is taken upside down: compare --screen.origin" in note


@pytest.mark.parametrize(("shift", "said"), [(10, "1 s earlier"), (-10, "1 s later")])
def test_gaze_of_another_time_is_noted(shift: int, said: str, film: tuple[FilmSketch, np.ndarray]) -> None:
    (note,) = judge(film, film[1][np.clip(np.arange(LENGTH) - shift, 0, LENGTH - 1)])
    assert f"if it is taken {said}: compare --time.start" in note


@pytest.mark.parametrize("spread", [0.0, 0.2])
def test_gaze_that_follows_nothing_is_not(spread: float, film: tuple[FilmSketch, np.ndarray]) -> None:
    aimless = 0.5 + np.random.default_rng(2).normal(0, spread, (LENGTH, 2))
    assert judge(film, aimless) == []
    assert film[0].judge((np.full((1, 2), 0.5),) * 30, np.arange(30), RATE) == []  # three seconds are too few


def test_sizes() -> None:
    assert parse_size("224x384", "--size", "HEIGHTxWIDTH") == (224, 384)
    for text in ("224", "224x", "x384", "0x4", "224x-1", "10.5x20", "a x b"):
        with pytest.raises(InputError, match="whole, positive HEIGHTxWIDTH"):
            parse_size(text, "--size", "HEIGHTxWIDTH")
