"""Local workers: any number, on any number of machines over one folder, take trials one by one."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lightning_avsp.errors import InputError
from lightning_avsp.run_folder import write_json
from lightning_avsp.sweep import folders
from lightning_avsp.sweep.folders import TrialFolder, trial_folder
from lightning_avsp.sweep.locks import FileLock, is_locked
from lightning_avsp.sweep.state import LOG, TrialState, trial_state
from lightning_avsp.sweep.sweep_file import Sweep, Trial
from lightning_avsp.sweep.trainings_folder import is_finished, lock_path, training_folder


@dataclass
class Worker:
    """Takes trials that nobody is at, until every trial is finished or given up.

    A trial's lock is inherited by its processes: it stays held while any of them lives, and is free the moment the last
    one died. So a trial is never run twice at a time, and never stays locked.
    """

    sweep: Sweep
    trials: list[Trial]
    runs: Path
    retries: int = 2
    """How often a trial that failed is tried again."""
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    say: Callable[[str], None] = print
    stop: threading.Event = field(default_factory=threading.Event)
    grace: float = 60.0
    """Seconds that a trial has to save its checkpoint when the worker is stopped."""
    pause: float = 1.0
    """Seconds between two looks when everything is taken."""

    def run(self) -> None:
        """Work until nothing is left to do here or elsewhere, or until stopped."""
        while not self.stop.is_set():
            left = [trial for trial in self.trials if not self._is_over(self._state(trial))]
            if not left:
                return
            if not any(self._take(trial) for trial in left if not self.stop.is_set()):
                self.stop.wait(self.pause)

    def _state(self, trial: Trial) -> TrialState:
        return trial_state(trial, trial_folder(self.runs, self.sweep.name, trial.id))

    def _is_over(self, state: TrialState) -> bool:
        given_up = state.state == "failed" and state.failures > self.retries
        return state.state == "finished" or given_up

    def _take(self, trial: Trial) -> bool:
        """Run a trial's next attempt if nobody else is at it; returns whether anything was done."""
        folder = trial_folder(self.runs, self.sweep.name, trial.id)
        if self._training_is_busy(folder):
            return False
        lock = FileLock(folder.lock, needed=folders.OWNED not in self.environment)
        if not lock.take():
            return False
        with lock:
            # between the look and the lock another worker may have finished it
            before = trial_state(trial, folder, mine=True)
            return not self._is_over(before) and self._attempt(trial, folder, lock, before)

    def _training_is_busy(self, folder: TrialFolder) -> bool:
        """Whether somebody is at a training that this trial needs: another trial is worth more now."""
        names = folder.needed()
        if not names or is_finished(training_folder(self.runs, names[-1])):
            return False
        owned = self.environment.get(folders.OWNED)
        others = set() if owned is None else set(names) - set(owned.split(","))
        if any(not is_finished(training_folder(self.runs, name)) for name in others):
            return True  # another shard's
        return any(is_locked(lock_path(training_folder(self.runs, name))) for name in names)

    def _attempt(self, trial: Trial, folder: TrialFolder, lock: FileLock, before: TrialState) -> bool:
        attempt = folder.new_attempt()
        started = time.time()
        command = trial.command
        label = f"trial {trial.index + 1}/{len(self.trials)} {trial.id}"
        self.say(f"started   {label}" + (f", attempt {before.attempts + 1}" if before.attempts else ""))
        with (attempt / LOG).open("wb") as log:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environment(attempt, lock),
                    pass_fds=() if lock.number is None else (lock.number,),
                    start_new_session=True,
                )
            except OSError as error:
                shutil.rmtree(attempt)
                raise InputError(
                    f"{self.sweep.path}: '{command[0]}' cannot be started: {error.strerror}"
                ) from error
            owner = {"pid": process.pid, "worker": os.getpid(), "host": socket.gethostname()}
            write_json(attempt / "process.json", owner)
            code = self._wait(process)
        if code == folders.BUSY:
            shutil.rmtree(attempt)  # it looked, found its training taken, and left
            self.say(f"put off   {label}: its training is another worker's at the moment")
            return False
        if code == 0 and not folder.result.is_file():
            code = 1  # a command that is not `lightning trial`, or a trial that lost its result
        record = {"code": code, "started": started, "ended": time.time(), "stopped": self.stop.is_set()}
        write_json(attempt / "exit.json", record)
        self._tell(label, trial, folder, time.time() - started, code)
        return True

    def _environment(self, attempt: Path, lock: FileLock) -> dict[str, str]:
        return {
            **self.environment,
            # the program of this very installation, also where its environment is not activated
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{self.environment.get('PATH', os.defpath)}",
            folders.RUNS: str(self.runs),
            folders.ATTEMPT: str(attempt),
            folders.LOCK: "" if lock.number is None else str(lock.number),
            folders.WAIT: "0",
            "PYTHONUNBUFFERED": "1",
        }

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        """Exit code of a trial; when the worker is stopped it may save its checkpoint first.

        The wish to stop goes to the trial alone, which passes it to its training: a loader process that got it too
        would die at once, and the training with it, before the checkpoint is written.
        """
        asked = 0.0
        while True:
            try:
                code = process.wait(timeout=0.2)
                break
            except subprocess.TimeoutExpired:
                if self.stop.is_set() and not asked:
                    asked = time.monotonic()
                    process.terminate()
                elif asked and time.monotonic() - asked > self.grace:
                    end_group(process.pid)
        end_group(process.pid)  # what a killed trial left behind
        return code

    def _tell(self, label: str, trial: Trial, folder: TrialFolder, seconds: float, code: int) -> None:
        after = trial_state(trial, folder, mine=True)
        if after.state == "finished":
            self.say(f"finished  {label} ({seconds:.0f} s)")
        elif self.stop.is_set():
            self.say(f"stopped   {label}: goes on where it was at the next start")
        elif after.failures > self.retries:
            self.say(
                f"failed    {label} for the {after.failures}th time, with code {code}: given up; its log "
                f"{folder.attempts()[-1] / LOG} ends with\n{after.log_end()}"
            )
        else:
            self.say(
                f"broke off {label} with code {code}; {self.retries - after.failures + 1} tries are left"
            )


def end_group(leader: int) -> None:
    """Kill everything that a trial started; its locks are free when the last process is gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
