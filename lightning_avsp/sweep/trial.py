"""One trial: find or train the weights, test them with the trial's own settings, write the result."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from lightning_avsp.errors import AVSPError
from lightning_avsp.run_folder import RunFolder, write_atomically, write_json
from lightning_avsp.sweep import folders
from lightning_avsp.sweep.children import PROGRAM, STOPPED, Children, trainer_environment
from lightning_avsp.sweep.folders import TrialFolder, arguments_here, trial_folder
from lightning_avsp.sweep.locks import FileLock
from lightning_avsp.sweep.planning import TrialPlan, plan_trial
from lightning_avsp.sweep.resolve import split_arguments
from lightning_avsp.sweep.trainings import FitClock, Trainer, TrainingBusyError, TrainingFailedError
from lightning_avsp.tasks.base import without_weight_sources


@dataclass
class TrialRun:
    """Runs trials of one sweep.

    Under a worker the environment names the attempt's folder and the lock, both the worker's; under ``wandb agent`` or
    by hand the trial makes and takes its own.
    """

    sweep: str
    runs: Path
    checkpoint: Literal["best", "last"] = "best"
    """Which weights of the training are tested."""
    program: Sequence[str] = PROGRAM
    """What runs ``fit`` and ``test``."""
    children: Children = field(default_factory=Children)

    def run(self, arguments: Sequence[str]) -> Path:
        """Run one trial, or find that it is finished.

        Args:
            arguments: What follows ``lightning fit``; the last ``--config`` holds the sweep's values as JSON.

        Returns:
            Its ``result.json``.

        Raises:
            AVSPError: If its training or its test fails.
        """
        given = split_arguments(arguments, arguments_here())
        plan = plan_trial(given)
        folder = trial_folder(self.runs, self.sweep, plan.id)
        write_json(
            folder.needs,
            {"trainings": [t.name for t in plan.training.chain()], "config_hash": plan.config_hash},
        )
        if os.environ.get(folders.ATTEMPT):
            inherited = _open_number(os.environ.get(folders.LOCK))
            return self._attempt(plan, folder, Path(os.environ[folders.ATTEMPT]), inherited)
        return self._alone(plan, folder)

    def _alone(self, plan: TrialPlan, folder: TrialFolder) -> Path:
        lock = FileLock(folder.lock)
        lock.wait(waiting=lambda: print(f"trial {plan.id}: another worker is at it; waiting", flush=True))
        with lock:
            if folder.result.is_file():
                print(f"trial {plan.id} is finished: {folder.result}", flush=True)
                return folder.result
            attempt = folder.new_attempt()
            record: dict[str, Any] = {"started": time.time()}
            try:
                result = self._attempt(plan, folder, attempt, () if lock.number is None else (lock.number,))
            except AVSPError as error:
                record |= {"code": getattr(error, "code", 1), "error": str(error)}
                raise
            except SystemExit as stop:
                record |= {"code": stop.code, "error": "stopped"}
                raise
            else:
                record["code"] = 0
            finally:
                write_json(attempt / "exit.json", {**record, "ended": time.time()})
            return result

    def _attempt(self, plan: TrialPlan, folder: TrialFolder, attempt: Path, keep: tuple[int, ...]) -> Path:
        started = time.time()
        owned = os.environ.get(folders.OWNED)
        trainer = Trainer(
            self.runs,
            children=self.children,
            program=self.program,
            keep=keep,
            wait=os.environ.get(folders.WAIT, "1") != "0",
            owned=None if owned is None else set(owned.split(",")),
            say=lambda line: print(line, flush=True),
        )
        training = trainer.find_or_train(plan.training)
        checkpoint = RunFolder(training).checkpoint(self.checkpoint)
        self._test(plan, attempt, checkpoint, keep)
        write_json(folder.result, self._result(plan, attempt, training, checkpoint, time.time() - started))
        print(f"trial {plan.id}: {folder.result}", flush=True)
        return folder.result

    def _test(self, plan: TrialPlan, attempt: Path, checkpoint: Path, keep: tuple[int, ...]) -> None:
        config = {
            **plan.config,
            "model": without_weight_sources(
                plan.config["model"]
            ),  # the trained weights are in the checkpoint
            "run_dir": str(attempt),
            "init_from": None,
            "ckpt_path": str(checkpoint),
            "test_after_fit": False,
        }
        # what a training alone has: a test would refuse it or be slowed by it
        config["data"] = {**config["data"], "global_batch": None}
        write_atomically(attempt / "test.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        command = [*self.program, "test", "--config", str(attempt / "test.yaml")]
        code = self.children.run(command, trainer_environment(), keep)
        if code in STOPPED:
            raise TrainingFailedError("the test was stopped; it is repeated next time", 143)
        if code != 0:
            raise TrainingFailedError(f"the test failed with code {code}", 1)

    def _result(
        self, plan: TrialPlan, attempt: Path, training: Path, checkpoint: Path, wall: float
    ) -> dict[str, Any]:
        tested = json.loads((attempt / "results" / "test.json").read_text())
        record = json.loads(RunFolder(training).record.read_text())
        config = plan.config
        return {
            "sweep": self.sweep,
            "trial": plan.id,
            "overrides": plan.overrides,
            "training": plan.training.name,
            "stages": [stage.name for stage in plan.training.chain()][:-1],
            "run_dir": str(training),
            "checkpoint": str(checkpoint),
            "attempt": str(attempt),
            "metrics": tested["averages"],
            "videos": tested["videos"],
            "synthetic": tested["synthetic"],
            "selection": tested["selection"],
            "sampling": tested.get("sampling"),
            "leaks": tested.get("leaks", []),
            "seed": config["seed_everything"],
            "split": config["data"]["split"],
            "corpora": config["data"]["corpora"],
            "wall_s": wall,
            "train_wall_s": FitClock(training).seconds(),
            "steps": record["steps"],
            "epochs": record.get("epochs"),
            "parameters": record.get("parameters"),
            "precision": record.get("precision"),
            "world_size": record["world_size"],
            "device": record["device"],
            "versions": record["versions"],
            "config_hash": plan.config_hash,
        }


def run_trial(arguments: Sequence[str]) -> None:
    """The command ``lightning trial --sweep NAME [--runs DIR] [--checkpoint best|last] ARGUMENTS OF FIT``.

    Raises:
        SystemExit: With code 75 if the training is somebody else's and the worker said not to wait, 143 if stopped,
            1 if the training or the test failed.
    """
    from lightning_avsp.sweep.trial_options import read_options

    options, rest = read_options(arguments)
    trial = TrialRun(options.sweep, options.runs, options.checkpoint)
    trial.children.listen()
    try:
        trial.run(rest)
    except TrainingBusyError as busy:
        print(busy, flush=True)
        raise SystemExit(folders.BUSY) from busy
    except TrainingFailedError as failed:
        print(f"error: {failed}", flush=True)
        raise SystemExit(failed.code) from failed


def _open_number(text: str | None) -> tuple[int, ...]:
    """The inherited lock, if its number is an open file here."""
    if not text:
        return ()
    try:
        os.fstat(int(text))
    except OSError:
        return ()
    return (int(text),)
