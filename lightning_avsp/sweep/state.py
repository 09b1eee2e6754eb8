"""State of every trial, derived from the files that its attempts left: nothing is stored that could be wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lightning_avsp.errors import InputError
from lightning_avsp.run_folder import write_json
from lightning_avsp.sweep.children import STOPPED
from lightning_avsp.sweep.folders import TrialFolder, exit_record, trial_folder
from lightning_avsp.sweep.locks import is_locked
from lightning_avsp.sweep.sweep_file import Sweep, Trial

State = Literal["finished", "running", "failed", "interrupted", "waiting"]
"""``interrupted``: was begun and goes on from its last checkpoint; ``waiting``: was never begun."""
LOG = "log.txt"
TAIL = 12
"""Lines of a failed trial's log that are shown."""


@dataclass(frozen=True)
class TrialState:
    """What is known of a trial."""

    trial: Trial
    folder: TrialFolder
    state: State
    attempts: int
    failures: int
    """Attempts that ended with an error of their own; those that were stopped or lost their machine do not count."""

    def result(self) -> dict[str, Any] | None:
        """Content of result.json, if finished."""
        path = self.folder.result
        return dict(json.loads(path.read_text())) if path.is_file() else None

    def log_end(self) -> str:
        """The last lines of the last attempt's log."""
        attempts = self.folder.attempts()
        log = attempts[-1] / LOG if attempts else None
        if log is None or not log.is_file():
            return "(no log)"
        return "\n".join(log.read_text(errors="replace").splitlines()[-TAIL:])


def trial_state(trial: Trial, folder: TrialFolder, mine: bool = False) -> TrialState:
    """State of one trial at this moment.

    Args:
        trial: The trial.
        folder: Its folder.
        mine: Whether the asker holds its lock, so that the lock does not mean that it runs.
    """
    attempts = folder.attempts()
    records = [exit_record(attempt) for attempt in attempts]
    failures = sum(record is not None and is_failure(record) for record in records)
    state: State = "waiting"
    if folder.result.is_file():
        state = "finished"
    elif not mine and is_locked(folder.lock):
        state = "running"
    elif records and records[-1] is not None and is_failure(records[-1]):
        state = "failed"
    elif attempts:
        state = "interrupted"
    return TrialState(trial, folder, state, len(attempts), failures)


def is_failure(record: dict[str, Any]) -> bool:
    """Whether an attempt ended with an error: not if it was asked to stop, nor once it was forgiven."""
    return (
        not record.get("forgiven") and not record.get("stopped") and record.get("code") not in {0, *STOPPED}
    )


def forgive(folder: TrialFolder) -> int:
    """Let the failures of a trial no longer count; returns how many."""
    count = 0
    for attempt in folder.attempts():
        record = exit_record(attempt)
        if record is not None and is_failure(record):
            write_json(attempt / "exit.json", {**record, "forgiven": True})
            count += 1
    return count


def sweep_states(sweep: Sweep, trials: list[Trial], runs: Path) -> list[TrialState]:
    """State of every trial of a sweep."""
    return [trial_state(trial, trial_folder(runs, sweep.name, trial.id)) for trial in trials]


def keep_manifest(sweep: Sweep, trials: list[Trial], runs: Path) -> list[str]:
    """Write down what the sweep is, or compare with what was written when it began.

    Trials may be added to a file or taken out of it, since their names follow from their values. The command may not
    change: results under it would belong to another experiment.

    Returns:
        What changed since, one line each.

    Raises:
        InputError: If the command, the program or the method changed.
    """
    path = runs / "sweeps" / sweep.name / "manifest.json"
    now = {
        "sweep": sweep.name,
        "method": sweep.method,
        "program": sweep.program,
        "command": list(sweep.command),
        "trials": {trial.id: trial.overrides for trial in trials},
    }
    if not path.is_file():
        write_json(path, now)
        return []
    before = json.loads(path.read_text())
    for key in ("method", "program", "command"):
        if before[key] != now[key]:
            raise InputError(
                f"{path.parent} was begun with {key} {before[key]}, and {sweep.path} says {now[key]}: its results "
                "would belong to something else; give the file another name, move the folder away, or use other --runs"
            )
    new, gone = now["trials"].keys() - before["trials"].keys(), before["trials"].keys() - now["trials"].keys()  # type: ignore[attr-defined]
    if new or gone:
        write_json(path, now)
    lines = [f"{len(new)} trials are new in {sweep.path}"] if new else []
    return lines + ([f"{len(gone)} trials are no longer in {sweep.path}; their results stay"] if gone else [])
