"""A sweep whose trainings and tests are `fake_lightning`, and events to wait for."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from conftest import wait_for

from lightning_avsp.sweep import load_sweep
from lightning_avsp.sweep.cluster import Cluster, run_plan
from lightning_avsp.sweep.execution import Runner
from lightning_avsp.sweep.planning import SweepPlan, TrialPlan, plan_sweep

HERE = Path(__file__).parent
EXPERIMENT = HERE.parent / "experiments" / "smoke.yaml"


def fake_environment() -> dict[str, str]:
    """Variables that put `fake_lightning` in the place of this package's commands."""
    return {
        "AVSP_SWEEP_PROGRAM": "fake_lightning",
        "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)]),
    }


def is_alive(pid: int) -> bool:
    """A process that has ended but was not yet collected by its parent is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@dataclass
class FakeSweep:
    """A sweep whose trainings and tests are `fake_lightning`."""

    path: Path
    runs: Path
    notes: Path

    def plan(self) -> SweepPlan:
        return plan_sweep(load_sweep(self.path))

    def go(self, *seeds: int) -> None:
        for seed in seeds:
            (self.notes / f"go{seed}").touch()

    def events(self, seed: int, command: str = "fit") -> list[str]:
        return [words[2] for words in self._words() if words[:2] == [command, str(seed)]]

    def pid(self, seed: int, driver: subprocess.Popen[str] | None = None, event: str = "waits") -> int:
        """Process that noted an event last; waits for it, while the driver lives."""
        wait_for(lambda: event in self.events(seed), driver)
        return [int(words[3]) for words in self._words() if words[:3] == ["fit", str(seed), event]][-1]

    def run(self, cluster: Cluster, lines: list[str] | None = None, retries: int = 2) -> list[TrialPlan]:
        say = (lambda line: None) if lines is None else lines.append
        return run_plan(self.plan(), Runner(self.runs, Path.cwd()), cluster, retries, say)

    def results(self) -> int:
        return len(list(self.runs.glob("sweeps/fake/*/result.json")))

    def _words(self) -> list[list[str]]:
        path = self.notes / "notes.txt"
        return [line.split() for line in path.read_text().splitlines()] if path.is_file() else []
