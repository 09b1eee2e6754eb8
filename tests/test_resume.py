"""SIGKILL in mid-epoch, then `--ckpt_path last`: the same batches follow, the final weights are the same."""

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fit_script
import pytest
import torch
from commandline import fit_arguments

from lightning_avsp.cli import main

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def _deterministic_here_alone() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)


def arguments(corpus: Path, run: Path, *more: str) -> list[str]:
    # 4 training videos of 25 frames: 40 windows, 20 batches an epoch, of which 3 are used, over 2 epochs;
    # validation in between, loader processes, dropout and noise: all that a resumed run must repeat
    return fit_arguments(
        corpus,
        run,
        "--data.clip.draw=every",
        "--data.num_workers=1",
        "--deterministic=true",
        "--trainer.limit_train_batches=3",
        "--trainer.max_epochs=2",
        "--trainer.log_every_n_steps=1",
        "--save_every_steps=2",
        "--figures=0",
        *more,
    )


def losses(run: Path) -> dict[int, float]:
    found = {}
    for path in sorted((run / "metrics").glob("*/metrics.csv")):
        for row in csv.DictReader(path.read_text().splitlines()):
            if row.get("train/loss"):
                found[int(row["step"])] = float(row["train/loss"])
    return found


def test_a_killed_run_resumes_exactly(corpus: Path, tmp_path: Path, start: Callable) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    main(arguments(corpus, whole))
    command = [sys.executable, fit_script.__file__, *arguments(corpus, broken)]
    process = start(command, stderr=subprocess.PIPE, env={**os.environ, "KILL_IN_STEP": "5"})
    log = process.communicate()[1]
    assert process.returncode == -signal.SIGKILL, log[-3000:]
    at = torch.load(broken / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert at == 4, "the last checkpoint lies in mid-epoch"
    main(arguments(corpus, broken, "--ckpt_path=last"))

    a, b = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, broken))
    assert a["global_step"] == b["global_step"] == 6
    assert a["state_dict"].keys() == b["state_dict"].keys()
    differing = [
        name for name, value in a["state_dict"].items() if not torch.equal(value, b["state_dict"][name])
    ]
    assert not differing
    expected, resumed = losses(whole), losses(broken)
    assert len(expected) == 6
    # every step after the kill saw the same batch, the same timesteps and the same noise
    assert all(resumed[step] == expected[step] for step in range(at, 6))
