"""Speed of training and prediction of experiments, with memory, compile time and the largest operators.

On the CPU configurations take their rounds in turns, so that other load on the machine falls on all of them alike, and
what is compared is the ratio inside a round. On a GPU they follow one another, so that each has the whole memory; all
times are those of the device's own clock.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from lightning_avsp.errors import InputError
from lightning_avsp.profiling.case import BenchmarkCase, Configuration
from lightning_avsp.profiling.device import matrix_peak, peak_memory, reset_peak_memory
from lightning_avsp.structures import DiffusionNetwork
from lightning_avsp.tasks.execution import compile_clock

DENOISING_STEPS = (1, 4, 8)
"""Numbers of steps at which prediction is timed."""
PAPERS = ("diffsal_avad", "mubic_avad", "avrsp_avad", "tavdiff_avad")
"""Full-size experiments of ``avsp bench train --all``."""
EXECUTIONS = (
    "precision=bf16-mixed compile=graphs",
    "precision=bf16-mixed",
    "precision=32-true",
    "precision=bf16-mixed compile=default",
)
"""Configurations of each of them, the most likely to overrun its time last."""
MAX_OPERATORS = 10


@dataclass
class Speed:
    """Measurements of one configuration."""

    name: str
    """The configuration in one line."""
    batch: int | None = None
    """Clips of a step."""
    samples_per_s: list[float] = field(default_factory=list)
    """Training clips per second, one number for each round."""
    ratios: list[float] = field(default_factory=list)
    """These over those of the first configuration in the same rounds."""
    sections: dict[str, float] = field(default_factory=dict)
    """Seconds of a step by section, mean over all rounds; without ``data`` where clips were random."""
    peak_bytes: int | None = None
    """Peak memory of training: on a GPU that of this configuration alone, on the CPU that of the whole process."""
    flops_per_clip: int | None = None
    """Operations of forward and backward pass of one clip, two per multiply-accumulate."""
    utilisation: float | None = None
    """MFU: share of the device's matrix peak (bfloat16) that these operations are; None where the peak is unknown."""
    compile_s: float = 0.0
    """Seconds spent compiling."""
    warmup_s: float = 0.0
    """Seconds of building the network and of the first steps, compiling included."""
    clips_per_s: dict[str, list[float]] = field(default_factory=dict)
    """Predicted clips per second by number of denoising steps (``one pass`` for direct networks), for each round."""
    operators: list[dict[str, Any]] = field(default_factory=list)
    """Largest operators of a training step: ``name``, ``ms`` (without the operators that it calls) and ``calls``."""
    kernels: list[dict[str, Any]] = field(default_factory=list)
    """The same of kernels, on a GPU; compiled code calls kernels without operators."""
    error: str | None = None
    """Reason for which there are no measurements, or not all."""

    @property
    def median(self) -> float:
        """Median of the rounds' samples per second."""
        return median(self.samples_per_s)

    @property
    def shares(self) -> dict[str, float]:
        """Share of each section in the step, 0 to 1."""
        total = sum(self.sections.values())
        return {name: seconds / total for name, seconds in self.sections.items()}


@dataclass(frozen=True)
class Rounds:
    """Amount of work that is measured."""

    steps: int = 10
    """Training steps of a round."""
    rounds: int = 3
    """Rounds of every configuration."""
    warmup: int = 3
    """Steps before anything is timed, which compile and fill caches."""
    inference: bool = False
    """Also time prediction, at :data:`DENOISING_STEPS` for diffusion networks."""

    def __post_init__(self) -> None:
        if min(self.steps, self.rounds, self.warmup) < 1:
            raise InputError(
                f"steps={self.steps}, rounds={self.rounds} and warmup={self.warmup} must be at least 1"
            )


@dataclass
class Speeds:
    """Measured configurations and the machine that they were measured on."""

    machine: dict[str, Any]
    """Device, its matrix peak, threads, cores, versions and load."""
    speeds: list[Speed]


