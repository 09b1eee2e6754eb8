"""A SLURM array script: every task is one node with one worker, whose trials use all GPUs of that node."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from lightning_avsp.errors import InputError

EXPLAINED = (
    "# One worker on each node; a trial starts one process per GPU itself. 180 s before the time is up the worker is",
    "# told: its trial saves a checkpoint, the task is queued again, and the trial goes on where it was. However often",
    "# this is submitted, nothing is trained or tested twice.",
)


@dataclass(frozen=True)
class SlurmJob:
    """What a sweep asks of a cluster."""

    file: Path
    """The sweep file, as seen from the folder that the job is submitted in."""
    name: str
    nodes: int
    """Workers: array tasks of one node each."""
    gpus: int
    """GPUs of each node, all used by one trial."""
    cpus: int
    """Cores of each node."""
    hours: int
    partition: str | None
    arguments: str
    """Options of ``lightning fit`` that every trial gets."""
    runs: Path
    retries: int
    agent: str | None = None
    """``ENTITY/PROJECT/SWEEP`` for ``wandb agent`` instead of our worker."""
    shard: bool = False
    """Divide the trials by the task's number: for file systems without ``flock``."""

    def __post_init__(self) -> None:
        for key in ("nodes", "gpus", "cpus", "hours"):
            if getattr(self, key) < 1:
                raise InputError(f"--{key} must be at least 1, got {getattr(self, key)}")
        if self.agent is not None and self.shard:
            raise InputError(
                "--shard divides trials among our own workers; wandb's server does it for --agent"
            )

    def script(self) -> str:
        """The script, to be given to ``sbatch``."""
        lines = [
            "#!/bin/bash",
            f"#SBATCH --job-name={self.name}",
            f"#SBATCH --array=0-{self.nodes - 1}",
            "#SBATCH --nodes=1",
            "#SBATCH --ntasks-per-node=1",
            f"#SBATCH --gpus-per-node={self.gpus}",
            f"#SBATCH --cpus-per-task={self.cpus}",
            f"#SBATCH --time={self.hours}:00:00",
            *([f"#SBATCH --partition={self.partition}"] if self.partition else []),
            "#SBATCH --output=%x-%A_%a.log",
            "#SBATCH --open-mode=append",
            # W&B's server does not give an interrupted trial out again, so an agent is not queued again
            *([] if self.agent is not None else ["#SBATCH --requeue", "#SBATCH --signal=B:USR1@180"]),
            *([] if self.agent is not None else EXPLAINED),
            "set -euo pipefail",
            'cd "$SLURM_SUBMIT_DIR"',
            # numerical threads of every process: its share of the cores
            f"export OMP_NUM_THREADS={max(1, self.cpus // self.gpus)}",
            f"export AVSP_RUNS={shlex.quote(str(self.runs))}",
            f"export AVSP_TRIAL_ARGS={shlex.quote(self.arguments)}",
            *self._command(),
        ]
        return "\n".join(lines) + "\n"

    def _command(self) -> list[str]:
        if self.agent is not None:
            return [
                "export WANDB_AGENT_DISABLE_FLAPPING=true",
                f"exec wandb agent {shlex.quote(self.agent)}",
            ]
        words = ["exec", "avsp", "sweep", "run", shlex.quote(str(self.file)), "--workers", "1"]
        words += ["--retries", str(self.retries)]
        if self.shard:
            words += ["--shard", f'"$SLURM_ARRAY_TASK_ID/{self.nodes}"']
        return [" ".join(words)]
