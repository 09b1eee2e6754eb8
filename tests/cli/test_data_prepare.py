"""`avsp data prepare` from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_avsp.cli.data_prepare import parse_size
from lightning_avsp.cli.dispatch import main
from lightning_avsp.errors import InputError


def test_everything_that_is_found_is_prepared_once(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["data", "prepare", str(corpus), "--size=32x48", f"--out={tmp_path}", "--workers=1"]
    main(command)
    printed = capsys.readouterr().out
    assert "6 videos prepared, 0 kept, 150 frames" in printed
    assert f"--data.loading.cache {tmp_path}" in printed
    assert len(list((tmp_path / "32x48" / "AVAD").glob("*.packed"))) == 6
    main([*command, "--corpus=[AVAD]", "--format=packed"])
    assert "0 videos prepared, 6 kept" in capsys.readouterr().out


def test_faults_are_listed_and_the_exit_code_says_so(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    own = Path(shutil.copytree(corpus, tmp_path / "own"))
    broken = next((own / "annotations" / "AVAD").rglob("fixMap_00003.mat"))
    broken.write_bytes(b"")
    with pytest.raises(SystemExit) as stop:
        main(["data", "prepare", str(own), "--size=32x48", f"--out={tmp_path / 'cache'}", "--workers=1"])
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert str(broken) in printed.out
    assert "5 videos prepared" in printed.out
    assert "1 of 6 videos could not be prepared" in printed.err


def test_nothing_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["data", "prepare", str(tmp_path), f"--out={tmp_path / 'cache'}"])
    assert "contains no corpus" in capsys.readouterr().err


def test_sizes() -> None:
    assert parse_size("224x384") == (224, 384)
    for text in ("224", "224x", "x384", "0x4", "224x-1", "a x b"):
        with pytest.raises(InputError, match="HEIGHTxWIDTH"):
            parse_size(text)