def bench_train(
    configurations: Sequence[Configuration],
    device: torch.device,
    amount: Rounds,
    *,
    trace: Path | None = None,
    report: Callable[[str], None] = lambda _: None,
    save: Callable[[Speeds], None] = lambda _: None,
) -> Speeds:
    """Measure configurations; one that fails becomes a row with its reason.

    Args:
        configurations: Configurations to measure.
        device: Device to measure on.
        amount: Steps and rounds.
        trace: Write a profiler's trace of two more training steps of the first configuration here.
        report: Called with a line on the progress.
        save: Called with all rows at first and whenever one has changed.
    """
    flops: dict[Any, int] = {}
    cases = [Measurement(one, device, amount, flops) for one in configurations]
    found = Speeds(describe_machine(device), [case.speed for case in cases])
    save(found)
    stages: list[tuple[str, Callable[[Measurement], None]]] = [("warming up", Measurement.warm_up)]
    add_round = partial(Measurement.add_round, best=found.machine["matrix_peak"])
    stages += [(f"round {index + 1} of {amount.rounds}", add_round) for index in range(amount.rounds)]
    stages.append(("profiling", lambda case: case.add_operators(trace if case is cases[0] else None)))
    stages += [("predicting", Measurement.add_predictions)] if amount.inference else []
    first = cases[0].speed.samples_per_s
    # in turns on a CPU, where other work comes and goes; one by one on a GPU, whose memory may not hold all of them
    for group in [cases] if device.type == "cpu" else [[case] for case in cases]:
        for doing, measure in stages:
            for case in [case for case in group if case.speed.error is None]:
                report(f"{doing}: {case.configuration.name}")
                try:
                    measure(case)
                except InputError:
                    raise
                except Exception as error:  # noqa: BLE001  # the other configurations can still be measured
                    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
                    reason = f"{type(error).__name__}: {lines[0] if lines else ''}"
                    full = isinstance(error, torch.OutOfMemoryError)
                    case.speed.error = f"{'out of memory' if full else reason} ({doing})"
                    vars(case).pop("case", None)  # gives the memory back
                pairs = zip(case.speed.samples_per_s, first, strict=False)
                case.speed.ratios = [own / its for own, its in pairs]
                save(found)
        for case in group:
            vars(case).pop("case", None)  # the next one gets the device alone
        # memory that nothing refers to any more, that of compiled code and CUDA graphs included
        torch._dynamo.reset()
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return found


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Return what a speed depends on beside the configuration, as plain values."""
    cuda = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if cuda else "CPU"
    return {
        "device": name,
        "matrix_peak": matrix_peak(name),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if cuda else None,
        "load_average": os.getloadavg()[0],
    }


class Measurement:
    """A configuration that is being measured, and its row.

    Args:
        configuration: Settings.
        device: Device to measure on.
        amount: Steps and rounds.
        flops: Operations of a clip by experiment and settings, so that each is counted once.
    """

    case: BenchmarkCase

    def __init__(
        self, configuration: Configuration, device: torch.device, amount: Rounds, flops: dict[Any, int]
    ) -> None:
        self.configuration, self.device, self.amount, self.flops = configuration, device, amount, flops
        self.speed = Speed(configuration.name)

    def warm_up(self) -> None:
        """Build the case and take its first steps."""
        start, compiled = perf_counter(), compile_clock.seconds
        key = self.configuration.experiment, self.configuration.settings
        reset_peak_memory(self.device)
        case = self.case = BenchmarkCase(self.configuration, self.device, self.flops.get(key))
        case.train(self.amount.warmup)
        speed, self.flops[key] = self.speed, case.flops
        speed.name, speed.batch, speed.flops_per_clip = case.configuration.name, case.batch, case.flops
        speed.warmup_s, speed.compile_s = perf_counter() - start, compile_clock.seconds - compiled

    def add_round(self, best: float | None) -> None:
        """Time a round of training steps on a device with this matrix peak."""
        case, speed = self.case, self.speed
        reset_peak_memory(self.device)
        before = case.clips  # not steps times batch: the last batch of an epoch is smaller
        sections = case.train(self.amount.steps)
        speed.samples_per_s.append((case.clips - before) / sum(sections.values()))
        for name, seconds in sections.items():
            share = seconds / (self.amount.steps * self.amount.rounds)
            speed.sections[name] = speed.sections.get(name, 0.0) + share
        found = peak_memory(self.device)
        if found is not None:
            speed.peak_bytes = max(speed.peak_bytes or 0, found)
        if best is not None and speed.flops_per_clip is not None:
            speed.utilisation = speed.flops_per_clip * speed.median / best

    def add_operators(self, trace: Path | None) -> None:
        """Profile two steps; also write a trace for Perfetto or ``chrome://tracing`` to a file."""
        steps, cuda = 2, self.device.type == "cuda"
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
        with profile(activities=activities, acc_events=True) as found:
            self.case.train(steps)
        if trace is not None:
            trace.parent.mkdir(parents=True, exist_ok=True)
            found.export_chrome_trace(str(trace))
        for event in found.key_averages():
            micro = event.self_device_time_total if cuda else event.self_cpu_time_total
            # the sections of a step are annotations, on the device too
            if event.is_user_annotation or micro <= 0:
                continue
            kind = self.speed.kernels if event.device_type == DeviceType.CUDA else self.speed.operators
            kind.append({"name": event.key, "ms": micro / 1000 / steps, "calls": event.count / steps})
        for kind in (self.speed.operators, self.speed.kernels):
            kind.sort(key=lambda one: -one["ms"])
            del kind[MAX_OPERATORS:]

    def add_predictions(self) -> None:
        """Time predictions."""
        case, compiled = self.case, compile_clock.seconds
        for count in DENOISING_STEPS if isinstance(case.task.network, DiffusionNetwork) else (None,):
            case.predict(count)  # compiles, records graphs, fills caches
            self.speed.clips_per_s["one pass" if count is None else str(count)] = [
                case.batch / case.predict(count) for _ in range(self.amount.rounds)
            ]
        self.speed.compile_s += compile_clock.seconds - compiled


