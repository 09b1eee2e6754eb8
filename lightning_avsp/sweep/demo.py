"""`make sweep-demo`: one whole table from its sweep file to its report, with a worker and a trial killed on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning_avsp.errors import AVSPError
from lightning_avsp.sweep import Trial, expand, load_sweep
from lightning_avsp.sweep.folders import TrialFolder, trial_folder
from lightning_avsp.sweep.trainings_folder import is_finished, training_folder

FILE = Path("sweeps/demo_table1.yaml")
HOME = Path("runs/sweep-demo")
"""Corpus, runs and report of the demonstration; the sweep file names the corpus in it."""
VIDEOS = 12
LIMIT = 1800.0
"""Seconds after which something must be wrong."""


def main() -> None:
    """Run the table with two workers, kill one of them and one trial, and count what was trained and tested.

    Raises:
        AVSPError: If a trial was lost or anything was done twice.
    """
    sweep = load_sweep(FILE)
    trials = expand(sweep)
    folders = [trial_folder(HOME, sweep.name, trial.id) for trial in trials]
    _prepare()
    started = time.monotonic()
    workers = [_start(1), _start(2)]
    try:
        victim = _wait_for(lambda: _in_training(folders), "a trial with a checkpoint", workers)
        os.kill(_process(victim)["pid"], signal.SIGKILL)
        print(f"killed trial {victim.path.name} in the middle of its training", flush=True)
        _wait_for(lambda: sum(f.result.is_file() for f in folders) >= 2, "two results", workers)
        workers[0].kill()
        workers[0].wait()
        print("killed worker 1; started worker 3", flush=True)
        workers[0] = _start(3)
        _wait_for(lambda: all(w.poll() is not None for w in workers), "both workers' end", [])
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.terminate()
                worker.wait()
    print(f"{len(trials)} trials in {time.monotonic() - started:.0f} s", flush=True)
    check(trials, folders, victim)
    _report()


def check(trials: list[Trial], folders: list[TrialFolder], victim: TrialFolder) -> None:
    """Compare what was done with what was to be done.

    Args:
        trials: All trials.
        folders: Their folders.
        victim: The one whose process was killed.

    Raises:
        AVSPError: If a trial was lost or anything was done twice.
    """
    results = [json.loads(folder.result.read_text()) for folder in folders if folder.result.is_file()]
    attempts = {folder.path.name: len(folder.attempts()) for folder in folders}
    fits = {r["trial"]: json.loads((Path(r["run_dir"]) / "fits.json").read_text()) for r in results}
    finished = {trial: sum(fit["code"] == 0 for fit in found) for trial, found in fits.items()}
    lines = [
        f"{len(results)} results of {len(trials)} trials; {len({r['training'] for r in results})} trainings",
        f"{sum(attempts.values())} attempts: the killed trial {attempts[victim.path.name]}, the others one each",
        f"{sum(finished.values())} trainings were finished, {sum(len(f) for f in fits.values())} were begun or resumed",
    ]
    print("\n".join(lines), flush=True)
    expected = {folder.path.name: 2 if folder == victim else 1 for folder in folders}
    if len(results) != len(trials):
        raise AVSPError(f"{len(trials) - len(results)} trials were lost; see {HOME}")
    if attempts != expected or set(finished.values()) != {1}:
        raise AVSPError(f"something was done twice: attempts {attempts}, trainings finished {finished}")
    if [fit["code"] for fit in fits[victim.path.name]] != [None, 0]:
        raise AVSPError(f"the killed trial did not go on from its checkpoint: {fits[victim.path.name]}")
    steps = {result["steps"] for result in results}
    if len(steps) != 1:
        raise AVSPError(f"trainings have different numbers of steps: {sorted(steps)}")
    print("nothing was lost, nothing was done twice", flush=True)


def _prepare() -> None:
    """A new start: the corpus is kept, everything else of an earlier demonstration goes."""
    from lightning_avsp.cli.data_synth import synth

    for name in ("sweeps", "trainings", "logs"):
        shutil.rmtree(HOME / name, ignore_errors=True)
    if not (HOME / "corpus" / "synthetic.json").is_file():
        synth(root=HOME / "corpus", corpus="AVAD", videos=VIDEOS, seconds=3.0)
    (HOME / "logs").mkdir(parents=True)


def _start(number: int) -> subprocess.Popen[bytes]:
    """A worker in a process of its own, as it would be on another machine."""
    command = [sys.executable, "-m", "lightning_avsp", "sweep", "run", str(FILE), f"--runs={HOME}"]
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    with (HOME / "logs" / f"worker{number}.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)


def _process(folder: TrialFolder) -> dict[str, Any]:
    return dict(json.loads((folder.attempts()[-1] / "process.json").read_text()))


def _in_training(folders: list[TrialFolder]) -> TrialFolder | None:
    """A trial whose training has a checkpoint and is not finished."""
    for folder in folders:
        for name in folder.needed():
            run = training_folder(HOME, name)
            if (run / "checkpoints" / "last.ckpt").is_file() and not is_finished(run):
                return folder
    return None


def _wait_for(condition: Callable[[], Any], what: str, workers: list[subprocess.Popen[bytes]]) -> Any:
    deadline = time.monotonic() + LIMIT
    while not (found := condition()):
        if any(worker.poll() for worker in workers) or time.monotonic() > deadline:
            raise AVSPError(f"there was never {what}; see {HOME / 'logs'} and the logs of the attempts")
        time.sleep(0.05)
    return found


def _report() -> None:
    from lightning_avsp.cli.report import report

    report(sweep=FILE, runs=HOME, format="markdown")
    report(sweep=FILE, runs=HOME, format="html", out=HOME / "report.html")
    print(f"report    {HOME / 'report.html'}", flush=True)


if __name__ == "__main__":
    main()
