"""`avsp caption`, from a corpus to a clip with text."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_blip2 import save_tiny_blip2

from lightning_avsp.cli.caption import caption
from lightning_avsp.data.captions.features import Captions
from lightning_avsp.data.captions.lines import read_captions
from lightning_avsp.errors import InputError

pytest.importorskip("transformers")


def test_synthetic_captions_in_one_command(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    caption(corpus, "AVAD", synthetic=True, informative_share=0.8, out=tmp_path)
    assert "SYNTHETIC" in capsys.readouterr().out
    source = Captions(tmp_path, tmp_path / "features", missing="error", tokens=16).open(["AVAD"])
    rows, there = source.tokens(("AVAD", "V1_Sound"), 7)
    assert there
    assert rows.shape == (16, 64)
    caption(corpus, "AVAD", synthetic=True, informative_share=0.8, out=tmp_path)
    assert " 0 encoded" in capsys.readouterr().out


def test_another_text_model_is_noticed_before_anything_is_captioned(corpus: Path, tmp_path: Path) -> None:
    caption(corpus, "AVAD", synthetic=True, out=tmp_path)
    before = (tmp_path / "AVAD.jsonl").read_text()
    with pytest.raises(InputError, match=r"features of tiny-random \(64 .* is tiny-random-32 \(32"):
        caption(corpus, "AVAD", synthetic=True, seed=1, out=tmp_path, text_model="tiny-random-32")
    assert (tmp_path / "AVAD.jsonl").read_text() == before


def test_a_table_of_captions(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("video,frame,text\nV1_Sound,3,a red disc\nV1_Sound,9,a blue disc\n")
    caption(corpus, "AVAD", from_=table, out=tmp_path, text_model="tiny-random")
    assert "2 captions" in capsys.readouterr().out
    source = Captions(tmp_path, tmp_path / "features").open(["AVAD"])
    assert source.tokens(("AVAD", "V1_Sound"), 3)[1]


def test_blip2_from_a_folder(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = tmp_path / "blip2"
    save_tiny_blip2(folder)
    caption(corpus, "AVAD", model=str(folder), every=12, out=tmp_path, device="cpu", features=False)
    captions = read_captions(tmp_path / "AVAD.jsonl")
    assert len(captions) == 12
    assert {line.model for line in captions} == {str(folder)}
    assert {line.prompt for line in captions} <= {"question", "none"}
    assert [line.frame for line in captions[:2]] == [7, 19]
    assert not (tmp_path / "features").exists()
    capsys.readouterr()
    caption(corpus, "AVAD", model=str(folder), every=12, out=tmp_path, device="cpu", features=False)
    assert "0 frames to caption" in capsys.readouterr().out
    assert read_captions(tmp_path / "AVAD.jsonl") == captions


def test_contradictions_are_refused(corpus: Path, tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    with pytest.raises(InputError, match="one corpus"):
        caption(corpus, "AVAD,ETMD", from_=table, out=tmp_path)
    with pytest.raises(InputError, match="not together with --synthetic"):
        caption(corpus, "AVAD", from_=table, synthetic=True, out=tmp_path)
    with pytest.raises(InputError, match="every=0"):
        caption(corpus, "AVAD", every=0, out=tmp_path)
    with pytest.raises(InputError, match="no corpus given"):
        caption(corpus, " ", out=tmp_path)
