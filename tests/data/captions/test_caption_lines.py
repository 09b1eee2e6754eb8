"""Caption files and tables: contents, refused lines, files of a killed run, and the captioning of a corpus."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lightning_avsp.backbones.blip2 import Captioner, open_captioner
from lightning_avsp.data.captions.lines import (
    Caption,
    append_captions,
    caption_corpus,
    caption_path,
    merge_captions,
    open_captions,
    read_captions,
    read_table,
    uncaptioned_frames,
    write_captions,
)
from lightning_avsp.data.clips import evaluation_clips
from lightning_avsp.data.corpora import read_videos
from lightning_avsp.errors import InputError
from lightning_avsp.structures import ClipPolicy

LINES = [Caption("V1", 1, "a dog barks", "blip", "question"), Caption("V1", 9, "größer", "blip", "none")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_captions(tmp_path / "AVAD.jsonl", LINES)
    return tmp_path / "AVAD.jsonl"


def test_written_captions_are_read(path: Path) -> None:
    assert read_captions(path) == LINES
    first = {"video": "V1", "frame": 1, "text": "a dog barks", "model": "blip", "prompt": "question"}
    assert json.loads(path.read_text().splitlines()[0]) == first
    further = Caption("V1", 2, "x", "m", None, {"informative": True})
    write_captions(path, [further])
    assert read_captions(path) == [further]
    with pytest.raises(InputError, match="avsp caption ROOT --corpus ETMD"):
        read_captions(path.with_name("ETMD.jsonl"))


def test_the_later_of_two_lines_counts_and_is_logged(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_captions(path) as file:
        append_captions(file, [Caption("V1", 1, "a cat", "blip")])
    with caplog.at_level(logging.WARNING):
        read = read_captions(path)
    assert [caption.text for caption in read] == ["a cat", "größer"]
    assert sum("1 captions are of frames captioned before" in message for message in caplog.messages) == 1


@pytest.mark.parametrize("cut", [1, 2, 20, 40])
def test_a_half_written_last_line_is_passed_over_and_mended(
    path: Path, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(path.read_bytes()[:-cut])  # 1: only the line end is missing, the caption is whole
    whole = LINES if cut == 1 else LINES[:1]
    with caplog.at_level(logging.WARNING):
        assert read_captions(path) == whole
    assert any("half-written" in message for message in caplog.messages) == (cut > 1)
    new = Caption("V2", 1, "a bird", "blip", "question")
    with open_captions(path) as file:
        append_captions(file, [new])
    assert read_captions(path) == [*whole, new]
    assert path.read_bytes().endswith(b"\n")


@pytest.mark.parametrize(
    "broken",
    [
        "not json",
        '{"video": "V1", "frame": 1}',
        '{"video": "V1", "frame": 0, "text": "x"}',
        '{"video": "V1", "frame": true, "text": "x"}',
        '{"video": "V1", "frame": "1", "text": "x"}',
        '{"video": 1, "frame": 1, "text": "x"}',
        '["V1", 1, "x"]',
    ],
)
def test_a_broken_line_is_named(path: Path, broken: str) -> None:
    first, rest = path.read_text().split("\n", 1)
    path.write_text(f"{first}\n{broken}\n{rest}")
    with pytest.raises(InputError, match=r"AVAD\.jsonl:2"):
        read_captions(path)


FRAMES = {"V1": 40, "V2": 40}
CSV = 'video,frame,text\nV1,1,"a dog, barking"\nV2,40,größer\n'
EXPECTED = [("V1", 1, "a dog, barking"), ("V2", 40, "größer")]


def test_tables(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("\ufeff" + CSV, encoding="utf-8")  # as spreadsheets write it
    assert read_table(path) == [Caption(*row, "table mine.csv") for row in EXPECTED]
    path = tmp_path / "mine.jsonl"
    path.write_text('{"video": "V1", "frame": 1, "text": "a dog", "model": "me"}\n\n')
    assert read_table(path) == [Caption("V1", 1, "a dog", "me")]  # keeps its model


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    videos, numbers, texts = (list(column) for column in zip(*EXPECTED, strict=True))
    table = pyarrow.table({"video": videos, "frame": numbers, "text": texts})
    parquet.write_table(table, tmp_path / "mine.parquet")
    assert read_table(tmp_path / "mine.parquet") == [Caption(*row, "table mine.parquet") for row in EXPECTED]
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
def test_other_files_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
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


@pytest.mark.parametrize("every", [1, 4, 7, 100])
def test_the_frames_that_a_thinned_test_scores(corpus: Path, tmp_path: Path, every: int) -> None:
    video = read_videos(corpus, ["AVAD"], "all")[0]
    wanted = uncaptioned_frames([video], every, tmp_path / "AVAD.jsonl", "m")[video.video]
    assert wanted == [clip.target for clip in evaluation_clips(video.n_frames, ClipPolicy(), every=every)]


class Killed(Captioner):
    """Dies after two batches."""

    calls = 0

    def caption(self, frames: Sequence[np.ndarray]) -> list:
        self.calls += 1
        if self.calls > 2:
            raise KeyboardInterrupt
        return super().caption(frames)


def test_killed_and_resumed_equals_uninterrupted(corpus: Path, tmp_path: Path, blip2_folder: Path) -> None:
    captioner = open_captioner(str(blip2_folder))
    videos = read_videos(corpus, ["AVAD"], "all")
    whole, path = caption_path(tmp_path / "whole", "AVAD"), caption_path(tmp_path / "killed", "AVAD")
    counts = caption_corpus(videos, uncaptioned_frames(videos, 9, whole, captioner.name), whole, captioner, 2)
    assert sum(counts.values()) == 18

    dying = Killed(captioner.name, captioner.network, captioner.processor)
    with pytest.raises(KeyboardInterrupt):
        caption_corpus(videos, uncaptioned_frames(videos, 9, path, captioner.name), path, dying, 2)
    assert len(read_captions(path)) == 3  # three frames a video, in batches of two and one
    with path.open("ab") as file:
        file.write(b'{"video": "V')  # killed in the middle of a line
    todo = uncaptioned_frames(videos, 9, path, captioner.name)
    assert sum(map(len, todo.values())) == 15
    reported: list[tuple[int, int]] = []
    caption_corpus(videos, todo, path, captioner, 2, lambda done, total: reported.append((done, total)))
    assert read_captions(path) == read_captions(whole)
    assert reported[-1] == (15, 15)
    assert uncaptioned_frames(videos, 9, path, captioner.name) == {}


def test_captions_of_two_models_are_not_mixed(corpus: Path, tmp_path: Path) -> None:
    path = caption_path(tmp_path, "AVAD")
    write_captions(path, [Caption("V1_Sound", 1, "a dog", "blip2-a")])
    with pytest.raises(InputError, match="captions of blip2-a, but blip2-b"):
        uncaptioned_frames(read_videos(corpus, ["AVAD"], "all"), 1, path, "blip2-b")
