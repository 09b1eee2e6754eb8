"""Where a sweep keeps its files, and the environment through which a worker tells a trial where it runs."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUNS = "AVSP_RUNS"
"""Folder of all runs; ``runs`` where it is not set."""
ARGUMENTS = "AVSP_TRIAL_ARGS"
"""Options of ``lightning fit`` that this machine adds to every trial, e.g. ``--data.root=/data``."""
ATTEMPT = "AVSP_ATTEMPT"
"""Folder of the attempt, made by the worker."""
LOCK = "AVSP_LOCK_FD"
"""Number of the trial's lock, held by the worker and inherited."""
WAIT = "AVSP_WAIT"
"""``0`` if a trial is to leave with code `BUSY` instead of waiting for somebody else's training."""
OWNED = "AVSP_OWNED"
"""Names of the trainings that may be trained here (``--shard``); all where it is not set."""
BUSY = 75
"""Exit code of a trial that left because its training is somebody else's at the moment (EX_TEMPFAIL)."""


@dataclass(frozen=True)
class TrialFolder:
    """``runs/sweeps/<sweep>/<trial>/``: result.json, lock, needs.json, attempts/NNN/."""

    path: Path

    @property
    def result(self) -> Path:
        """Exists exactly when the trial is finished."""
        return self.path / "result.json"

    @property
    def lock(self) -> Path:
        """Held while somebody is at the trial."""
        return self.path / "lock"

    @property
    def needs(self) -> Path:
        """Names of the trainings that the trial needs, the first stage first."""
        return self.path / "needs.json"

    def needed(self) -> list[str]:
        """Content of `needs`; empty before the trial ran for the first time."""
        return list(json.loads(self.needs.read_text())["trainings"]) if self.needs.is_file() else []

    def attempts(self) -> list[Path]:
        """Folders of all attempts, the first one first."""
        folder = self.path / "attempts"
        return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []

    def new_attempt(self) -> Path:
        """Make the folder of the next attempt; the caller holds the lock."""
        numbers = [int(path.name) for path in self.attempts()]
        folder = self.path / "attempts" / f"{max(numbers, default=0) + 1:03d}"
        folder.mkdir(parents=True)
        return folder


def trial_folder(runs: Path, sweep: str, trial: str) -> TrialFolder:
    """Folder of a trial."""
    return TrialFolder(runs / "sweeps" / sweep / trial)


def exit_record(attempt: Path) -> dict[str, Any] | None:
    """How an attempt ended: ``code``, ``started``, ``ended``; None if nobody was left to write it."""
    path = attempt / "exit.json"
    return dict(json.loads(path.read_text())) if path.is_file() else None


def default_runs() -> Path:
    """Folder of all runs as the environment says."""
    return Path(os.environ.get(RUNS) or "runs")


def arguments_here() -> list[str]:
    """Options that this machine adds to every trial."""
    return shlex.split(os.environ.get(ARGUMENTS, ""))
