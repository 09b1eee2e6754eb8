"""`avsp sweep run|status|plan` and `lightning trial`: W&B's sweep files with and without W&B's server."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lightning_avsp.errors import CorpusNotFoundError, InputError
from lightning_avsp.sweep import load_sweep
from lightning_avsp.sweep.cluster import check_nodes, connect, run_plan
from lightning_avsp.sweep.costs import DeviceSpeed, count_hours, plan_costs, read_speeds, recorded_speeds
from lightning_avsp.sweep.execution import RunFailedError, Runner, log_end
from lightning_avsp.sweep.planning import SweepPlan, hand_made_trial, plan_sweep, plan_trial, take_option
from lightning_avsp.sweep.preflight import check_plan
from lightning_avsp.sweep.status import HEADER, keep_arguments, kept_arguments, states_of
from lightning_avsp.sweep.sweep_file import Sweep

RUNS = "AVSP_RUNS"
"""Environment variable with the folder of all runs."""
ARGUMENTS = "AVSP_TRIAL_ARGS"
"""Environment variable with options of `lightning fit` for every trial, for `wandb agent`."""


def run(
    files: list[str],
    gpus_per_trial: int = 1,
    address: str | None = None,
    args: str | None = None,
    retries: int = 2,
    jobs: int | None = None,
    dry_run: bool = False,
    runs: Path | None = None,
) -> None:
    """Run sweeps without a server, on this machine or on a cluster of Ray. Start it as often as you like.

    Finished trials stay finished, interrupted ones resume from their last checkpoint, none runs twice.

    Args:
        files: Sweep files, e.g. sweeps/diffsal_table1.yaml; what several share is trained once.
        gpus_per_trial: GPUs of a trial; the largest number up to it that divides the global batch is taken.
        address: A running cluster of Ray, e.g. auto; by default a local one is started and ends with this command.
        args: Options of `lightning fit` for every trial, e.g. --args="--data.root=/data".
        retries: Number of times that a failed training or test is tried again.
        jobs: Trials at a time on a machine without a GPU (default: one for each 4 cores).
        dry_run: Print the commands and stop.
        runs: Folder of all runs; $AVSP_RUNS or runs by default.
    """
    folder = _runs(runs)
    sweeps = [load_sweep(file) for file in files]
    options = shlex.split(os.environ.get(ARGUMENTS, "") if args is None else args)
    plan = SweepPlan.join(plan_sweep(sweep, options) for sweep in sweeps)
    if dry_run:
        for trial in plan.trials:
            print(shlex.join([*trial.trial.command, *options]))
        return
    for sweep in sweeps:
        # for `status` and `plan`, which else would look for other trials
        keep_arguments(sweep.name, folder, options)
    failed, left = 0, plan.left(folder)  # of a finished sweep no cluster is started
    if left.trials:
        runner = Runner(folder.resolve(), Path.cwd(), gpus_per_trial)
        with connect(address, jobs) as cluster:
            paths = check_plan(left, folder, cluster.gpus, gpus_per_trial)
            if len(cluster.nodes) > 1:
                check_nodes(paths)
            failed = len(run_plan(plan, runner, cluster, retries, lambda line: print(line, flush=True)))
    done = len(plan.trials) - failed
    print(f"{done} of {len(plan.trials)} trials are finished; results in {folder / 'sweeps'}", flush=True)
    if failed:
        raise SystemExit(1)


def status(files: list[str], args: str | None = None, runs: Path | None = None) -> None:
    """Show every trial of sweeps: row, split, seed, state, step, time left and host, one line each.

    Args:
        files: Sweep files.
        args: Options of `lightning fit` as given to `avsp sweep run`; those of the last run by default.
        runs: Folder of all runs; $AVSP_RUNS or runs by default.
    """
    folder = _runs(runs)
    for sweep in [load_sweep(file) for file in files]:
        states = states_of(plan_sweep(sweep, _options(sweep, folder, args)), folder)
        print(f"{sweep.name}: {folder / 'sweeps' / sweep.name}\n{HEADER}")
        print("\n".join(state.line() for state in states))
        counts = Counter(state.state for state in states)
        print(", ".join(f"{count} {name}" for name, count in counts.items()))
        # trials that share a failed training have one log
        for path in dict.fromkeys(s.folder for s in states if s.state == "failed"):
            print(f"\n{path} failed; its log ends with\n{log_end(path)}")


def plan(
    files: list[str],
    gpus_per_trial: int = 1,
    args: str | None = None,
    runs: Path | None = None,
    speeds: Path | None = None,
) -> None:
    """Show the trainings that sweeps need, what they compute, and which are finished; trains nothing.

    Rows that differ in their test alone share a training, and so do stages and tables. What is left is counted in hours
    of one device, by the times of finished runs of the same experiment, else by measured speeds.

    Args:
        files: Sweep files.
        gpus_per_trial: GPUs of a trial, as for `avsp sweep run`.
        args: Options of `lightning fit` as for `avsp sweep run`; those of the last run by default.
        runs: Folder of all runs; $AVSP_RUNS or runs by default.
        speeds: speeds.json of `avsp bench train --all true --inference true`.
    """
    folder = _runs(runs)
    sweeps = [load_sweep(file) for file in files]
    try:
        plans = [plan_sweep(sweep, _options(sweep, folder, args)) for sweep in sweeps]
        finished = {name for p in plans for name, t in p.trainings.items() if t.is_finished(folder)}
    except CorpusNotFoundError as error:
        # a table's cost is asked for before its data are there
        print(f"counted without the data, so finished trainings are not known ({error})")
        plans = [plan_sweep(sweep, _options(sweep, folder, args), with_data=False) for sweep in sweeps]
        finished = set()
    every = SweepPlan.join(plans)
    known = {} if speeds is None else read_speeds(speeds)
    known |= recorded_speeds(every, folder) if finished else {}
    runner = Runner(folder, Path.cwd(), gpus_per_trial)
    for sweep, planned in zip(sweeps, plans, strict=True):
        print(sweep.name)
        for cost in plan_costs(planned):
            training = planned.trainings[cost.name]
            batch = (training.config.get("data") or {}).get("global_batch")
            gpus = runner.devices(training.config)
            note = f"  {gpus} of {gpus_per_trial} GPUs: batch {batch}" if gpus < gpus_per_trial else ""
            length = f"{cost.epochs} epochs" if cost.epochs else f"{cost.steps} steps"
            state = "finished" if cost.name in finished else "stage" if cost.is_stage else "open"
            amounts = (cost.clips, cost.validation_frames, cost.test_frames)
            clips, validated, tested = ("?" if amount is None else amount for amount in amounts)
            print(
                f"  {cost.name} {state:<8} {length} of {clips} clips and {validated} validated frames, {cost.tests} "
                f"tests of {tested} frames  {cost.label}{note}"
            )
        print(_count(planned, finished, folder, known))
    if len(plans) > 1:
        print("all together, what they share counted once")
        print(_count(every, finished, folder, known))


def trial(arguments: Sequence[str]) -> None:
    """Run one trial of a sweep: `lightning trial --sweep NAME [--checkpoint best|last] ARGUMENTS OF lightning fit`.

    Finds or trains the weights that its configuration names by content, tests them, and writes
    RUNS/sweeps/NAME/<trial>/result.json. `wandb agent` runs this; the last --config holds the trial's values as JSON.

    Args:
        arguments: Everything after ``lightning trial``; $AVSP_TRIAL_ARGS is added.
    """
    words = list(arguments)
    if not words or words[0] in ("-h", "--help"):
        print(trial.__doc__)
        return
    name, checkpoint = take_option(words, "--sweep"), take_option(words, "--checkpoint") or ""
    gpus, folder = take_option(words, "--gpus-per-trial") or "1", _runs(None)
    if name is None:
        raise InputError("lightning trial needs --sweep NAME, under which its result is kept")
    options = shlex.split(os.environ.get(ARGUMENTS, ""))
    agent = "WANDB_SWEEP_ID" in os.environ
    if agent:
        words = ["--wandb=online", *words]  # an agent has a server; what the file or this machine says wins
    planned = plan_trial(name, hand_made_trial(words), words, options, checkpoint)
    keep_arguments(name, folder, options)
    runner = Runner(folder.resolve(), Path.cwd(), int(gpus))
    *stages, last = planned.training.chain()
    # an exit, which lets the training save first
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        # stages write into runs of their own: the agent's is the trial's
        for stage in stages if not last.is_finished(runner.runs) else ():
            runner.train(stage)
        replace(runner, agent=agent).train(last)
        print(f"trial {planned.trial.id}: {replace(runner, agent=agent).test(planned)}", flush=True)
    except RunFailedError as error:
        print(f"error: {error}", flush=True)
        raise SystemExit(1) from error


def _options(sweep: Sweep, folder: Path, args: str | None) -> list[str]:
    return kept_arguments(sweep.name, folder) if args is None else shlex.split(args)


def _runs(given: Path | None) -> Path:
    return given or Path(os.environ.get(RUNS) or "runs")


def _count(planned: SweepPlan, finished: set[str], runs: Path, speeds: Mapping[str, DeviceSpeed]) -> str:
    there = len(finished & planned.trainings.keys())
    text = (
        f"  {len(planned.trials)} trials, {len(planned.trainings)} trainings ({len(planned.stages)} of them earlier "
        f"stages), {there} of them finished"
    )
    left = planned.left(runs)
    if not speeds or not left.trials:
        return text
    return f"{text}\n  left: {count_hours(plan_costs(left), speeds, finished, 'device')}"
