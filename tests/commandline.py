"""Arguments and a trainer that make any experiment small enough for a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"

TINY_DATA = (
    "--data.corpora=[AVAD]",
    "--data.size=[64,128]",
    "--data.batch_size=2",
    "--data.num_workers=0",
)
TINY_SLICES = "--data.audio.size=[32,64]"
"""For networks that read log-mel slices."""
TINY_NETWORK = tuple(
    f"--model.network.{name}"
    for name in (
        *("video_encoder=tiny", "audio_encoder=tiny"),
        *("video_weights=null", "audio_weights=null"),  # none are published for the tiny ones
    )
)


def fit_arguments(corpus: Path, run: Path, *more: str, experiment: str = "smoke") -> list[str]:
    """`fit` of an experiment on the small corpus: two training batches, one validation batch."""
    waveform = any(name in experiment for name in ("avrsp", "tavdiff"))
    return [
        "fit",
        f"--config={EXPERIMENTS / f'{experiment}.yaml'}",
        f"--data.root={corpus}",
        f"--run_dir={run}",
        *TINY_DATA,
        *(() if waveform else (TINY_SLICES,)),
        "--trainer.accelerator=cpu",
        "--trainer.limit_train_batches=2",
        "--trainer.limit_val_batches=1",
        "--trainer.limit_test_batches=1",
        "--trainer.enable_model_summary=false",
        "--trainer.enable_progress_bar=false",
        "--wandb=disabled",
        *more,
    ]


def quiet_trainer(folder: Path, **options: Any) -> Trainer:
    """A trainer on the CPU that prints and keeps nothing, with one validation batch."""
    settings: dict[str, Any] = {"accelerator": "cpu", "limit_val_batches": 1, "logger": False}
    for name in (
        "enable_checkpointing",
        "enable_progress_bar",
        "enable_model_summary",
        "use_distributed_sampler",
    ):
        settings[name] = False
    return Trainer(default_root_dir=folder, **settings | options)
