"""A film and a table of gaze in, a video of a corpus out; maps against a direct computation."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import soundfile
from PIL import Image
from scipy.io import loadmat

from lightning_avsp.curation.check import check_corpora
from lightning_avsp.curation.importing import (
    Files,
    ImportSettings,
    MapSettings,
    Screen,
    TimeStamps,
    import_video,
    importer,
)
from lightning_avsp.curation.importing.observers import read_observers
from lightning_avsp.data.catalogue import read_own
from lightning_avsp.data.corpora import read_videos
from lightning_avsp.errors import InputError

PLAIN = ImportSettings(maps=MapSettings(sigma=6.0))


def direct_places(rows: Sequence[tuple], frame: int, reduce: Callable = np.median) -> np.ndarray:
    """Places (x, y) of each observer during a frame of 40 ms, by plain loops."""
    places = []
    for observer in sorted({row[0] for row in rows}):
        seen = [r for r in rows if r[0] == observer and r[4] and 40 * frame <= r[1] < 40 * (frame + 1)]
        if seen:
            places.append((reduce([r[2] for r in seen]), reduce([r[3] for r in seen])))
    return np.array(places).reshape(-1, 2)


def direct_map(places: np.ndarray, size: tuple[int, int], sigma: tuple[float, float]) -> np.ndarray:
    """Sum of Gaussians over a full grid, peak 255, without any of the package's code; places in map pixels."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    total = np.zeros(size)
    for x, y in places:
        total += np.exp(-((rows - y) ** 2) / (2 * sigma[0] ** 2) - (columns - x) ** 2 / (2 * sigma[1] ** 2))
    return total / total.max() * 255 if len(places) else total


def as_file(density: np.ndarray) -> np.ndarray:
    """What is left of a map after JPEG at quality 95."""
    picture = np.round(density).astype(np.uint8)[..., None]
    data = simplejpeg.encode_jpeg(picture, quality=95, colorspace="GRAY")
    return simplejpeg.decode_jpeg(data, "GRAY")[..., 0].astype(float)


def assert_map(found: np.ndarray, density: np.ndarray) -> None:
    """A map is the density after JPEG, but for a grey level, by which the sums may be rounded apart before it."""
    assert np.abs(found - as_file(density)).max() <= 1


FILM = 3
"""Grey levels by which H.264 and JPEG may change a plain picture."""
Lab = tuple[Path, Path, Path]


@pytest.fixture
def lab(make_film: Callable, make_table: Callable, gaze_rows: list, tmp_path: Path) -> Lab:
    """Root of a corpus to come, a video and its gaze."""
    return tmp_path / "root", make_film(), make_table(gaze_rows)


