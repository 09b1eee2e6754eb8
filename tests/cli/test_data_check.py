from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lightning_avsp.cli.dispatch import main


def test_a_clean_corpus_ends_with_0(corpus: Path, capsys: pytest.CaptureFixture) -> None:
    main(["data", "check", str(corpus), "--workers=1"])
    text = capsys.readouterr().out
    assert "0 errors, 0 warnings" in text
    assert "150 / 150" in text
    assert "SYNTHETIC" in text


def test_errors_end_with_1_and_are_in_the_json(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root = Path(shutil.copytree(corpus, tmp_path / "copy"))
    frames = sorted((root / "video_frames" / "AVAD").glob("*/img_0000*.jpg"))[:5]
    for path in frames:
        path.write_bytes(b"")
    with pytest.raises(SystemExit) as stop:
        main(["data", "check", str(root), "--workers=1", "--show=2", f"--json={tmp_path / 'faults.json'}"])
    assert stop.value.code == 1
    text = capsys.readouterr().out
    assert text.count("0 bytes") == 2
    assert "and 3 more" in text
    assert text.count("replace this file") == 2
    content = json.loads((tmp_path / "faults.json").read_text())
    assert content["errors"] == 5
    assert [fault["path"] for fault in content["corpora"][0]["faults"]] == [str(path) for path in frames]
    assert content["corpora"][0]["published_videos"] == 45


def test_warnings_alone_end_with_0(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root = Path(shutil.copytree(corpus, tmp_path / "copy"))
    maps = next((root / "annotations" / "AVAD").glob("*/maps"))
    shutil.copy(maps / "eyeMap_00025.jpg", maps / "eyeMap_00026.jpg")
    main(["data", "check", str(root), "--corpus=AVAD", "--quick", "--workers=1"])
    assert "0 errors, 1 warnings" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "no folder at"),
        ([".", "--corpus=DIEM"], "nothing of DIEM"),
        ([".", "--corpus=DEIM"], "did you mean 'DIEM'"),
        ([".", "--quick", "--full"], "contradict"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["data", "check", *arguments])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.strip().count("\n") == 0
