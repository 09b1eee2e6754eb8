"""Finds the training that a trial needs under ``runs/trainings/``, or trains it: once, whoever wants it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lightning_avsp.errors import AVSPError, InputError
from lightning_avsp.run_folder import RunFolder, write_atomically, write_json
from lightning_avsp.sweep.children import PROGRAM, STOPPED, Children, trainer_environment
from lightning_avsp.sweep.locks import FileLock
from lightning_avsp.sweep.planning import Training, same_content
from lightning_avsp.sweep.trainings_folder import is_finished, lock_path


class TrainingBusyError(AVSPError):
    """The training is somebody else's at the moment."""


class TrainingFailedError(AVSPError):
    """The training ended without being finished."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Trainer:
    """Finds or trains trainings under one folder."""

    runs: Path
    children: Children = field(default_factory=Children)
    program: Sequence[str] = PROGRAM
    """What runs ``fit``."""
    keep: tuple[int, ...] = ()
    """Numbers of locks that children inherit besides the training's own."""
    wait: bool = True
    """Whether to wait for a training that somebody else is at; if not, `TrainingBusyError`."""
    owned: Collection[str] | None = None
    """Names of trainings that may be trained here, or None for all; the others are waited for."""
    say: Callable[[str], None] = print

    def find_or_train(self, training: Training, of_trial: bool = True) -> Path:
        """The folder of a finished training; its earlier stages come first.

        Args:
            training: What is wanted.
            of_trial: Whether it is a trial's own training, not an earlier stage.

        Raises:
            TrainingBusyError: If somebody else is at it and we do not wait.
            TrainingFailedError: If ``fit`` fails.
            InputError: If its folder holds another training.
        """
        folder = training.folder(self.runs)
        if is_finished(folder):
            self._check(training, folder)
            self.say(f"training {training.name}: found in {folder}")
            return folder
        start = None
        if training.stage is not None:
            start = RunFolder(self.find_or_train(training.stage, False)).checkpoint("best")
        if self.owned is not None and training.name not in self.owned:
            return self._await(training, folder)
        lock = FileLock(lock_path(folder), needed=self.owned is None)
        if not lock.take():
            if not self.wait:
                raise TrainingBusyError(f"training {training.name} is being trained by another worker")
            lock.wait(waiting=lambda: self.say(f"training {training.name}: another worker is at it; waiting"))
        with lock:
            if is_finished(folder):  # by whoever had the lock before
                self.say(f"training {training.name}: found in {folder}")
                return folder
            self._train(training, folder, start, lock, of_trial)
        return folder

    def _train(
        self, training: Training, folder: Path, start: Path | None, lock: FileLock, of_trial: bool
    ) -> None:
        self._check(training, folder)
        write_json(folder / "training.json", {"name": training.name, **training.content})
        config = {
            **training.config,
            "run_dir": str(folder),
            "init_from": str(start) if start else training.config.get("init_from"),
            "ckpt_path": None,
            "overwrite": False,
            "test_after_fit": False,
        }
        write_atomically(folder / "fit.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        command = [*self.program, "fit", "--config", str(folder / "fit.yaml")]
        if (folder / "checkpoints" / "last.ckpt").is_file():
            command += ["--ckpt_path", "last"]
            self.say(f"training {training.name}: going on from its last checkpoint")
        else:
            self.say(f"training {training.name}: from the beginning, in {folder}")
        clock = FitClock(folder)
        clock.start()
        held = (*self.keep, lock.number) if lock.number is not None else self.keep
        code = self.children.run(command, trainer_environment(of_trial), held)
        clock.stop(code)
        if code in STOPPED:
            raise TrainingFailedError(f"training {training.name} was stopped; it goes on next time", 143)
        if code != 0:
            raise TrainingFailedError(f"training {training.name} failed with code {code}", 1)
        if not is_finished(folder):
            raise TrainingFailedError(
                f"training {training.name} ended, but {folder}/run.json is not finished", 1
            )

    def _await(self, training: Training, folder: Path) -> Path:
        """Wait for a training that another shard does."""
        if not self.wait:
            raise TrainingBusyError(f"training {training.name} belongs to another shard")
        self.say(f"training {training.name} belongs to another shard; waiting")
        while not is_finished(folder):
            time.sleep(1.0)
        return folder

    def _check(self, training: Training, folder: Path) -> None:
        """Refuse a folder of another training."""
        path = folder / "training.json"
        if not path.is_file():
            if is_finished(folder):
                raise InputError(
                    f"{folder} holds a run that no sweep made; move it away, or use another --runs"
                )
            return
        there = json.loads(path.read_text())
        there.pop("name", None)
        if not same_content(there, json.loads(json.dumps(training.content))):
            raise InputError(
                f"{path} describes another training than its name says; remove the folder to train anew"
            )


@dataclass(frozen=True)
class FitClock:
    """Wall time of a training over all its attempts, killed ones too."""

    folder: Path

    @property
    def path(self) -> Path:
        """``fits.json``: start and end of every attempt, in seconds since 1970."""
        return self.folder / "fits.json"

    def read(self) -> list[dict[str, Any]]:
        """All attempts; of one that was killed, the end is when it last wrote a checkpoint."""
        fits: list[dict[str, Any]] = json.loads(self.path.read_text()) if self.path.is_file() else []
        last = self.folder / "checkpoints" / "last.ckpt"
        for fit in fits:
            if fit["ended"] is None:
                fit["ended"] = max(fit["started"], last.stat().st_mtime if last.is_file() else 0.0)
        return fits

    def start(self) -> None:
        """Note a new attempt."""
        write_json(self.path, [*self.read(), {"started": time.time(), "ended": None, "code": None}])

    def stop(self, code: int) -> None:
        """Note its end."""
        fits = self.read()
        fits[-1] |= {"ended": time.time(), "code": code}
        write_json(self.path, fits)

    def seconds(self) -> float:
        """Sum over all attempts."""
        return float(sum(fit["ended"] - fit["started"] for fit in self.read()))
