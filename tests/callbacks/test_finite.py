"""A loss that is no number stops the run and names its clips."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commandline import TINY_NETWORK, fit_arguments

from lightning_avsp.tasks import DiffusionSaliencyTask


def test_the_run_stops_with_the_clips_written_down_and_the_checkpoint_of_before(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    original = DiffusionSaliencyTask.training_step

    def broken(self: DiffusionSaliencyTask, batch, batch_idx: int) -> torch.Tensor:
        loss = original(self, batch, batch_idx)
        return loss * float("nan") if batch_idx == 2 else loss

    monkeypatch.setattr(DiffusionSaliencyTask, "training_step", broken)
    assert "NaN or infinite" in refused(
        fit_arguments(
            corpus,
            tmp_path,
            *TINY_NETWORK,
            "--figures=0",
            "--trainer.limit_train_batches=4",
            "--data.clip.draw=every",
            "--save_every_steps=1",
        )
    )
    found = json.loads((tmp_path / "nonfinite.json").read_text())
    (batch,) = found["batches"]
    assert batch["batch"] == 2
    assert len(batch["clips"]) == 2
    assert all(corpus_name == "AVAD" and frame >= 1 for corpus_name, _, frame in batch["clips"])
    kept = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert kept["global_step"] == 2
    assert all(value.isfinite().all() for value in kept["state_dict"].values() if value.is_floating_point())
    assert not json.loads((tmp_path / "run.json").read_text())["finished"]
