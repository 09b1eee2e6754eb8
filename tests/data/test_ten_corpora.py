"""Every corpus, synthesised in its own layout: checked, trained on with the others, and tested, on the command line."""

from pathlib import Path

import pytest
from commandline import TINY_NETWORK, fit_arguments

from lightning_avsp.cli import main

CORPORA = ("AVAD", "Coutrot1", "Coutrot2", "DIEM", "ETMD", "SumMe", "DHF1K", "Hollywood2", "UCF", "CrowdSAL")


def test_synthesised_checked_trained_and_tested(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root = tmp_path / "data"
    size = ("--height=64", "--width=128")
    for name in CORPORA:
        main(
            [
                "data",
                "synth",
                f"--root={root}",
                f"--corpus={name}",
                "--videos=6",
                "--seconds=2",
                "--workers=1",
                *size,
            ]
        )
    main(
        ["data", "check", str(root), f"--json={tmp_path / 'check.json'}", "--workers=1"]
    )  # exits with 1 on errors
    checked = (tmp_path / "check.json").read_text()
    capsys.readouterr()
    more = (
        f"--data.corpora=[{','.join(CORPORA)}]",
        "--data.test.every=25",
        "--trainer.limit_test_batches=1.0",
    )
    main(fit_arguments(root, tmp_path / "run", *TINY_NETWORK, *more, "--figures=0", "--test_after_fit=true"))
    shown = capsys.readouterr().out
    for name in CORPORA:
        assert name in checked
        assert f"test/{name}/cc" in shown
