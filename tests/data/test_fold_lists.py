"""Fold lists: what published files hold, and what must not pass."""

from pathlib import Path

import pytest

from lightning_avsp.data.catalogue import find_corpus
from lightning_avsp.data.lists import ListedVideo, listed_videos, parse_fold_list
from lightning_avsp.errors import CorpusNotFoundError, InputError


def written(folder: Path, text: str) -> Path:
    path = folder / "list.txt"
    path.write_text(text)
    return path


def test_blank_lines_and_float_noise(tmp_path: Path) -> None:
    path = written(tmp_path, "V1_A 125 24.999750\n\n   \nV2_B 308 29.999999999999996\n\n")
    assert parse_fold_list(path) == [
        ListedVideo("V1_A", 125, 24.99975),
        ListedVideo("V2_B", 308, 29.999999999999996),
    ]


def test_order_is_kept_and_names_may_hold_spaces(tmp_path: Path) -> None:
    path = written(tmp_path, "b 10 25.0\na name 20 25.0\n")
    assert [video.name for video in parse_fold_list(path)] == ["b", "a name"]


@pytest.mark.parametrize(
    "line", ["V1 125", "V1 many 25.0", "V1 125 fast", "V1 0 25.0", "V1 125 0.0", "V1 125 nan"]
)
def test_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = written(tmp_path, f"V0 10 25.0\n{line}\n")
    with pytest.raises(InputError, match=r"list\.txt:2: "):
        parse_fold_list(path)


def test_name_listed_twice(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"list\.txt:3: 'a' is listed twice"):
        parse_fold_list(written(tmp_path, "a 10 25.0\nb 10 25.0\na 10 25.0\n"))


def test_empty_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lists no video"):
        parse_fold_list(written(tmp_path, "\n\n"))


def test_missing_list_says_where_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CorpusNotFoundError, match=r"fold_lists/AVAD_list_train_1_fps\.txt.*avsp data synth"):
        listed_videos(tmp_path, find_corpus("AVAD"), "train", 1)


def test_missing_root_says_where_and_how_to_obtain(tmp_path: Path) -> None:
    with pytest.raises(CorpusNotFoundError, match=r"absent.*STAViS data page"):
        listed_videos(tmp_path / "absent", find_corpus("AVAD"), "train", 1)
