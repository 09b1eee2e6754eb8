from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_avsp.cli import main


@pytest.mark.parametrize(
    ("name", "folder"), [("AVAD", "AVAD"), ("Coutrot1", "Coutrot_db1"), ("ETMD_av", "ETMD_av")]
)
def test_public_and_package_names_are_understood(
    name: str, folder: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    main(
        [
            "data",
            "synth",
            f"--root={tmp_path}",
            f"--corpus={name}",
            "--videos=3",
            "--seconds=0.5",
            "--workers=1",
        ]
    )
    assert len(list((tmp_path / "video_frames" / folder).iterdir())) == 3
    assert "SYNTHETIC" in capsys.readouterr().out


def test_an_unknown_corpus_is_one_line(tmp_path: Path, refused: Callable[..., str]) -> None:
    error = refused(["data", "synth", f"--root={tmp_path / 'new'}", "--corpus=AVDA"])
    assert error.count("\n") == 1
    assert "AVAD" in error
    assert not (tmp_path / "new").exists()
