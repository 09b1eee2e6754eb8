"""Signals and Ctrl-C end a training after the current step, with a checkpoint; resuming completes it exactly."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from commandline import TINY_NETWORK, fit_arguments

from lightning_avsp.callbacks import stop_signals
from lightning_avsp.cli import main
from lightning_avsp.tasks import DiffusionSaliencyTask


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_saves_and_leaves_and_the_resumed_run_equals_an_uninterrupted_one(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def arguments(name: str, *more: str) -> list[str]:
        common = ("--figures=0", "--trainer.limit_train_batches=4", "--data.clip.draw=every")
        return fit_arguments(corpus, tmp_path / name, *TINY_NETWORK, *common, *more)

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
    monkeypatch.setattr(stop_signals.subprocess, "run", lambda command, **_: called.append(command))
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    stop_signals.requeue_job()
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "16")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    stop_signals.requeue_job()
    assert called == [["scontrol", "requeue", "17"], ["scontrol", "requeue", "16_3"]]
