"""Every corpus, synthesised in its own layout: checked, trained one step on, and tested, through the command line."""

from pathlib import Path

import pytest
from commandline import TINY_NETWORK, fit_arguments

from lightning_avsp.cli import main

CORPORA = ("AVAD", "Coutrot1", "Coutrot2", "DIEM", "ETMD", "SumMe", "DHF1K", "Hollywood2", "UCF", "CrowdSAL")

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*is smaller than the logging interval.*"
)


@pytest.mark.parametrize("name", CORPORA)
def test_synthesised_checked_trained_and_tested(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root = tmp_path / "data"
    main(["data", "synth", f"--root={root}", f"--corpus={name}", "--videos=6", "--seconds=2", "--workers=1"])
    main(
        ["data", "check", str(root), f"--corpus={name}", f"--json={tmp_path / 'check.json'}"]
    )  # exits with 1 on errors
    assert (tmp_path / "check.json").is_file()
    arguments = [
        argument
        for argument in fit_arguments(root, tmp_path / "run", *TINY_NETWORK)
        if not argument.startswith("--data.corpora")
    ]
    main([*arguments, f"--data.corpora=[{name}]", "--trainer.fast_dev_run=1", "--test_after_fit=true"])
    shown = capsys.readouterr().out
    assert f"test/{name}/cc" in shown
