"""Every experiment file that is shipped parses, says its command, and runs."""

from pathlib import Path

import pytest
from commandline import EXPERIMENTS, TINY_NETWORK, fit_arguments

from lightning_avsp.cli import main

FILES = sorted(EXPERIMENTS.glob("*.yaml"))

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*is smaller than the logging interval.*"
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_says_its_command_and_its_row_and_is_short(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# lightning fit --config experiments/" + path.name)
    assert lines[1].startswith("# ")
    assert "row" in " ".join(lines[1:3])
    assert len(lines) <= 32
    assert f"experiment: {path.stem}" in lines


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_is_in_the_index(path: Path) -> None:
    assert f"`{path.name}`" in (EXPERIMENTS / "README.md").read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_trains_and_tests_with_a_tiny_network(path: Path, corpus: Path, tmp_path: Path) -> None:
    main(
        fit_arguments(
            corpus,
            tmp_path,
            *TINY_NETWORK,
            "--trainer.fast_dev_run=1",
            "--test_after_fit=true",
            experiment=path.stem,
        )
    )
    assert not (tmp_path / "checkpoints").exists()  # fast_dev_run leaves nothing behind
