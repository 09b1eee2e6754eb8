"""Runs the trainings and tests of sweeps as tasks of Ray, on this machine or on a cluster."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from lightning_avsp.errors import InputError, MissingDependencyError
from lightning_avsp.sweep.execution import RunFailedError, Runner
from lightning_avsp.sweep.planning import SweepPlan, TrialPlan

Say = Callable[[str], None]


@dataclass(frozen=True)
class Cluster:
    """Resources of a cluster of Ray."""

    nodes: tuple[tuple[int, int], ...]
    """(GPUs, CPUs) of each node."""
    jobs: int
    """Trials at a time where there is no GPU."""

    @property
    def gpus(self) -> int:
        """Most GPUs of a node; a run takes those of one node alone."""
        return max(gpus for gpus, _ in self.nodes)

    def share(self, gpus: int) -> dict[str, int]:
        """Compute what a run with so many GPUs asks of Ray, which gives it as many numerical threads as cores.

        Every node that has the GPUs has it: Ray would wait for ever for a request that fits on no node.
        """
        if self.gpus:
            cores = min(cpus * gpus // n for n, cpus in self.nodes if n)
            return {"num_gpus": gpus, "num_cpus": max(1, cores)}
        held = [cpus for _, cpus in self.nodes]
        return {"num_gpus": 0, "num_cpus": max(1, min(sum(held) // self.jobs, *held))}


@contextmanager
def connect(address: str | None, jobs: int | None = None) -> Iterator[Cluster]:
    """Connect to a cluster, or start one on this machine that ends with this process, by whatever cause.

    Args:
        address: ``auto`` or an address of Ray; None starts a cluster here.
        jobs: Trials at a time where there is no GPU; one for each four cores by default.

    Raises:
        MissingDependencyError: If Ray is not installed.
        InputError: If there is no cluster at the address.
    """
    # Ray sends reports of use by default
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # else Ray hides the GPUs from tasks that ask for none, and warns at each
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_task_oom_retries", "2")  # Ray's own default is for ever
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError(
            "`avsp sweep run` needs Ray: pip install 'lightning-avsp[sweep]'"
        ) from error
    # every run logs into its own folder; here one line a trial is printed
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        settings |= {"address": "local", "include_dashboard": False}
        # each trial takes a core at least: Ray would let more jobs than cores wait
        settings["num_cpus"] = max(os.cpu_count() or 1, jobs or 1)
    else:
        settings |= {"address": address}
    try:
        ray.init(**settings)
    except ConnectionError as error:
        raise InputError(
            f"no cluster of Ray at {address}: {error}; start one with `ray start --head`"
        ) from error
    try:
        held = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        nodes = tuple((int(of.get("GPU", 0)), int(of.get("CPU", 1))) for of in held)
        yield Cluster(nodes, jobs or max(1, sum(cpus for _, cpus in nodes) // 4))
    finally:
        ray.shutdown()


def check_nodes(paths: list[Path]) -> None:
    """Refuse a cluster of which a node does not see a path.

    Raises:
        InputError: With the node and the path.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # beside whatever runs there already
    task: Any = ray.remote(num_cpus=0)(lambda: [path for path in paths if not path.exists()])
    nodes = [node for node in ray.nodes() if node["Alive"]]
    # not soft: on this node or not at all
    pinned = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    found = ray.get([task.options(scheduling_strategy=strategy).remote() for strategy in pinned])
    for node, missing in zip(nodes, found, strict=True):
        if missing:
            raise InputError(
                f"node {node['NodeManagerHostname']} does not see {', '.join(map(str, missing))}; a cluster needs the "
                "working directory, the data and --runs on a disk that all nodes share"
            )


def run_plan(plan: SweepPlan, runner: Runner, cluster: Cluster, retries: int, say: Say) -> list[TrialPlan]:
    """Run every training and test that is not there, each once.

    SIGTERM and Ctrl-C stop it: trainings save a checkpoint first, and go on from it at the next start.

    Args:
        plan: Trials with their trainings.
        runner: Place and means of the runs.
        cluster: Resources that they share.
        retries: Number of times that Ray tries a task again whose process or machine failed.
        say: Takes a line for every trial that ends.

    Returns:
        Trials that failed.

    Raises:
        SystemExit: 128 plus the number of the signal that stopped it.
    """
    import ray

    open_trials = plan.left(runner.runs).trials
    untrained = [trial for trial in open_trials if not trial.training.is_finished(runner.runs)]
    needed = SweepPlan(tuple(untrained)).trainings
    # a user's mistake (InputError) would fail again alike
    # Ray's own types allow no list of exceptions here, its documentation does
    remote: Any = ray.remote(max_retries=retries, retry_exceptions=[RunFailedError])  # type: ignore[call-overload]
    train, test = remote(Runner.train), remote(Runner.test)
    place = ray.put(runner)

    references: dict[str, Any] = {}
    for name, training in needed.items():
        if not training.is_finished(runner.runs):
            before = references.get(training.stage.name) if training.stage else None
            share = cluster.share(runner.devices(training.config))
            # Ray starts a task once the references among its arguments are there: a stage before its training
            references[name] = train.options(**share, name=training.label).remote(place, training, before)
    waiting: dict[Any, TrialPlan] = {}
    for trial in open_trials:
        # trials of several sweeps may share a test: the second waits for the first, not for its lock on a GPU
        before = references.get(trial.test, references.get(trial.training.name))
        share = cluster.share(runner.devices(trial.config))
        references[trial.test] = test.options(**share, name=trial.label).remote(place, trial, before)
        waiting[references[trial.test]] = trial
    failed: list[TrialPlan] = []

    def cancel() -> None:
        """Interrupt running tasks, which stop their processes gently, and wait for them."""
        running = list({*references.values(), *waiting})
        for reference in running:
            # without force: a KeyboardInterrupt in the task, at which the run may still save
            ray.cancel(reference)
        ray.wait(running, num_returns=len(running))

    with _stopped_by_signals(cancel):
        while waiting:
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            trial = waiting.pop(done)
            count = f"{len(plan.trials) - len(waiting)}/{len(plan.trials)}"
            try:
                ray.get(done)
                say(f"finished  {count}  {trial.label}")
            # one failed row must not end the others
            except (ray.exceptions.RayError, RunFailedError, InputError) as error:
                failed.append(trial)
                cause = getattr(error, "cause", None) or error
                say(f"FAILED    {count}  {trial.label}: {cause}")
    return failed


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call a function at SIGTERM, SIGUSR1 or Ctrl-C, then leave with 128 plus the signal's number."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    }
    try:
        yield
    except KeyboardInterrupt:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        stop()
        raise SystemExit(128 + (received[0] if received else signal.SIGINT)) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
