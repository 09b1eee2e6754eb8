"""Caption files: what is read, what is refused, and what a killed run leaves."""

import json
import logging
from pathlib import Path

import pytest

from lightning_avsp.data.captions.lines import Caption, CaptionAppender, read_captions, write_captions
from lightning_avsp.errors import InputError

LINES = [Caption("V1", 1, "a dog barks", "blip", "question"), Caption("V1", 9, "größer", "blip", "none")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_captions(tmp_path / "AVAD.jsonl", LINES)
    return tmp_path / "AVAD.jsonl"


def test_what_is_written_is_read(path: Path) -> None:
    assert read_captions(path) == LINES
    assert json.loads(path.read_text().splitlines()[0]) == {
        "video": "V1",
        "frame": 1,
        "text": "a dog barks",
        "model": "blip",
        "prompt": "question",
    }


def test_further_fields_are_kept(path: Path) -> None:
    caption = Caption("V1", 2, "x", "m", None, {"informative": True})
    write_captions(path, [caption])
    assert read_captions(path) == [caption]


def test_the_later_of_two_lines_counts_and_that_is_said(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with CaptionAppender(path) as lines:
        lines.append([Caption("V1", 1, "a cat", "blip")])
    with caplog.at_level(logging.WARNING):
        read = read_captions(path)
    assert [caption.text for caption in read] == ["a cat", "größer"]
    assert sum("1 captions are of frames captioned before" in message for message in caplog.messages) == 1


@pytest.mark.parametrize("cut", [1, 2, 20, 40])
def test_a_half_written_last_line_is_passed_over(
    path: Path, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(path.read_bytes()[:-cut])  # 1: only the line end is missing, the caption is whole
    with caplog.at_level(logging.WARNING):
        read = read_captions(path)
    assert read == (LINES if cut == 1 else LINES[:1])
    assert any("half-written" in message for message in caplog.messages) == (cut > 1)


@pytest.mark.parametrize("cut", [1, 2, 20, 40])
def test_appending_mends_what_a_kill_left(path: Path, cut: int) -> None:
    path.write_bytes(path.read_bytes()[:-cut])
    new = Caption("V2", 1, "a bird", "blip", "question")
    with CaptionAppender(path) as lines:
        lines.append([new])
    assert read_captions(path) == ([*LINES, new] if cut == 1 else [LINES[0], new])
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


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="avsp caption ROOT --corpus ETMD"):
        read_captions(tmp_path / "ETMD.jsonl")
