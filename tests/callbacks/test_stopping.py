"""A NaN loss stops a run and names its clips; a signal ends it with a checkpoint, and resuming completes it exactly."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commandline import TINY_NETWORK, fit_arguments

from lightning_avsp.callbacks import stopping
from lightning_avsp.callbacks.ema import KEY
from lightning_avsp.cli import main
from lightning_avsp.tasks import DiffusionSaliencyTask


def arguments(corpus: Path, run: Path, *more: str) -> list[str]:
    common = ("--ema=0.5", "--figures=0", "--trainer.limit_train_batches=4", "--data.clip.draw=every")
    return fit_arguments(corpus, run, *TINY_NETWORK, *common, *more)


def last(run: Path) -> dict:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def test_the_run_stops_with_the_clips_written_down_and_the_checkpoint_of_before(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    original = DiffusionSaliencyTask.training_step

    def broken(self: DiffusionSaliencyTask, batch, batch_idx: int) -> torch.Tensor:
        loss = original(self, batch, batch_idx)
        return loss * float("nan") if batch_idx == 2 else loss

    monkeypatch.setattr(DiffusionSaliencyTask, "training_step", broken)
    error = refused(arguments(corpus, tmp_path, "--save_every_steps=1"))
    assert "NaN or infinite" in error
    found = json.loads((tmp_path / "nonfinite.json").read_text())
    (batch,) = found["batches"]
    assert batch["batch"] == 2
    assert len(batch["clips"]) == 2
    assert all(corpus_name == "AVAD" and frame >= 1 for corpus_name, _, frame in batch["clips"])
    kept = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert kept["global_step"] == 2
    assert all(value.isfinite().all() for value in kept["state_dict"].values() if value.is_floating_point())
    assert not json.loads((tmp_path / "run.json").read_text())["finished"]


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """The last checkpoint of a training that nothing stopped."""
    run = tmp_path_factory.mktemp("whole")
    main(arguments(corpus, run))
    return last(run)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_saves_and_leaves_and_the_resumed_run_equals_an_uninterrupted_one(
    corpus: Path, whole: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    original = DiffusionSaliencyTask.training_step

    def signalled(self: DiffusionSaliencyTask, batch, batch_idx: int) -> torch.Tensor:
        if batch_idx == 1:
            os.kill(os.getpid(), number)
        return original(self, batch, batch_idx)

    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(DiffusionSaliencyTask, "training_step", signalled)
        with pytest.raises(SystemExit) as stop:
            main(arguments(corpus, tmp_path))
    assert stop.value.code == 128 + number
    assert signal.getsignal(number) == before
    assert last(tmp_path)["global_step"] == 2
    assert not json.loads((tmp_path / "run.json").read_text())["finished"]
    main(arguments(corpus, tmp_path, "--ckpt_path=last"))
    parts = last(tmp_path)
    assert parts["global_step"] == whole["global_step"] == 4
    assert parts[KEY]["updates"] == whole[KEY]["updates"] == 4
    moved = 0
    for name, value in whole["state_dict"].items():  # the same operations in the same order
        assert torch.equal(value, parts["state_dict"][name])
    for name, raw in whole[KEY]["raw"].items():
        assert torch.equal(raw, parts[KEY]["raw"][name])
        moved += not torch.equal(raw, whole["state_dict"][name])
    assert moved  # what is tested is the average


def test_a_slurm_job_is_put_back_into_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(stopping.subprocess, "run", lambda command, **_: called.append(command))
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    stopping.requeue_job()
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "16")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    stopping.requeue_job()
    assert called == [["scontrol", "requeue", "17"], ["scontrol", "requeue", "16_3"]]
