"""SIGKILL in mid-epoch, then `--ckpt_path last`: the same batches follow, the final weights are the same."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from commandline import fit_arguments


def arguments(corpus: Path, run: Path, *more: str) -> list[str]:
    # 4 training videos of 25 frames: 40 windows, 20 batches an epoch, of which 6 are used, over 2 epochs;
    # validation in between, loader processes, dropout and noise: all that a resumed run must repeat
    return fit_arguments(
        corpus,
        run,
        "--data.clip.draw=every",
        "--data.num_workers=1",
        "--deterministic=true",
        "--trainer.limit_train_batches=6",
        "--trainer.max_epochs=2",
        "--trainer.log_every_n_steps=1",
        "--save_every_steps=2",
        "--figures=0",
        *more,
    )


def command(args: list[str]) -> list[str]:
    return [sys.executable, "-m", "lightning_avsp", *args]


def losses(run: Path) -> dict[int, float]:
    found = {}
    for path in sorted((run / "metrics").glob("*/metrics.csv")):
        for row in csv.DictReader(path.read_text().splitlines()):
            if row.get("train/loss"):
                found[int(row["step"])] = float(row["train/loss"])
    return found


def kill_in_mid_epoch(args: list[str], run: Path) -> None:
    last = run / "checkpoints" / "last.ckpt"
    process = subprocess.Popen(
        command(args), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + 240
    while not last.is_file():
        assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
        assert time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_killed_run_resumes_exactly(corpus: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(command(arguments(corpus, whole)), check=True, capture_output=True)
    kill_in_mid_epoch(arguments(corpus, broken), broken)
    at = torch.load(broken / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert at % 6 != 0, "the run was not stopped in mid-epoch"
    subprocess.run(command(arguments(corpus, broken, "--ckpt_path=last")), check=True, capture_output=True)

    a, b = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, broken))
    assert a["global_step"] == b["global_step"] == 12
    assert a["state_dict"].keys() == b["state_dict"].keys()
    differing = [
        name for name, value in a["state_dict"].items() if not torch.equal(value, b["state_dict"][name])
    ]
    assert not differing
    expected, resumed = losses(whole), losses(broken)
    assert len(expected) == 12
    # every step after the kill saw the same batch, the same timesteps and the same noise
    assert all(resumed[step] == expected[step] for step in range(at, 12))
