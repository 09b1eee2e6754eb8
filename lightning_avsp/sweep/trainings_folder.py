"""Where trainings lie and whether they are finished: all that a worker needs to know, without importing torch."""

from __future__ import annotations

import json
from pathlib import Path

from lightning_avsp.run_folder import RunFolder


def training_folder(runs: Path, name: str) -> Path:
    """Run folder of a training."""
    return runs / "trainings" / name


def lock_path(folder: Path) -> Path:
    """Lock of a training."""
    return folder / "training.lock"


def is_finished(folder: Path) -> bool:
    """Whether a run folder holds a finished training."""
    record = RunFolder(folder).record
    return record.is_file() and bool(json.loads(record.read_text()).get("finished"))
