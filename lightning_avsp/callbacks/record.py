"""`config.yaml` and `run.json`: configuration of a run, its videos, origins of its weights, versions, and its end."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import WandbLogger

import lightning_avsp
from lightning_avsp.callbacks.origins import started_from
from lightning_avsp.run_folder import RunFolder, read_run_json, write_atomically, write_json


class RunRecord(SaveConfigCallback):
    """Writer of the full configuration and the run's facts into its folder, on rank 0, without collectives.

    The callback that Lightning brings writes to the logger's folder, which two W&B runs share: the second run fails,
    or overwrites the first one's file. Here each command of a run has a file of its own.
    """

    _earlier: Sequence[dict[str, Any]] = ()  # a resumed run has seen the videos of all its parts

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the configuration, and ``run.json`` of a training; Lightning calls this once per command, on rank 0."""
        run = RunFolder(Path(trainer.default_root_dir))
        text = self.parser.dump(
            self.config, skip_unset=False
        )  # defaults too: they may change between versions
        name = "config.yaml" if stage == "fit" else f"config-{getattr(stage, 'value', stage)}.yaml"
        write_atomically(run.path / name, text)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.config.update({"avsp": self.config.as_dict()}, allow_val_change=True)
        if stage == "fit":
            self._earlier = self._earlier_parts(run, pl_module, trainer)
            write_json(run.record, {**self._facts(trainer, pl_module), "finished": False})

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Mark the run as finished, unless it was interrupted."""
        run = RunFolder(Path(trainer.default_root_dir))
        if trainer.is_global_zero and not trainer.interrupted:
            write_json(run.record, {**self._facts(trainer, pl_module), "finished": True})

    def _earlier_parts(
        self, run: RunFolder, pl_module: LightningModule, trainer: Trainer
    ) -> list[dict[str, Any]]:
        """Collect videos and origins of the commands that this one resumes, where they differ from its own."""
        path = self.config.get("ckpt_path")
        own = path is not None and run.path.resolve() in Path(path).resolve().parents
        if not own or not run.record.is_file():
            return []
        before = read_run_json(run.record)
        parts = [
            *before.get("earlier", []),
            {"videos": before["videos"], "started_from": before.get("started_from", {})},
        ]
        now = self._facts(trainer, pl_module)
        return [part for part in parts if any(part[key] != now[key] for key in part)]

    def _facts(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        data = getattr(trainer, "datamodule", None)
        videos = {
            part: [list(key) for key in data.videos(part)] if data is not None else []
            for part in ("train", "validation", "test")
        }
        return {
            "experiment": self.config.get("experiment"),
            "seed": self.config.get("seed_everything"),
            "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "steps": trainer.global_step,
            "epochs": trainer.current_epoch,
            "synthetic": getattr(data, "synthetic", None),
            "selection": getattr(data, "selection_label", None),
            "videos": videos,
            "weights": getattr(pl_module, "weight_report", list)(),
            "captions": data.caption_identity() if data is not None else None,
            "starts": getattr(pl_module, "starts", dict)(),
            "started_from": started_from(self.config.as_dict(), Path(trainer.default_root_dir)),
            "earlier": self._earlier,
            "parameters": {
                "trainable": sum(p.numel() for p in pl_module.parameters() if p.requires_grad),
                "frozen": sum(p.numel() for p in pl_module.parameters() if not p.requires_grad),
            },
            "precision": str(trainer.precision),
            "optimiser": getattr(pl_module, "optimizer_report", ""),
            "world_size": trainer.world_size,
            "device": str(pl_module.device),
            "versions": {
                "lightning_avsp": lightning_avsp.__version__,
                "commit": commit(),
                "torch": torch.__version__,
                "lightning": lightning.__version__,
                "python": platform.python_version(),
            },
        }


def commit() -> str | None:
    """Return the commit of the checkout that the package runs from, or None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
