"""Captions from elsewhere."""

from pathlib import Path

import pytest

from lightning_avsp.data.captions.lines import Caption, read_captions
from lightning_avsp.data.captions.tables import merge_captions, read_table
from lightning_avsp.errors import InputError

FRAMES = {"V1": 40, "V2": 40}
CSV = 'video,frame,text\nV1,1,"a dog, barking"\nV2,40,größer\n'
EXPECTED = [("V1", 1, "a dog, barking"), ("V2", 40, "größer")]


def as_tuples(captions: list[Caption]) -> list[tuple[str, int, str]]:
    return [(caption.video, caption.frame, caption.text) for caption in captions]


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("\ufeff" + CSV, encoding="utf-8")  # as spreadsheets write it
    captions = read_table(path)
    assert as_tuples(captions) == EXPECTED
    assert {caption.model for caption in captions} == {"table mine.csv"}


def test_json_lines_keep_their_model(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"video": "V1", "frame": 1, "text": "a dog", "model": "me"}\n\n')
    assert read_table(path) == [Caption("V1", 1, "a dog", "me")]


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    videos, numbers, texts = (list(column) for column in zip(*EXPECTED, strict=True))
    table = pyarrow.table({"video": videos, "frame": numbers, "text": texts})
    parquet.write_table(table, tmp_path / "mine.parquet")
    assert as_tuples(read_table(tmp_path / "mine.parquet")) == EXPECTED
    (tmp_path / "bad.parquet").write_text(CSV)
    with pytest.raises(InputError, match=r"cannot be read as a \.parquet table"):
        read_table(tmp_path / "bad.parquet")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", "video,frame\nV1,1\n", "no column 'text'"),
        ("x.csv", "video,frame,text\nV1,0,dog\n", "row 1"),
        ("x.csv", "video,frame,text\nV1,1,dog\nV1,1.5,dog\n", "row 2"),
        ("x.csv", "video,frame,text\nV1,2\n", "row 1"),
        ("x.csv", "video,frame,text\n", "contains no caption"),
        ("x.jsonl", '{"video": "V1"}\n', r"x\.jsonl:1"),
        ("x.xlsx", "", "ends in"),
    ],
)
def test_what_is_no_table_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        read_table(tmp_path / name)


def test_merging_adds_and_replaces(tmp_path: Path) -> None:
    path, table = tmp_path / "AVAD.jsonl", tmp_path / "t.csv"
    old, new = Caption("V1", 1, "old", "m"), Caption("V1", 1, "new", "t")
    other = Caption("V2", 2, "kept", "m")
    assert merge_captions(path, [old, other], FRAMES, table) == (2, 0)
    assert merge_captions(path, [new, Caption("V1", 3, "added", "t")], FRAMES, table) == (1, 1)
    assert read_captions(path) == [new, other, Caption("V1", 3, "added", "t")]


@pytest.mark.parametrize(
    ("caption", "message"),
    [
        (Caption("V9", 1, "x"), "1 videos that AVAD does not list, e.g. 'V9'"),
        (Caption("V1", 41, "x"), "frame 41 of V1, which has 40"),
    ],
)
def test_captions_of_nothing_are_refused(tmp_path: Path, caption: Caption, message: str) -> None:
    with pytest.raises(InputError, match=message):
        merge_captions(tmp_path / "AVAD.jsonl", [caption], FRAMES, tmp_path / "t.csv")
    assert not (tmp_path / "AVAD.jsonl").exists()
