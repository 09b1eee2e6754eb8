"""`avsp sweep run|status|plan|slurm`: W&B's sweep files without W&B's server."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_avsp.errors import AVSPError

if TYPE_CHECKING:
    from lightning_avsp.sweep.shards import SweepPlan
    from lightning_avsp.sweep.state import TrialState

GPU_ARGUMENTS = "--trainer.accelerator=gpu --trainer.devices=-1 --trainer.precision=bf16-mixed"
"""What a trial on a GPU node gets: all its GPUs, by DDP, in bfloat16."""


def run(
    file: str,
    workers: int = 1,
    retries: int = 2,
    shard: str | None = None,
    dry_run: bool = False,
    again: bool = False,
    args: str | None = None,
    runs: Path | None = None,
) -> None:
    """Run a sweep without a server. Start it as often as you like, on as many machines as see the folder.

    Finished trials stay finished, interrupted ones go on from their last checkpoint, none runs twice.

    Args:
        file: The sweep file, e.g. sweeps/diffsal_table1.yaml.
        workers: Trials at a time; each has an equal share of this machine's GPUs.
        retries: How often a trial that failed is tried again.
        shard: Only part i of n, as i/n from 0, without relying on locks: for file systems without flock.
        dry_run: Print the commands and stop.
        again: Try trials that were given up, as if they had not failed.
        args: Options of `lightning fit` for every trial, e.g. --args="--data.root=/data --trainer.strategy=fsdp2".
        runs: Folder of all runs; $AVSP_RUNS or runs by default.
    """
    from lightning_avsp.sweep import expand, load_sweep
    from lightning_avsp.sweep.folders import ARGUMENTS, OWNED, RUNS, default_runs, trial_folder
    from lightning_avsp.sweep.local import run_workers
    from lightning_avsp.sweep.state import forgive, keep_manifest, sweep_states
    from lightning_avsp.sweep.worker import Worker

    sweep, folder = load_sweep(file), runs or default_runs()
    trials = expand(sweep)
    environment = {**os.environ, RUNS: str(folder)}
    if args is not None:
        environment[ARGUMENTS] = args
    part = trials
    if shard is not None:
        from lightning_avsp.sweep.shards import plan_sweep, read_shard

        number, count = read_shard(shard)
        given = shlex.split(environment.get(ARGUMENTS, ""))
        part, owned = plan_sweep(sweep, trials, given).shard(number, count)
        environment[OWNED] = ",".join(owned)
    if dry_run:
        for trial in part:
            print(shlex.join(trial.command))
        return
    for line in keep_manifest(sweep, trials, folder):
        print(line, flush=True)
    if again:
        for trial in part:
            forgive(trial_folder(folder, sweep.name, trial.id))
    worker = Worker(sweep, part, folder, retries, environment, say=lambda line: print(line, flush=True))
    number = run_workers(worker, workers)
    if number:
        _leave(number)
    states = sweep_states(sweep, part, folder)
    done = sum(state.state == "finished" for state in states)
    print(
        f"{done} of {len(states)} trials are finished; results in {folder / 'sweeps' / sweep.name}",
        flush=True,
    )
    if done < len(states):
        raise SystemExit(1)


def _leave(number: int) -> None:
    """Leave after a signal; SIGUSR1 in a SLURM job means that its time is nearly up."""
    import signal

    if number == signal.SIGUSR1 and "SLURM_JOB_ID" in os.environ:
        from lightning_avsp.callbacks.stop_signals import requeue_job

        requeue_job()
    print(f"stopped by {signal.Signals(number).name}; start again to go on", flush=True)
    raise SystemExit(128 + number)


def status(file: str, runs: Path | None = None) -> None:
    """Show every trial of a sweep: finished, running, failed with the end of its log, interrupted, or waiting.

    Args:
        file: The sweep file.
        runs: Folder of all runs; $AVSP_RUNS or runs by default.
    """
    from rich.console import Console
    from rich.table import Table

    from lightning_avsp.sweep import expand, load_sweep
    from lightning_avsp.sweep.folders import default_runs
    from lightning_avsp.sweep.state import sweep_states

    sweep, folder = load_sweep(file), runs or default_runs()
    states = sweep_states(sweep, expand(sweep), folder)
    metric = str(sweep.metric.get("name", "test/cc"))
    table = Table(title=f"{sweep.name}: {folder / 'sweeps' / sweep.name}")
    for column in ("", "trial", "state", "tries", "training", metric):
        table.add_column(column, no_wrap=True)
    table.add_column("values", overflow="fold", ratio=1)
    varying = _varying([dict(_flat(state.trial.overrides)) for state in states])
    for state in states:
        table.add_row(*_row(state, metric, varying))
    console = Console()
    console.print(table)
    counts = {name: sum(s.state == name for s in states) for name in dict.fromkeys(s.state for s in states)}
    console.print(", ".join(f"{count} {name}" for name, count in counts.items()), highlight=False)
    for state in states:
        if state.state == "failed":
            console.print(
                f"\n{state.trial.id} failed; the end of {state.folder.attempts()[-1] / 'log.txt'}:",
                markup=False,
            )
            console.print(state.log_end(), highlight=False, markup=False)


def _row(state: TrialState, metric: str, varying: list[str]) -> tuple[str, ...]:
    result = state.result() or {}
    value = result.get("metrics", {}).get(metric)
    needed = state.folder.needed()
    values = dict(_flat(state.trial.overrides))
    return (
        str(state.trial.index + 1),
        state.trial.id,
        state.state,
        f"{state.attempts}" + (f" ({state.failures} failed)" if state.failures else ""),
        str(result.get("training") or (needed[-1] if needed else "")),
        "" if value is None else f"{value:.4f}",
        ", ".join(f"{name}={values[name]}" for name in varying if name in values),
    )


def _varying(points: list[dict[str, Any]]) -> list[str]:
    """Names whose values differ between trials."""
    names = dict.fromkeys(name for point in points for name in point)
    return [name for name in names if len({str(point.get(name, "")) for point in points}) > 1]


def _flat(values: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """Nested values as (dotted name, value)."""
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, dict) and value:
            found += _flat(value, f"{above}{key}.")
        else:
            found.append((f"{above}{key}".replace("init_args.", ""), value))
    return found


def plan(files: list[str], args: str | None = None, runs: Path | None = None) -> None:
    """How many trainings sweeps cost: rows that differ in their test alone share one, and so do stages and tables.

    Reads the corpora's lists where they are, no frame, and trains nothing.

    Args:
        files: Sweep files.
        args: Options of `lightning fit` for every trial, as for `avsp sweep run`.
        runs: Folder of all runs; $AVSP_RUNS or runs by default.
    """
    from rich.console import Console

    from lightning_avsp.errors import CorpusNotFoundError
    from lightning_avsp.sweep import expand, load_sweep
    from lightning_avsp.sweep.folders import default_runs, trial_folder
    from lightning_avsp.sweep.shards import SweepPlan, plan_sweep, trained_in

    folder = runs or default_runs()
    more = None if args is None else shlex.split(args)
    console = Console(highlight=False)
    sweeps = [load_sweep(file) for file in files]
    try:
        plans = [plan_sweep(sweep, expand(sweep), more) for sweep in sweeps]
        here = True
    except CorpusNotFoundError as error:
        console.print(
            f"counted without the data, so what is trained already is not known ({error})", markup=False
        )
        plans = [plan_sweep(sweep, expand(sweep), more, with_data=False) for sweep in sweeps]
        here = False
    for sweep, planned in zip(sweeps, plans, strict=True):
        there = set(trained_in(folder, planned)) if here else set()
        console.print(sweep.name)
        for name, training in planned.trainings.items():
            users = [
                trial for trial, plan in planned.trials if name in [t.name for t in plan.training.chain()]
            ]
            what = "stage" if name in planned.stages else "tested"
            start = f" from {training.stage.name}" if training.stage else ""
            console.print(
                f"  {name}  {'trained' if name in there else 'to train'}  {what}  "
                f"{training.config['experiment']}{start}: "
                f"{len(users)} trials ({', '.join(str(trial.index + 1) for trial in users)})"
            )
        for trial, trial_plan in planned.trials if here else ():
            result = trial_folder(folder, sweep.name, trial.id).result
            if result.is_file() and json.loads(result.read_text())["config_hash"] != trial_plan.config_hash:
                console.print(
                    f"  trial {trial.index + 1} {trial.id}: its result is of an earlier experiment file"
                )
        console.print(_count(planned, len(there)))
    if len(plans) > 1:
        whole = SweepPlan(tuple(pair for planned in plans for pair in planned.trials))
        console.print("all together, what tables share counted once")
        console.print(_count(whole, len(trained_in(folder, whole)) if here else 0))


def _count(planned: SweepPlan, there: int) -> str:
    return (
        f"  {len(planned.trials)} trials, {len(planned.trainings)} trainings ({len(planned.stages)} of them earlier "
        f"stages), {there} already there"
    )


def slurm(
    file: str,
    nodes: int = 1,
    gpus: int = 8,
    cpus: int = 64,
    hours: int = 24,
    partition: str | None = None,
    args: str = GPU_ARGUMENTS,
    retries: int = 2,
    shard: bool = False,
    agent: str | None = None,
    runs: Path | None = None,
    out: Path | None = None,
) -> None:
    """Write a SLURM array script that runs a sweep with one worker on each node, each trial on all its GPUs.

    Args:
        file: The sweep file.
        nodes: Workers: array tasks of one node each.
        gpus: GPUs of each node.
        cpus: Cores of each node.
        hours: Time limit of each task; what is unfinished then is queued again and goes on.
        partition: Partition of the cluster.
        args: Options of `lightning fit` for every trial; add --trainer.strategy=fsdp2 to shard a large network.
        retries: How often a trial that failed is tried again.
        shard: Divide the trials by the task's number: for file systems without flock.
        agent: ENTITY/PROJECT/SWEEP of `wandb sweep`: run `wandb agent` on the nodes instead.
        runs: Folder of all runs, seen by all nodes; $AVSP_RUNS or runs by default.
        out: File to write; printed if not given.
    """
    from lightning_avsp.run_folder import write_atomically
    from lightning_avsp.sweep import expand, load_sweep
    from lightning_avsp.sweep.folders import default_runs
    from lightning_avsp.sweep.slurm import SlurmJob

    sweep = load_sweep(file)
    if agent is None:
        expand(sweep)  # a sweep that needs the server is refused here, not on the cluster
    job = SlurmJob(
        file=Path(file),
        name=sweep.name,
        nodes=nodes,
        gpus=gpus,
        cpus=cpus,
        hours=hours,
        partition=partition,
        arguments=args,
        runs=runs or default_runs(),
        retries=retries,
        agent=agent,
        shard=shard,
    )
    if out is None:
        print(job.script(), end="")
        return
    try:
        write_atomically(out, job.script())
    except OSError as error:
        raise AVSPError(f"{out} cannot be written: {error.strerror}") from error
    print(f"sbatch {out}")
