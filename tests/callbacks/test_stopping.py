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
from lightning_avsp.cli import main
from lightning_avsp.tasks import DiffusionSaliencyTask

FOUR_STEPS = (*TINY_NETWORK, "--figures=0", "--trainer.limit_train_batches=4", "--data.clip.draw=every")


def test_the_run_stops_with_the_clips_written_down_and_the_checkpoint_of_before(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    original = DiffusionSaliencyTask.training_step

    def broken(self: DiffusionSaliencyTask, batch, batch_idx: int) -> torch.Tensor:
        loss = original(self, batch, batch_idx)
        return loss * float("nan") if batch_idx == 2 else loss

    monkeypatch.setattr(DiffusionSaliencyTask, "training_step", broken)
    error = refused(fit_arguments(corpus, tmp_path, *FOUR_STEPS, "--save_every_steps=1"))
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_saves_and_leaves_and_the_resumed_run_equals_an_uninterrupted_one(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def arguments(name: str, *more: str) -> list[str]:
        return fit_arguments(corpus, tmp_path / name, *FOUR_STEPS, *more)

    main(arguments("whole"))
    original = DiffusionSaliencyTask.training_step

    def signalled(self: DiffusionSaliencyTask, batch, batch_idx: int) -> torch.Tensor:
        if batch_idx == 1:
            os.kill(os.getpid(), number)
        return original(self, batch, batch_idx)

    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(DiffusionSaliencyTask, "training_step", signalled)
        with pytest.raises(SystemExit) as stop:
            main(arguments("parts"))
    assert stop.value.code == 128 + number
    assert signal.getsignal(number) == before
    saved = torch.load(tmp_path / "parts" / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 2
    assert not json.loads((tmp_path / "parts" / "run.json").read_text())["finished"]
    main(arguments("parts", "--ckpt_path=last"))
    whole, parts = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)
        for name in ("whole", "parts")
    )
    assert parts["global_step"] == whole["global_step"] == 4
    assert all(torch.equal(value, parts["state_dict"][name]) for name, value in whole["state_dict"].items())


def test_a_slurm_job_is_put_back_into_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(stopping.subprocess, "run", lambda command, **_: called.append(command))
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    stopping.requeue_job()
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "16")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    stopping.requeue_job()
    assert called == [["scontrol", "requeue", "17"], ["scontrol", "requeue", "16_3"]]
