"""Tables as programs write them: marks, quotes, encodings, headers or none, and exports of trackers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lightning_avsp.curation.importing.gaze import GazeTable, read_gaze
from lightning_avsp.curation.importing.settings import (
    Columns,
    ImportSettings,
    MapSettings,
    Screen,
    TimeStamps,
)
from lightning_avsp.errors import InputError


def read(path: Path, text: str | None = None, encoding: str = "utf-8", **changes: object) -> GazeTable:
    if text is not None:
        path.write_bytes(text.encode(encoding))
    return read_gaze(path, ImportSettings(**{"maps": MapSettings(sigma=9.0), **changes}))


def column(cells: list[str], other: str = "7", quote: str = '"') -> str:
    rows = [f"{k},{quote}{cell}{quote},{other}" for k, cell in enumerate(cells)]
    return "\n".join(["time,x,y", *rows])


PLAIN = Columns(observer="", valid="")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["970", "980", "1,005", "1,010"], [970, 980, 1005, 1010]),  # the case of the issue
        (["970", "980", "1.005", "1.010"], [970, 980, 1005, 1010]),
        (["1,005", "980", "1,010.5"], [1005, 980, 1010.5]),
        (["1.005,5", "980", "970,25"], [1005.5, 980, 970.25]),
        (["0,512", "0,620", "1,005"], [0.512, 0.62, 1.005]),
        (["0.512", "0.620", "1.005"], [0.512, 0.62, 1.005]),
        (["512", "513.125", "511.5"], [512, 513.125, 511.5]),
        (["512", "513.125", "511"], [512, 513.125, 511]),
        (["512,5", "513,125", "511"], [512.5, 513.125, 511]),
        (["1,234,567", "1,234,568"], [1234567, 1234568]),
        (["1 005", "980", "1 010"], [1005, 980, 1010]),
        (["1\u00a0005", "980", "1\u202f010"], [1005, 980, 1010]),
        (["1'005", "980", ""], [1005, 980, np.nan]),
        (["1e2", "-2.5E1", "inf"], [100, -25, np.nan]),
        (["1,005.5", "1,006.5"], [1005.5, 1006.5]),
    ],
)
def test_the_whole_column_decides_about_its_marks(
    cells: list[str], expected: list[float], tmp_path: Path
) -> None:
    found = read(tmp_path / "gaze.csv", column(cells), columns=PLAIN)
    np.testing.assert_array_equal(found.samples["x"], expected)
    if any("," in cell for cell in cells):
        assert any("column 'x'" in note and "was read as" in note for note in found.notes)


def test_a_column_that_can_be_two_things_is_refused(tmp_path: Path) -> None:
    cells, path = ["512,250", "513,125", "514,375"], tmp_path / "gaze.csv"
    message = r"'512,250', which may be 512250 or 512\.250; give --columns\.decimal"
    with pytest.raises(InputError, match=message):
        read(path, column(cells), columns=PLAIN)
    expected = [512.25, 513.125, 514.375]
    chosen = read(path, columns=Columns(observer="", valid="", decimal=","))
    np.testing.assert_array_equal(chosen.samples["x"], expected)
    # another column of the same program is clear
    np.testing.assert_array_equal(read(path, column(cells, '"7,5"'), columns=PLAIN).samples["x"], expected)
    with pytest.raises(InputError, match=r"line 3: column 'x' holds '5\.5'"):
        read(path, column(["1.005,5", "5.5"]), columns=PLAIN)


BODY = "observer;time;x;y\nJürgen;0;10,5;3\nAnna;1;11,5;4\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: "sep=;\n" + text,
        lambda text: "# made by hand\n\n" + text,
        lambda text: text.replace("\n", ";\n"),  # a delimiter at the end of each line
        lambda text: text.replace("Jürgen;0;10,5;3", '"Jürgen";"0";"10,5";"3"'),
        lambda text: text.replace("x;y", "x;y;note;note").replace("3\n", "3;a;b\n").replace("4\n", "4;;\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text.replace(";", "|"),
    ],
    ids=["plain", "sep", "comment", "trailing", "quotes", "twice", "no_end", "bars"],
)
def test_one_table_in_many_dresses(encoding: str, end: str, change: object, tmp_path: Path) -> None:
    text = change(BODY).replace("\n", end)
    found = read(tmp_path / "gaze.csv", text, encoding, columns=Columns(valid="")).samples
    assert found["observer"].tolist() == ["Jürgen", "Anna"]
    assert found[["time", "x", "y"]].to_numpy().tolist() == [[0, 10.5, 3], [1, 11.5, 4]]


def test_columns_there_twice_without_a_header_and_of_confidence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has 2 columns 'x'"):
        read(tmp_path / "gaze.csv", "time,x,x,y\n0,1,2,3\n", columns=PLAIN)
    path = tmp_path / "gaze.txt"
    with pytest.raises(InputError, match=r"no column 'observer'.*its columns: 1, 2, 3, 4"):
        read(path, "0 1.5 10 20\n10  2.5 11 21\n")
    found = read(path, columns=Columns("", "1", "3", "4", "")).samples
    assert found["time"].tolist() == [0, 10]
    assert found["x"].tolist() == [10, 11]
    assert found["line"].tolist() == [1, 2]
    text = "time,x,y,confidence\n0,1,2,0.9\n1,1,2,0.6\n2,1,2,0.59\n3,1,2,\n"
    columns = Columns("", valid="confidence", valid_is=">=0.6")
    valid = read(tmp_path / "gaze.csv", text, columns=columns).samples["valid"]
    assert valid.tolist() == [True, True, False, False]


def test_two_eyes_are_averaged_where_both_are_valid(tmp_path: Path) -> None:
    text = "time,lx,ly,lv,rx,ry,rv\n0,10,20,1,30,40,1\n1,10,20,1,30,40,0\n"
    text += "2,10,20,0,30,40,1\n3,10,20,0,30,40,0\n4,,,1,30,40,1\n"
    columns = Columns("", "time", "lx,rx", "ly,ry", "lv,rv")
    found = read(tmp_path / "gaze.csv", text, columns=columns).samples
    assert found["x"].tolist() == [20, 10, 30, 20, 30]
    assert found["y"].tolist() == [30, 20, 40, 30, 40]
    assert found["valid"].tolist() == [True, True, True, False, True]


EXPORTS = {
    "neon": (
        "section id,recording id,timestamp [ns],gaze detected on surface,gaze position on surface x [normalized],"
        "gaze position on surface y [normalized],fixation id\n"
        "s,rec1,1725032224852161732,true,0.25,0.75,\ns,rec1,1725032224857165732,false,0.3,0.7,1\n",
        "utf-8",
        [(1725032224852161732, 0.25, 0.75, True), (1725032224857165732, 0.3, 0.7, False)],
        ("ns", "unit", "top_left"),
    ),
    "pupil": (
        "world_timestamp,world_index,gaze_timestamp,x_norm,y_norm,x_scaled,y_scaled,on_surf,confidence\n"
        "100.01,0,100.0,0.25,0.75,0.25,0.75,True,0.98\n100.02,1,100.005,0.3,0.7,0.3,0.7,True,0.1\n",
        "utf-8",
        [(100.0, 0.25, 0.75, True), (100.005, 0.3, 0.7, False)],
        ("s", "unit", "bottom_left"),
    ),
    "tobii": (
        "Recording timestamp\tSensor\tParticipant name\tGaze point X\tGaze point Y\tValidity left\tValidity right\t\n"
        "0\tEye Tracker\tP01\t960\t540\tValid\tInvalid\t\n8\tMouse\tP01\t\t\t\t\t\n",
        "utf-16",
        [(0, 960, 540, True), (8, np.nan, np.nan, False)],
        ("ms", "auto", "top_left"),
    ),
    "diem": (
        "1 10.5 20 3.1 1 12.5 22 3.0 1\n2 0 0 0 -1 14 24 3 1\n3 10 20 3 2 12 22 3 2\n",
        "utf-8",
        [(1, 11.5, 21, True), (2, 14, 24, True), (3, 11, 21, False)],
        ("frame", "auto", "top_left"),
    ),
    "coord": (
        "gaze 1280 720\ngeometry distance 0.450 width 0.400 height 0.225\n0 640 360 1\n4000 641 361 0\n",
        "utf-8",
        [(0, 640, 360, True), (4000, 641, 361, False)],
        ("us", "auto", "top_left"),
    ),
}


@pytest.mark.parametrize("kind", EXPORTS)
def test_exports_are_recognised_and_named(kind: str, tmp_path: Path) -> None:
    text, encoding, rows, (unit, coordinates, origin) = EXPORTS[kind]
    found = read(tmp_path / "export.txt", text, encoding)
    assert any(f"read as an export of '{kind}'" in note for note in found.notes)
    table = found.samples
    np.testing.assert_array_equal(table[["time", "x", "y"]], np.array([row[:3] for row in rows], float))
    assert table["valid"].tolist() == [row[3] for row in rows]
    settings = found.settings
    assert settings.time.unit == unit
    assert (settings.screen.coordinates, settings.screen.origin) == (coordinates, origin)
    assert settings.screen.size == ("1280x720" if kind == "coord" else "")
    named = read(tmp_path / "export.txt", format=kind, time=TimeStamps(start=5.0))
    assert (named.settings.time.unit, named.settings.time.start) == (unit, 5.0)  # what is asked for stays
    with pytest.raises(InputError, match=r"no column|does not look like|7 cells"):
        read(tmp_path / "export.txt", format="table")


def test_a_plain_table_is_no_export(tmp_path: Path) -> None:
    path = tmp_path / "gaze.csv"
    with pytest.raises(InputError, match="does not look like an export of 'neon'; its columns: time, x, y"):
        read(path, "time,x,y\n0,1,2\n", format="neon")
    with pytest.raises(InputError, match="no column 'observer', 'time'"):
        read(path, "participant,t,x,y\np1,0,1,2\n")  # WebGazer's, which others have too
    found = read(path, format="webgazer", screen=Screen(size="10x10"))
    assert found.settings.time.start == "first"
    assert found.settings.screen.size == "10x10"


def test_many_files_are_observers_by_their_names(tmp_path: Path) -> None:
    for name, x in (("p01", 3), ("p02", 4)):
        (tmp_path / f"{name}.txt").write_text(f"time,x,y\n0,{x},2\n")
    (tmp_path / "other.csv").write_text("t;x\n")
    found = read(tmp_path / "p*.txt", columns=Columns(valid="")).samples
    rows = found[["observer", "x", "file"]].astype(str).to_numpy().tolist()
    assert rows == [["p01", "3.0", "p01.txt"], ["p02", "4.0", "p02.txt"]]
    with pytest.raises(InputError, match="no gaze table"):
        read(tmp_path / "q*.txt")
