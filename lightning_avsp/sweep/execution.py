"""Runs one training or one test in a process of its own, and writes a trial's result."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lightning_avsp.errors import AVSPError, InputError
from lightning_avsp.run_folder import RunFolder, write_atomically, write_json
from lightning_avsp.sweep import child
from lightning_avsp.sweep.composition import lay_option, leaves, lookup
from lightning_avsp.sweep.identity import tested_data
from lightning_avsp.sweep.planning import Training, TrialPlan, chosen_checkpoint

PROGRAM = ("-m", child.__name__)
LOG = "log.txt"
TAIL = 12
"""Lines of a failed run's log that are shown."""
GRACE = 60.0
"""Seconds that a run has to save its checkpoint when it is asked to stop."""
USER_ERROR = 2  # as the command line ends for an InputError
# by these wandb finds the agent's run, which is for the trial alone, not for its stages
AGENT = ("WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_RESUME", "WANDB_NAME")


class RunFailedError(AVSPError):
    """A training or a test ended with an error that another try may not have."""


@dataclass(frozen=True)
class Runner:
    """Place and means of all runs; nothing here is part of a name."""

    runs: Path
    """Folder of all runs."""
    directory: Path
    """Working directory, to which paths in experiment files are relative."""
    gpus: int = 1
    """Most GPUs of a run."""
    agent: bool = False
    """Write into the W&B run of ``wandb agent``."""

    def train(self, training: Training, stage: Any = None) -> str:
        """Train, resume, or find finished.

        Args:
            training: The training; its stage is finished.
            stage: Result of the stage's own call, for the order alone.

        Returns:
            Its name.

        Raises:
            InputError: If ``lightning fit`` refuses its configuration.
            RunFailedError: If it fails otherwise.
        """
        if training.is_finished(self.runs):
            return training.name
        folder = training.folder(self.runs)
        config = self._placed(training.config, folder)
        if (stage := training.stage) is not None:
            checkpoint = RunFolder(stage.folder(self.runs)).checkpoint(chosen_checkpoint(stage.config))
            config["init_from"] = str(checkpoint)
        self._run("fit", config, training.label, training.name)
        if not training.is_finished(self.runs):
            raise RunFailedError(f"training {training.name} ended, but {folder / 'run.json'} is not finished")
        return training.name

    def test(self, plan: TrialPlan, training: Any = None) -> Path:
        """Test a trial's training, or find it tested, and write the trial's result.

        Args:
            plan: The trial; its training is finished.
            training: Result of the training's own call, for the order alone.

        Raises:
            InputError: If ``lightning test`` refuses its configuration.
            RunFailedError: If it fails otherwise.
        """
        folder = plan.test_folder(self.runs)
        config = self._placed(plan.config, folder)
        for name, _ in leaves("", config):
            if name.endswith("_weights"):
                lay_option(config, name, None)  # the trained weights are in the checkpoint
        checkpoint = RunFolder(plan.training.folder(self.runs)).checkpoint(plan.checkpoint)
        config |= {"init_from": None, "ckpt_path": str(checkpoint.resolve())}
        # nothing is accumulated in a test
        config["data"] = {**config.get("data", {}), "global_batch": None}
        self._run("test", config, plan.label, plan.test)
        write_json(plan.result(self.runs), self._result(plan, checkpoint))
        return plan.result(self.runs)

    def devices(self, config: dict[str, Any]) -> int:
        """Choose the largest number of devices, up to `gpus`, that divides the global batch; 1 without one."""
        batch = lookup(config, "data.global_batch")
        return 1 if batch is None else max(n for n in range(1, max(1, self.gpus) + 1) if int(batch) % n == 0)

    def _placed(self, config: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Add to a configuration what the sweep sets itself."""
        # tests are runs of their own: several trials may share the training, so it must not test
        placed = {**deepcopy(config), "run_dir": str(folder.resolve()), "test_after_fit": False}
        placed["trainer"] = {**placed.get("trainer", {}), "devices": self.devices(config), "num_nodes": 1}
        return placed

    def _run(self, command: str, config: dict[str, Any], label: str, name: str) -> None:
        folder = Path(config["run_dir"])
        if child.is_done(RunFolder(folder), command):
            return
        path = folder / f"{command}.yaml"
        write_atomically(path, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        words = [sys.executable, *PROGRAM, command, "--config", str(path)]
        # appended: the error of an earlier attempt stays to be read
        with (folder / LOG).open("ab") as log:
            process = subprocess.Popen(
                words,
                # nobody is there to answer, not even a login prompt of wandb
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=run_environment(os.environ, label, name, self.agent),
                start_new_session=True,  # Ctrl-C on the terminal is the driver's, which lets the run save first
            )
            try:
                code = _wait(process)
            except BaseException:
                # KeyboardInterrupt where Ray cancels the task, SystemExit at SIGTERM under the agent
                _stop(process)
                raise
        if code == 0:
            return
        message = f"{label}: `lightning {command}` ended with code {code}; {folder / LOG} ends with\n{log_end(folder)}"
        # Ray tries the second again, and not the first
        raise InputError(message) if code == USER_ERROR else RunFailedError(message)

    def _result(self, plan: TrialPlan, checkpoint: Path) -> dict[str, Any]:
        test, run = RunFolder(plan.test_folder(self.runs)), RunFolder(plan.training.folder(self.runs))
        tested = json.loads((test.results / "test.json").read_text())
        record = json.loads(run.record.read_text())
        protocols = test.results / "test_protocols.json"
        facts = ("steps", "epochs", "parameters", "precision", "world_size", "device", "versions")
        return {
            "sweep": plan.sweep,
            "trial": plan.trial.id,
            "row": plan.trial.row,
            "label": plan.trial.label,
            "args": list(plan.args),
            "overrides": plan.trial.overrides,
            "training": plan.training.name,
            "stages": [stage.name for stage in plan.training.chain()][:-1],
            "test": plan.test,
            "run_dir": str(run.path),
            "checkpoint": str(checkpoint),
            "metrics": tested["averages"],
            "protocols": json.loads(protocols.read_text()) if protocols.is_file() else {},
            **{key: tested.get(key) for key in ("videos", "synthetic", "selection", "sampling")},
            **{key: value for key, value in tested.items() if key.startswith("test_")},
            "leaks": tested.get("leaks", []),
            "seed": plan.seed,
            "split": plan.split,
            "corpora": tested_data(plan.config).get("corpora"),
            "wall_s": child.Attempts(test).seconds(),
            "train_wall_s": child.Attempts(run).seconds(),
            **{key: record.get(key) for key in (*facts, "weights", "starts", "captions")},
        }


def run_environment(environment: Mapping[str, str], label: str, name: str, agent: bool) -> dict[str, str]:
    """Make the environment of a training or a test.

    Inside a SLURM job Lightning would take the job's tasks for its processes; under the job name ``interactive`` it
    starts one process for each device itself. W&B's run has the content's name as its id, so a training that is
    resumed, on whatever machine, goes on in the run that it began in; under ``wandb agent`` it is the agent's run.

    Args:
        environment: The environment here.
        label: Name of W&B's run: row, split and seed.
        name: Name of the training or the test by content.
        agent: Write into the agent's run.
    """
    kept = environment if agent else {key: value for key, value in environment.items() if key not in AGENT}
    found = {"WANDB_RUN_ID": name, **kept, "WANDB_RESUME": "allow", "WANDB_NAME": label}
    if "SLURM_NTASKS" in found:
        found["SLURM_JOB_NAME"] = "interactive"
    # unbuffered, so that a killed run leaves its last lines in the log
    return {**found, "PYTHONUNBUFFERED": "1", child.PARENT: str(os.getpid())}


def log_end(folder: Path) -> str:
    """Read the last lines of a run's log."""
    log = folder / LOG
    return "\n".join(log.read_text(errors="replace").splitlines()[-TAIL:]) if log.is_file() else "(no log)"


def _wait(process: subprocess.Popen[bytes]) -> int:
    while True:  # Ray interrupts a task between two lines of Python, not inside a system call
        try:
            return process.wait(0.5)
        except subprocess.TimeoutExpired:
            continue


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a run to save its checkpoint and end; kill what is left of it after `GRACE` seconds."""
    # the first process alone: a dataloader worker would die at once, and the training with it, unsaved
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
