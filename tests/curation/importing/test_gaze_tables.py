"""Tables as trackers export them, and the mistakes that they invite."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lightning_avsp.curation.importing import gaze as tables
from lightning_avsp.curation.importing.importer import import_video
from lightning_avsp.curation.importing.settings import (
    Columns,
    EyeLink,
    ImportSettings,
    MapSettings,
    Screen,
    TimeStamps,
)
from lightning_avsp.errors import InputError, MissingDependencyError

PLAIN = ImportSettings(maps=MapSettings(sigma=5.0))


def read_gaze(path: Path, columns: Columns | None = None, **changes: object) -> pd.DataFrame:
    """Samples of a table."""
    settings = ImportSettings(columns=columns or Columns(), maps=PLAIN.maps, **changes)
    return tables.read_gaze(path, settings).samples


def test_codes_of_validity_and_options_of_recordings(make_table: Callable) -> None:
    path = make_table([("a", 0, 1, 1, 0), ("a", 1, 1, 1, 4), ("a", 2, 1, 1, 1)])
    with pytest.raises(InputError, match=r"line 3: column 'valid' holds '4'.*--columns.valid_is 0"):
        read_gaze(path, Columns())
    assert read_gaze(path, Columns(valid_is="0, 1")).valid.tolist() == [True, False, True]
    with pytest.raises(InputError, match=r"for \.asc recordings"):
        read_gaze(path, eyelink=EyeLink("VIDEO_START"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("observer,time,x,y,valid\n", "no sample"),
        (
            "observer,time,gx,gy,valid\na,0,1,1,1\n",
            "no column 'x', 'y'; its columns: observer, time, gx, gy, valid",
        ),
        ("observer,time,x,y,valid\na,0,1,1,1\na,zero,1,1,1\n", "line 3: column 'time' holds 'zero'"),
        ("observer,time,x,y,valid\na,0,1,1,1\n ,1,1,1,1\n", "line 3: no observer in column 'observer'"),
        ("PK\3\4" + 100 * "\0", "is no text"),
        ("observer,time,x,y,valid\na,0,1,5,1,1\n", "line 2: 6 cells, the header has 5"),
        ("observer,time,x,y,valid\na,0,1,1,1\na,1,1,5,1,5,1\n", "line 3: 7 cells, the header has 5"),
    ],
)
def test_broken_tables_name_the_place(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "gaze.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_gaze(path, Columns())


def test_parquet_says_what_csv_says(
    make_table: Callable, make_film: Callable, gaze_rows: list, tmp_path: Path
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    names = ("observer", "time", "x", "y", "valid")
    columns = {name: [row[i] for row in gaze_rows] for i, name in enumerate(names)}
    columns["valid"] = [bool(value) for value in columns["valid"]]
    columns["x"][0] = None
    path = tmp_path / "gaze.parquet"
    parquet.write_table(pyarrow.table({**columns, "pupil": [3.0] * len(gaze_rows)}), path)
    text = make_table([("anna", 0.0, "", gaze_rows[0][3], 1), *gaze_rows[1:]])
    first, second = read_gaze(path, Columns()), read_gaze(text, Columns())
    for name in ("observer", "time", "x", "y", "valid"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    with pytest.raises(InputError, match="no column 'gaze_x'"):
        read_gaze(path, Columns(x="gaze_x"))
    report = import_video(make_film(), path, tmp_path / "root", "Lab", PLAIN)
    assert report.facts["samples"]["missing"] == 1


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "gaze.parquet"
    path.write_bytes(b"PAR1")

    def without(path: Path) -> object:
        raise ImportError("pyarrow")

    monkeypatch.setattr("pandas.read_parquet", without)
    with pytest.raises(MissingDependencyError, match="needs pyarrow: pip install"):
        read_gaze(path, Columns())


RECORDING = """** TYPE: EDF_FILE BINARY EVENT SAMPLE TAGGED
MSG	1000 RECCFG CR 100 2 1 {eye}
MSG	1000 GAZE_COORDS 0.00 0.00 95.00 47.00
START	1000 	{side}	SAMPLES	EVENTS
SAMPLES	GAZE	{side}	RATE	100.00	TRACKING	CR	FILTER	2
MSG	{start} VIDEO_START kitchen
SFIX L   1010
{samples}
EFIX L   1010	1030	20	  40.0	  20.0	  784
END	2000 	SAMPLES	EVENTS	RES	  47.75	  45.92
"""


def test_eyelink_recordings(tmp_path: Path, make_film: Callable) -> None:
    pytest.importorskip("pymovements")
    folder = tmp_path / "gaze"
    folder.mkdir()
    left = [f"{1000 + 10 * k}\t  {10 + k}.5\t  20.0\t  784.0\t..." for k in range(80)]
    left[4] = "1040\t   .\t   .\t    0.0\t..."
    both = [f"{1000 + 10 * k}\t 10.0\t 20.0\t 7.0\t 30.0\t 22.0\t 7.0\t....." for k in range(80)]
    left_text = RECORDING.format(eye="L", side="LEFT", start=1005, samples="\n".join(left))
    (folder / "anna.asc").write_text(left_text)
    both_text = RECORDING.format(eye="LR", side="LEFT\tRIGHT", start=1000, samples="\n".join(both))
    (folder / "ben.asc").write_text(both_text)
    gaze = read_gaze(folder, eyelink=EyeLink("VIDEO_START"))
    assert list(gaze.observer.unique()) == ["anna", "ben"]
    (_, anna), (_, ben) = gaze.groupby("observer", observed=True)
    np.testing.assert_array_equal(anna.time, np.arange(80) * 10.0 - 5)
    np.testing.assert_array_equal(ben.time, np.arange(80) * 10.0)
    assert anna.x.isna().sum() == np.isnan(anna.x.iloc[4]) == 1
    assert anna.x.iloc[7] == 17.5
    assert (ben.x.iloc[0], ben.y.iloc[0]) == (20.0, 21.0)  # both eyes averaged
    assert gaze.valid.all()
    fixated = read_gaze(folder / "anna.asc", eyelink=EyeLink(samples="fixations"))
    assert fixated.time[fixated.valid].tolist() == [1010, 1020, 1030]
    with pytest.raises(InputError, match="no message 'BEGIN'"):
        read_gaze(folder, eyelink=EyeLink("BEGIN"))
    settings = replace(PLAIN, eyelink=EyeLink("VIDEO_START"))
    report = import_video(make_film(), folder, tmp_path / "root", "Lab", settings)
    assert report.facts["samples"]["used"] == 80 + 78  # a blink, and a sample before the video
    assert report.facts["observers"] == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"time": TimeStamps("s")},
            r"time in s means 0.1 samples per second.*--time.unit ms \(100 per second\)",
        ),
        ({"time": TimeStamps("us")}, r"time in us means 100000 samples per second.*--time.unit ms"),
        ({"time": TimeStamps(rate=250.0)}, "means 100 samples per second, --time.rate is 250"),
        ({"time": TimeStamps(start=5000.0)}, "no valid sample falls into the video of 0.80 s.*--time.start"),
        ({"time": TimeStamps("frame")}, "frames by samples: no sample: 27, 1: 6"),
        ({"screen": Screen("video_unit")}, "pixels; give --screen.coordinates video"),
        ({"screen": Screen(size="1920x1080")}, "unscaled.: --screen.video_at 912,516"),
        ({"screen": Screen("screen")}, "screen.s size is missing"),
        ({}, "a recording of 19.99 s, the video lasts 0.8 s"),
    ],
)
def test_implausible_settings_are_refused_with_both_values(
    changes: dict, said: str, make_film: Callable, make_table: Callable, gaze_rows: list, tmp_path: Path
) -> None:
    rows = gaze_rows if changes else [("a", 10.0 * k, 5, 5, 1) for k in range(2000)]
    root = tmp_path / "root"
    with pytest.raises(InputError, match=said):
        import_video(make_film(), make_table(rows), root, "Lab", replace(PLAIN, **changes))
    assert not (root / "annotations").exists()
    assert not (root / "fold_lists").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "give one of --maps.sigma"),
        ({"maps": MapSettings(3.0, 1.0)}, "give one of --maps.sigma"),
        (
            {"maps": MapSettings(sigma_degrees=1.0)},
            "--screen.size, --screen.width_cm, --screen.distance_cm too",
        ),
        ({"maps": MapSettings(-1.0)}, "--maps.sigma=-1.0 is out of range"),
        (
            {
                "maps": MapSettings(sigma_degrees=1.0),
                "screen": Screen(size="9x9", width_cm=4, distance_cm=-1),
            },
            "--screen.distance_cm=-1 is out of range",
        ),
        ({"maps": MapSettings(3.0), "screen": Screen(video_at="3,4")}, "need --screen.size too"),
    ],
)
def test_settings_that_contradict_each_other(settings: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        ImportSettings(**settings)


@pytest.mark.parametrize(
    ("corpus", "names", "message"),
    [
        ("Lab", {}, "--video_name my_film"),
        ("AVAD", {"video": "one"}, "published corpus AVAD"),
        ("Lab", {"video": "one", "split": "first"}, "split is 'first'"),
    ],
)
def test_names_that_cannot_be(corpus: str, names: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        import_video(tmp_path / "my film.mp4", tmp_path / "gaze.csv", tmp_path, corpus, PLAIN, **names)
