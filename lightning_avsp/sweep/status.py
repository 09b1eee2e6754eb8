"""State of every trial, derived from the files of its training and its test: nothing is stored that could be wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lightning_avsp.errors import InputError
from lightning_avsp.files import is_locked
from lightning_avsp.run_folder import RunFolder, read_run_json, write_json
from lightning_avsp.sweep.child import Attempts
from lightning_avsp.sweep.planning import SweepPlan, TrialPlan
from lightning_avsp.sweep.sweep_file import Sweep

State = Literal["finished", "testing", "training", "stage", "failed", "interrupted", "waiting"]
"""``stage``: an earlier stage is trained; ``interrupted``: was begun and goes on from its last checkpoint; ``waiting``:
was never begun, or its training is finished and its test is not begun."""
HEADER = f"{'row':<28} {'split':<5} {'seed':<4} {'state':<11} {'step':<13} {'left':<6} host"
STOPPED = frozenset({None, 0, 143, 138, 130})
"""Exit codes of a process that was killed, has finished, or was asked to stop."""


@dataclass(frozen=True)
class TrialState:
    """State of a trial and of the run that decides it."""

    plan: TrialPlan
    state: State
    folder: Path
    """Folder of the training or test that decides the state."""
    progress: dict[str, Any]
    """Content of its ``progress.json``, empty without one."""

    def line(self) -> str:
        """Write the state in at most 80 columns, host apart."""
        step = f"{self.progress['step']}/{self.progress['steps'] or '?'}" if self.progress else ""
        left = host = ""
        if self.state in ("testing", "training", "stage"):
            left, host = _duration(self.progress.get("left_s")), str(self.progress.get("host", ""))
        label = self.plan.trial.label
        label = label if len(label) <= 28 else f"{label[:12]}...{label[-13:]}"
        point = f"{label:<28} {self.plan.split!s:<5} {self.plan.seed!s:<4}"
        return f"{point} {self.state:<11} {step:<13} {left:<6} {host}".rstrip()[:80]


def states_of(plan: SweepPlan, runs: Path) -> list[TrialState]:
    """Determine the state of every trial at this moment."""
    return [_trial_state(trial, runs) for trial in plan.trials]


def _trial_state(plan: TrialPlan, runs: Path) -> TrialState:
    if plan.result(runs).is_file():
        return TrialState(plan, "finished", plan.test_folder(runs), {})
    for training in plan.training.chain():
        if not training.is_finished(runs):
            busy: State = "training" if training is plan.training else "stage"
            return _unfinished(plan, training.folder(runs), busy)
    return _unfinished(plan, plan.test_folder(runs), "testing")


def _unfinished(plan: TrialPlan, folder: Path, busy: State) -> TrialState:
    attempts = Attempts(RunFolder(folder)).read()
    state: State = "waiting"
    if is_locked(folder):
        state = busy
    elif attempts:
        state = "interrupted" if attempts[-1]["code"] in STOPPED else "failed"
    path = folder / "progress.json"
    return TrialState(plan, state, folder, read_run_json(path) if path.is_file() else {})


def keep_arguments(sweep: str, runs: Path, args: list[str]) -> None:
    """Note the ``--args`` of a run, for commands that look at it later."""
    write_json(runs / "sweeps" / sweep / "args.json", {"args": args})


def kept_arguments(sweep: str, runs: Path) -> list[str]:
    """Read the ``--args`` of the last run of a sweep, none before the first."""
    path = runs / "sweeps" / sweep / "args.json"
    return list(read_run_json(path)["args"]) if path.is_file() else []


def find_results(sweep: Sweep, runs: Path, args: list[str] | None = None) -> dict[str, Path]:
    """Find the result files of a sweep by the trials' names; needs neither the data nor the experiment files.

    Of several results of one trial with the same ``--args``, made from other states of the files, the newest counts.

    Args:
        sweep: The sweep.
        runs: Folder of all runs.
        args: Options that the results were made with; None takes those of all results, which must be one and the same.

    Raises:
        InputError: If there are results of different ``--args`` and none were given.
    """
    found: dict[tuple[str, ...], dict[str, Path]] = {}
    # by time: the newest of a trial's results is laid last
    for path in sorted((runs / "sweeps" / sweep.name).glob("*/result.json"), key=lambda p: p.stat().st_mtime):
        try:
            content = read_run_json(path)
            found.setdefault(tuple(content["args"]), {})[content["trial"]] = path
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is not the result of a trial ({error}); remove it and run the trial again"
            ) from error
    if args is not None:
        return found.get(tuple(args), {})
    if len(found) > 1:
        listed = "; ".join(f"{len(of)} results with --args={' '.join(key)!r}" for key, of in found.items())
        raise InputError(f"{runs / 'sweeps' / sweep.name} holds {listed}: choose one of them with --args")
    return next(iter(found.values()), {})


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    hours, minutes = int(seconds) // 3600, int(seconds) % 3600 // 60
    return f"{hours}h{minutes:02d}" if hours else f"{minutes}m{int(seconds) % 60:02d}"