def bench_suite(
    suite: Mapping[Path, Sequence[Configuration]],
    device: torch.device,
    amount: Rounds,
    limit_s: float,
    report: Callable[[str], None],
    save: Callable[[Speeds], None],
) -> Speeds:
    """Measure experiments one after another, each in a process of its own that is stopped at a time limit.

    Args:
        suite: Configurations by experiment file.
        device: Device to measure on.
        amount: Steps and rounds.
        limit_s: Seconds that one experiment may take, imports included.
        report: Called with a line on the progress.
        save: Called with all rows after each experiment.

    Returns:
        All rows; a configuration that was not measured has its reason.
    """
    joint = Speeds({}, [])
    for experiment, configurations in suite.items():
        # each in a process of its own: memory, compiled code and a crash of one do not reach the next
        found = Speeds({}, [])
        reader, writer = multiprocessing.Pipe(duplex=False)
        # not forked: CUDA does not work in a child of a process that has used it
        process = multiprocessing.get_context("spawn").Process(
            target=_measure, args=(list(configurations), device, amount, writer)
        )
        start, reason = perf_counter(), ""
        process.start()
        writer.close()  # so that the end of the process is the end of the pipe
        try:
            while reader.poll(max(0.0, limit_s - (perf_counter() - start))):
                found = reader.recv()  # all rows each time, so that what was measured before a kill stays
            reason = f"stopped after {perf_counter() - start:.0f} s"
        except EOFError:
            process.join()
            reason = f"the process ended with exit code {process.exitcode}"
        finally:
            process.kill()
            process.join()
        rows = found.speeds or [Speed(configuration.name) for configuration in configurations]
        for row in rows:
            if row.error is None and not (row.samples_per_s and row.operators):
                row.error = reason
        joint = Speeds(found.machine or joint.machine, [*joint.speeds, *rows])
        report(f"{experiment.stem}: {perf_counter() - start:.0f} s")
        save(joint)
    return joint


def _measure(
    configurations: list[Configuration], device: torch.device, amount: Rounds, writer: Connection
) -> None:
    """Measure in this process, and send all rows whenever one has changed."""
    bench_train(configurations, device, amount, report=lambda line: print(line, flush=True), save=writer.send)
