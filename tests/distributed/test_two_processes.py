"""Two processes (gloo) train, resume and score as one does: DDP and FSDP2, through the real command line."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from commandline import TINY_NETWORK, fit_arguments

SCRIPT = Path(__file__).with_name("two_processes.py")


def arguments(corpus: Path, run: Path, strategy: str, devices: int, *more: str) -> list[str]:
    """Four steps of four clips, however many processes share them."""
    return fit_arguments(
        corpus,
        run,
        *TINY_NETWORK,
        "--data.global_batch=4",
        "--data.clip.draw=every",
        "--trainer.limit_train_batches=4",
        "--trainer.limit_val_batches=1.0",
        "--trainer.limit_test_batches=1.0",
        "--trainer.num_sanity_val_steps=0",
        "--trainer.gradient_clip_val=1.0",
        "--trainer.log_every_n_steps=1",
        "--data.validation.every=5",
        "--data.test.every=5",
        "--figures=0",
        f"--trainer.strategy={strategy}",
        f"--trainer.devices={devices}",
        *more,
    )


def run(args: list[str]) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPT.parents[2])}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *args],
        capture_output=True,
        text=True,
        env=environment,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def losses(folder: Path) -> list[float]:
    rows = csv.DictReader((folder / "metrics" / "fit" / "metrics.csv").read_text().splitlines())
    return [float(row["train/loss"]) for row in rows if row.get("train/loss")]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(
        type(value) is torch.Tensor for value in found.values()
    )  # whole tensors, whatever sharded them
    return found


def assert_same_weights(one: Path, other: Path) -> None:
    before, after = weights(one), weights(other)
    assert before.keys() == after.keys()
    outside = count = 0
    for name, value in before.items():
        # Adam moves a weight by up to 1e-4 a step, 4e-4 in all, and one whose gradient vanishes in the direction that
        # rounding decides: single weights may differ, their mean may not
        difference = (after[name] - value).abs() / (1 + value.abs())
        assert difference.double().mean() < 1e-5, name
        outside += int((~torch.isclose(after[name], value, atol=2e-5, rtol=1e-4)).sum())
        count += value.numel()
    assert outside < 1e-3 * count, f"{outside} of {count} weights differ by more than rounding"


@pytest.fixture(scope="module")
def alone(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same training on one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    run(arguments(corpus, folder, "auto", 1, "--data.batch_size=4", "--test_after_fit=true"))
    return folder


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_processes_compute_what_one_computes(
    corpus: Path, alone: Path, tmp_path: Path, strategy: str
) -> None:
    more = ("--data.batch_size=2", "--test_after_fit=true")
    log = run(arguments(corpus, tmp_path, strategy, 2, *more))
    assert "global batch 4 = 2 clips on each of 2 processes x 1 accumulated" in log
    assert_same_weights(alone, tmp_path)
    # the loss that is logged is that of the first process' half of the clips, so weights are compared, and the test
    results = [json.loads((folder / "results" / "test.json").read_text()) for folder in (alone, tmp_path)]
    assert results[0]["averages"]["test/frames"] == results[1]["averages"]["test/frames"]
    assert results[0]["averages"] == pytest.approx(results[1]["averages"], abs=2e-3)
    assert len(results[1]["videos"]) == len(results[0]["videos"])
    if strategy == "fsdp2":
        assert "parameters are sharded over 2 processes (FSDP2)" in log


def test_one_process_that_accumulates_computes_the_same(corpus: Path, alone: Path, tmp_path: Path) -> None:
    more = ("--data.batch_size=2", "--trainer.limit_train_batches=8")
    log = run(arguments(corpus, tmp_path, "auto", 1, *more))
    assert "global batch 4 = 2 clips on each of 1 processes x 2 accumulated" in log
    assert_same_weights(alone, tmp_path)


@pytest.mark.parametrize(
    ("strategy", "options"),
    [("ddp", ("--ema=0.5",)), ("fsdp2", ("--ema=0.5", "--activation_checkpointing=true"))],
)
def test_a_killed_run_resumes_exactly(
    corpus: Path, tmp_path: Path, strategy: str, options: tuple[str, ...]
) -> None:
    common = (
        "--data.batch_size=2",
        "--save_every_steps=1",
        "--model.network.freeze_video=true",
        "--model.network.video_weights=random",
        *options,
    )
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(arguments(corpus, whole, strategy, 2, *common))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPT.parents[2])}
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments(corpus, broken, strategy, 2, *common)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=environment,
    )
    last, deadline = broken / "checkpoints" / "last.ckpt", time.monotonic() + 300
    while not last.is_file():
        assert process.poll() is None
        assert time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    at = torch.load(last, weights_only=True)["global_step"]
    assert 0 < at < 4, "the run was not stopped in mid-epoch"
    run(arguments(corpus, broken, strategy, 2, *common, "--ckpt_path=last"))
    a, b = (torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (whole, broken))
    assert a["global_step"] == b["global_step"] == 4
    assert all(torch.equal(value, b["state_dict"][name]) for name, value in a["state_dict"].items())
    assert all(torch.equal(value, b["ema"]["raw"][name]) for name, value in a["ema"]["raw"].items())