def read_maps(root: Path, corpus: str, video: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    folder = root / "annotations" / corpus / video
    maps = [np.asarray(Image.open(path), float) for path in sorted((folder / "maps").iterdir())]
    return maps, [loadmat(path)["eyeMap"] for path in sorted(folder.glob("fixMap_*.mat"))]


def test_maps_and_fixations_equal_a_direct_computation(
    make_film: Callable, make_table: Callable, gaze_rows: list, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    report = import_video(make_film(), make_table(gaze_rows), root, "Lab", PLAIN)
    maps, fixations = read_maps(root, "Lab", "film")
    assert len(maps) == len(fixations) == 20 == report.facts["frames"]
    assert report.facts["fps"] == 25
    for frame in range(20):
        places = direct_places(gaze_rows, frame)
        assert len(places) == 3
        expected = direct_map(places, (48, 96), (6.0, 6.0))
        assert_map(maps[frame], expected)
        assert np.abs(maps[frame] - expected).max() < 4  # what JPEG costs at quality 95
        matrix = np.zeros((48, 96))
        for x, y in places:
            matrix[int(y), int(x)] = 1
        np.testing.assert_array_equal(fixations[frame], matrix)
    samples = report.facts["samples"]
    assert (samples["total"], samples["invalid"], samples["used"]) == (240, 24, 216)
    table, names = read_observers(report.picture.parent)
    assert names == ["anna", "ben", "cleo"]
    for code, name in enumerate(names):
        own = [row for row in gaze_rows if row[0] == name]
        places = np.concatenate([direct_places(own, frame) for frame in range(20)]) / (96, 48)
        np.testing.assert_allclose(table.loc[table["observer"] == code, ["x", "y"]], places)
    with Image.open(report.picture) as sheet:
        assert sheet.size == (3 * 540, 270)
        yellow = np.asarray(sheet.convert("RGB"), int)
        for panel, frame in enumerate((2, 10, 18)):
            part = yellow[:, 540 * panel : 540 * (panel + 1)]
            rings = np.argwhere((part[..., 0] - part[..., 2] > 90) & (np.arange(270) > 20)[:, None])
            centre = direct_places(gaze_rows, frame).mean(axis=0) / (96, 48) * (540, 270)
            assert np.abs(rings.mean(axis=0)[::-1] - centre).max() < 20  # a ring is 10 pixels wide


@pytest.mark.parametrize("pick", ["median", "mean", "last"])
def test_the_place_of_an_observer_is_chosen(
    pick: str, make_film: Callable, make_table: Callable, gaze_rows: list, tmp_path: Path
) -> None:
    reduce = {"median": np.median, "mean": np.mean, "last": lambda values: values[-1]}[pick]
    settings = ImportSettings(maps=MapSettings(sigma=3.0, pick=pick))
    import_video(make_film(), make_table(gaze_rows), tmp_path / "root", "Lab", settings)
    maps, _ = read_maps(tmp_path / "root", "Lab", "film")
    assert_map(maps[7], direct_map(direct_places(gaze_rows, 7, reduce), (48, 96), (3.0, 3.0)))


def test_degrees_on_a_screen_become_pixels_of_the_map(
    make_film: Callable, make_table: Callable, gaze_rows: list, tmp_path: Path
) -> None:
    # The film of 96 x 48 was shown at 960 x 480 on a screen of 1280 x 1024, 10 times as large, at (160, 272).
    rows = [(o, t, 10 * x + 160, 10 * y + 272, v) for o, t, x, y, v in gaze_rows]
    settings = ImportSettings(
        screen=Screen("screen", "1280x1024", "160,272", "960x480", width_cm=40.0, distance_cm=57.0),
        maps=MapSettings(sigma_degrees=1.5, size="48x32"),
    )
    report = import_video(make_film(), make_table(rows), tmp_path / "root", "Lab", settings)
    on_screen = 2 * 57.0 * math.tan(math.radians(0.75)) * 1280 / 40.0  # 47.75 pixels
    sigma = (on_screen * 32 / 480, on_screen * 48 / 960)
    assert report.facts["sigma"] == pytest.approx(sigma)
    maps, fixations = read_maps(tmp_path / "root", "Lab", "film")
    for frame in (0, 11, 19):
        places = direct_places(gaze_rows, frame) * [48 / 96, 32 / 48]
        assert_map(maps[frame], direct_map(places, (32, 48), sigma))
        rounded = {(int(y), int(x)) for x, y in places}
        assert {tuple(point) for point in np.argwhere(fixations[frame])} == rounded


def test_frames_and_sound_are_those_of_the_film(
    make_film: Callable, make_table: Callable, gaze_rows: list, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    import_video(make_film(), make_table(gaze_rows), root, "Lab", PLAIN)
    frames = sorted((root / "video_frames" / "Lab" / "film").iterdir())
    assert [path.name for path in frames] == [f"img_{k:05d}.jpg" for k in range(1, 21)]
    for index, path in enumerate(frames):
        pixels = np.asarray(Image.open(path), float)
        assert pixels.shape == (48, 96, 3)
        assert np.abs(pixels - (40 + 7 * index)).mean() < FILM
    sound, rate = soundfile.read(root / "video_audio" / "Lab" / "film" / "film.wav")
    assert (rate, sound.shape) == (22_050, (round(0.8 * 22_050),))
    spectrum = np.abs(np.fft.rfft(sound[4000:14_000] * np.hanning(10_000)))
    assert spectrum.argmax() * rate / 10_000 == pytest.approx(440, abs=3)  # in steps of 2.2 Hz
    (fault,) = check_corpora(root, ["Lab"]).faults  # no test video yet
    assert "no fold list" in fault.message


def test_a_turned_film_is_turned_upright(
    make_film: Callable, make_table: Callable, gaze_rows: list, tmp_path: Path
) -> None:
    rows = [(o, t, y, x, v) for o, t, x, y, v in gaze_rows]  # the film is seen as 48 x 96
    report = import_video(make_film(rotation=90), make_table(rows), tmp_path / "root", "Lab", PLAIN)
    assert report.facts["size"] == [96, 48]
    frame = tmp_path / "root" / "video_frames" / "Lab" / "film" / "img_00001.jpg"
    with Image.open(frame) as picture:
        assert picture.size == (48, 96)


def test_variable_frame_rate_is_brought_to_an_even_clock(
    make_film: Callable, make_table: Callable, tmp_path: Path
) -> None:
    # Ten frames at 25 per second, then five that last five times as long.
    times = [40 * k for k in range(10)] + [400 + 200 * k for k in range(5)]
    rows = [("anna", 10.0 * k, 1 + 0.5 * k, 20.0, 1) for k in range(136)]
    root = tmp_path / "root"
    report = import_video(make_film(times_ms=times), make_table(rows), root, "Lab", PLAIN)
    facts = report.facts
    assert facts["video_frames"] == 15
    shown = facts["source_frames"]
    assert len(shown) == facts["frames"]
    for number, source in enumerate(shown):
        middle = 1000 * (number + 0.5) / facts["fps"]
        assert source == max(index for index, time in enumerate(times) if time <= middle)
        pixels = np.asarray(Image.open(root / f"video_frames/Lab/film/img_{number + 1:05d}.jpg"), float)
        assert np.abs(pixels - (40 + 7 * source)).mean() < FILM
    _, fixations = read_maps(root, "Lab", "film")
    for number in range(1, facts["frames"] - 1):
        start, stop = (1000 * k / facts["fps"] for k in (number, number + 1))
        seen = [row[2] for row in rows if start <= row[1] < stop]
        assert np.argwhere(fixations[number])[0, 1] == int(np.median(seen))
    assert any("variable frame rate" in note for note in report.notes)


def test_frame_numbers_instead_of_times(make_film: Callable, make_table: Callable, tmp_path: Path) -> None:
    rows = [("anna", k, 2.0 * k, 10.0, 1) for k in range(1, 21)]
    table = make_table(rows)
    settings = ImportSettings(time=TimeStamps("frame", 1), maps=MapSettings(sigma=4.0))
    import_video(make_film(), table, tmp_path / "root", "Lab", settings)
    _, fixations = read_maps(tmp_path / "root", "Lab", "film")
    assert [int(np.argwhere(matrix)[0, 1]) for matrix in fixations] == [2 * k for k in range(1, 21)]
    with pytest.raises(InputError, match=r"comes before the first, 2; give its number with --time\.start"):
        import_video(
            make_film(), table, tmp_path / "other", "Lab", replace(settings, time=TimeStamps("frame", 2))
        )


def test_what_is_dropped_is_counted(
    make_film: Callable, make_table: Callable, gaze_rows: list, tmp_path: Path
) -> None:
    odd = [
        ("dora", 0, -5.0, 10.0, 1),  # left of the film
        ("dora", 10, 10.0, 48.0, 1),  # below it: rows end at 48
        ("dora", 20, "", 10.0, 1),
        ("dora", 30, "nan", "NA", 1),
        ("dora", 40, 0, 0, 1),
        ("dora", 50, 5.0, 5.0, 0),
        ("dora", -10, 5.0, 5.0, 1),
        ("dora", 800, 5.0, 5.0, 1),  # the film ends here
    ]
    table = make_table([*gaze_rows, *odd])
    counts = import_video(make_film(), table, tmp_path / "root", "Lab", PLAIN).facts["samples"]
    expected = {
        "total": 248,
        "invalid": 25,
        "missing": 2,
        "out_of_time": 2,
        "outside": 2,
        "used": 217,
        "zeros": 1,
    }
    assert counts == {**expected, "outside_share": pytest.approx(2 / 219)}
    settings = replace(PLAIN, drop_zero=True)
    counts = import_video(make_film(), table, tmp_path / "two", "Lab", settings).facts["samples"]
    assert (counts["missing"], counts["used"], counts["zeros"]) == (3, 216, 0)


def test_a_frame_that_nobody_looked_at_is_blank(
    make_film: Callable, make_table: Callable, gaze_rows: list, tmp_path: Path
) -> None:
    rows = [row for row in gaze_rows if not 120 <= row[1] < 160]
    report = import_video(make_film(), make_table(rows), tmp_path / "root", "Lab", PLAIN)
    maps, fixations = read_maps(tmp_path / "root", "Lab", "film")
    assert not maps[3].any()
    assert not fixations[3].any()
    assert report.facts["empty_frames"] == 1
    assert any("1 frames without gaze" in note for note in report.notes)


def test_lists_and_registration(lab: Lab) -> None:
    root, film, table = lab
    first = import_video(film, table, root, "Lab", PLAIN, video="one", split="1,2")
    assert any("split 1 has no test video yet" in note for note in first.notes)
    import_video(film, table, root, "Lab", PLAIN, video="two", part="test", split="all")
    lists = {path.name: path.read_text() for path in (root / "fold_lists").iterdir()}
    assert lists == {
        f"Lab_list_{part}_{split}_fps.txt": f"{name} 20 25.000000\n"
        for part, name in (("train", "one"), ("test", "two"))
        for split in (1, 2)
    }
    own = read_own(root)["Lab"]
    assert (own.splits, own.counts, own.videos, own.frames, own.fps) == (
        (1, 2),
        ((1, 1), (1, 1)),
        2,
        40,
        25.0,
    )
    assert own.made["maps.sigma"] == 6.0
    with pytest.raises(InputError, match="the test list of split 1"):
        import_video(film, table, root, "Lab", PLAIN, video="two", part="train")
    assert check_corpora(root).count("error") == 0


def test_nothing_is_overwritten_unasked(lab: Lab) -> None:
    root, film, table = lab
    import_video(film, table, root, "Lab", PLAIN)
    first = root / "annotations" / "Lab" / "film" / "maps" / "eyeMap_00001.jpg"
    before, changed = first.read_bytes(), first.stat().st_mtime_ns
    assert import_video(film, table, root, "Lab", PLAIN).kept
    assert first.stat().st_mtime_ns == changed
    with pytest.raises(InputError, match=r"maps.sigma: 6.0 / 2.0.*--overwrite"):
        import_video(film, table, root, "Lab", ImportSettings(maps=MapSettings(sigma=2.0)))
    assert first.read_bytes() == before
    assert not import_video(
        film, table, root, "Lab", ImportSettings(maps=MapSettings(sigma=2.0)), overwrite=True
    ).kept
    assert first.read_bytes() != before
    shutil.rmtree(root / "annotations")
    with pytest.raises(InputError, match="not imported by this command"):
        import_video(film, table, root, "Lab", PLAIN)


def test_a_killed_import_leaves_no_half_video_and_goes_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    root, film, table = lab

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(importer, "write_ground_truth", killed)
        with pytest.raises(KeyboardInterrupt):
            import_video(film, table, root, "Lab", PLAIN)
    assert not (root / "video_frames").exists()
    assert not (root / "fold_lists").exists()

    moves: list[Path] = []
    rename = Path.rename

    def rename_once(self: Path, target: Path) -> Path:
        if moves:
            raise KeyboardInterrupt
        moves.append(target)
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename_once)
        with pytest.raises(KeyboardInterrupt):
            import_video(film, table, root, "Lab", PLAIN)
    assert moves == [root / "video_frames" / "Lab" / "film"]
    assert not (root / "annotations").exists()
    assert import_video(film, table, root, "Lab", PLAIN).kept  # what was complete is only moved
    assert not [path for path in root.iterdir() if path.name.startswith(".")]
    (fault,) = check_corpora(root).faults  # no test list yet, and nothing else
    assert "no fold list" in fault.message


def test_the_film_may_stand_for_its_frames(lab: Lab, make_film: Callable) -> None:
    root, film, table = lab
    settings = replace(PLAIN, files=Files(frames="video"))
    import_video(film, table, root, "Lab", settings)
    import_video(film, table, root, "Lab", settings, video="other", part="test")
    assert (root / "videos" / "Lab" / "film.mp4").read_bytes() == film.read_bytes()
    assert not (root / "video_frames").exists()
    assert check_corpora(root).faults == []
    (entry,) = read_videos(root, ["Lab"], 1, "train")
    pictures = entry.frames.read([1, 12, 20], (48, 96))
    assert [picture.mean() for picture in pictures] == pytest.approx([40, 117, 173], abs=FILM)
    uneven = make_film("uneven.mp4", times_ms=[0, 40, 80, 400, 800])
    with pytest.raises(InputError, match="variable frame rate"):
        import_video(uneven, table, root, "Lab", settings)


def test_a_silent_film(make_film: Callable, make_table: Callable, gaze_rows: list, tmp_path: Path) -> None:
    report = import_video(make_film(sound=False), make_table(gaze_rows), tmp_path / "root", "Lab", PLAIN)
    assert not (tmp_path / "root" / "video_audio").exists()
    assert any("no audio track" in note for note in report.notes)
    assert not read_own(tmp_path / "root")["Lab"].has_sound


@pytest.mark.parametrize("frames", ["jpeg", "video"])
def test_a_silent_film_among_others_passes_the_check(
    frames: str, make_film: Callable, make_table: Callable, gaze_rows: list, tmp_path: Path
) -> None:
    root, settings = tmp_path / "root", replace(PLAIN, files=Files(frames=frames))
    import_video(make_film(), make_table(gaze_rows), root, "Lab", settings)
    import_video(
        make_film("mute.mp4", sound=False), make_table(gaze_rows), root, "Lab", settings, part="test"
    )
    (fault,) = check_corpora(root).faults
    assert (fault.severity, fault.video) == ("warning", "mute")
    assert "train with --data.loading.missing_audio silence or skip" in fault.message


def test_uneven_frames_placed_by_hand_are_refused(lab: Lab, make_film: Callable) -> None:
    """25 frames at 30 per second, then 25 at 15, listed with 20: audio would be 0.4 s apart."""
    root, film, table = lab
    import_video(film, table, root, "Lab", replace(PLAIN, files=Files(frames="video")))
    times = [round(1000 * k / 30) for k in range(25)] + [
        round(25_000 / 30 + 1000 * k / 15) for k in range(25)
    ]
    make_film("uneven.mp4", times_ms=times).rename(root / "videos" / "Lab" / "film.mp4")
    listed = root / "fold_lists" / "Lab_list_train_1_fps.txt"
    listed.write_text("film 20 20.000000\n")
    with pytest.raises(InputError, match=r"film\.mp4: frames are up to 0\.4\d s off an even clock of 20/s"):
        read_videos(root, ["Lab"], 1, "train")
    assert any(
        "off an even clock" in fault.message and fault.severity == "error"
        for fault in check_corpora(root).faults
    )


@pytest.mark.filterwarnings(
    # a test's loaders are small on purpose, and its epochs shorter than the logging interval
    "ignore:.*does not have many workers.*",
    "ignore:.*is smaller than the logging interval.*",
)
def test_an_imported_corpus_trains_and_tests(lab: Lab) -> None:
    from commandline import fit_arguments

    from lightning_avsp.cli import main

    root, film, table = lab
    for name, part in (("one", "train"), ("two", "train"), ("three", "test")):
        import_video(film, table, root, "Lab", PLAIN, video=name, part=part)
    run = root.parent / "run"
    one_step = ("--trainer.limit_train_batches=1", "--figures=0", "--test_after_fit=true")
    main(fit_arguments(root, run, "--data.corpora=[Lab]", *one_step))
    record = json.loads((run / "run.json").read_text())
    assert record["finished"]
    assert record["videos"]["test"] == [["Lab", "three"]]
    assert sorted(record["videos"]["train"] + record["videos"]["validation"]) == [
        ["Lab", "one"],
        ["Lab", "two"],
    ]
    results = json.loads((run / "results" / "test.json").read_text())
    assert -1 <= results["averages"]["test/cc"] <= 1


def test_own_corpora_have_human_ceilings(lab: Lab, gaze_rows: list) -> None:
    """Split-half and leave-one-out of three observers, against their positions taken from the table directly."""
    from lightning_avsp.data.catalogue import find_corpus
    from lightning_avsp.evaluation.references import plan_references
    from lightning_avsp.evaluation.scoring import ScoringJob
    from lightning_avsp.evaluation.truth import AnnotatedTruth, count_observers

    root, film, table = lab
    import_video(film, table, root, "Lab", PLAIN)
    import_video(film, table, root, "Lab", PLAIN, video="other", part="test")
    assert count_observers(root, "Lab", "other") == 3
    (entry,) = read_videos(root, ["Lab"], 1, "test")
    job = ScoringJob(entry=entry, truth=AnnotatedTruth(entry), source=None, wanted=(8,), protocol=None)
    planned, missing = plan_references(root, find_corpus("Lab", root), {1: [job]})
    assert missing == {}
    names = ("anna", "ben", "cleo")
    divisions = {
        "human_ceiling": [((0, 2), (1,)), ((1,), (0, 2))],
        "inter_observer": [((0,), (1, 2)), ((1,), (0, 2)), ((2,), (0, 1))],
    }
    for row, expected in divisions.items():
        jobs = planned[row, 1]
        assert [(one.truth.chosen, one.source.chosen) for one in jobs] == expected
        for one, (truth, source) in zip(jobs, expected, strict=True):
            seen = [
                direct_places([r for r in gaze_rows if r[0] in {names[k] for k in part}], 7)
                for part in (truth, source)
            ]
            pixels = {(int(y), int(x)) for x, y in seen[0]}
            assert {tuple(point) for point in one.truth.points(8).tolist()} == pixels
            expected_map = direct_map(seen[1], (48, 96), (6.0, 6.0))
            ((_, found),) = one.source.frames([8])
            assert np.abs(found.numpy() - expected_map).max() <= 0.5 + 1e-9  # rounded to a byte
