"""Speed of training and prediction of experiments, with memory, compile time and the largest operators.

On the CPU configurations take their rounds in turns, so that other load on the machine falls on all of them alike, and
what is compared is the ratio inside a round. On a GPU they follow one another, so that each has the whole memory; all
times are those of the device's own clock.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch

from lightning_avsp.errors import InputError
from lightning_avsp.launch import default_precision
from lightning_avsp.profiling.case import BenchmarkCase, Configuration
from lightning_avsp.profiling.memory import peak, reset_peak
from lightning_avsp.profiling.operators import OperatorTime, profile_steps
from lightning_avsp.profiling.peak import matrix_peak
from lightning_avsp.run_folder import write_json
from lightning_avsp.structures import DiffusionNetwork
from lightning_avsp.tasks.execution import compile_clock

DENOISING_STEPS = (1, 4, 8)
"""Numbers of steps at which prediction is timed."""
PAPERS = ("diffsal_avad", "mubic_avad", "avrsp_avad", "tavdiff_avad")
"""Full-size experiments of ``avsp bench train --all``."""
EXECUTIONS = ("precision=bf16-mixed", "precision=32-true", "precision=bf16-mixed compile=default")
"""Configurations of each of them, the most likely to overrun its time last."""
GRAPHS = "precision=bf16-mixed compile=graphs"
"""Beside them for TAVDiff, whose step is bound by launches."""
MAX_OPERATORS = 10

Report = Callable[[str], None]


@dataclass
class Speed:
    """Measurements of one configuration."""

    name: str
    """The configuration in one line."""
    batch: int | None = None
    """Clips of a step."""
    samples_per_s: list[float] = field(default_factory=list)
    """Training clips per second, one number for each round."""
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
    operators: list[OperatorTime] = field(default_factory=list)
    """Largest operators of a training step."""
    kernels: list[OperatorTime] = field(default_factory=list)
    """Largest kernels of a training step, on a GPU."""
    error: str | None = None
    """Reason for which there are no measurements, or not all."""

    @property
    def median(self) -> float:
        """Median of the rounds' samples per second."""
        return median(self.samples_per_s)

    def ratios(self, other: Speed) -> list[float]:
        """Divide samples per second by those of another configuration in the same round."""
        return [own / its for own, its in zip(self.samples_per_s, other.samples_per_s, strict=False)]

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


def find_precision(name: str, device: torch.device) -> str:
    """Return the precision that ``lightning fit`` chooses on this device for ``auto``."""
    return default_precision("gpu" if device.type == "cuda" else "cpu") if name == "auto" else name


def bench_train(
    configurations: Sequence[Configuration],
    device: torch.device,
    amount: Rounds,
    *,
    trace: Path | None = None,
    report: Report = lambda _: None,
    save: Callable[[list[Speed]], None] = lambda _: None,
) -> list[Speed]:
    """Measure configurations; one that fails becomes a row with its reason.

    Args:
        configurations: Configurations to measure.
        device: Device to measure on.
        amount: Steps and rounds.
        trace: Write a profiler's trace of two more training steps of the first configuration here.
        report: Called with a line on the progress.
        save: Called with all rows whenever one has changed.
    """
    flops: dict[Any, int] = {}
    found = [Measurement(one, device, amount, flops) for one in configurations]
    found[0].trace = trace
    speeds = [one.speed for one in found]
    rounds = [
        (f"round {number + 1} of {amount.rounds}", Measurement.add_round) for number in range(amount.rounds)
    ]
    stages = [("warming up", Measurement.warm_up), *rounds, ("profiling", Measurement.add_operators)]
    stages += [("predicting", Measurement.add_predictions)] if amount.inference else []
    for group in [found] if device.type == "cpu" else [[one] for one in found]:
        for doing, measure in stages:
            for one in [one for one in group if one.speed.error is None]:
                report(f"{doing}: {one.configuration.name}")
                try:
                    measure(one)
                except InputError:
                    raise
                except Exception as error:  # noqa: BLE001  # the other configurations can still be measured
                    one.fail(error, doing)
                save(speeds)
        for one in group:
            one.case = None
        free()
    return speeds


class Measurement:
    """A configuration that is being measured, and its row.

    Args:
        configuration: Its settings.
        device: Device to measure on.
        amount: Steps and rounds.
        flops: Operations of a clip by experiment and settings, so that each is counted once.
    """

    def __init__(
        self, configuration: Configuration, device: torch.device, amount: Rounds, flops: dict[Any, int]
    ) -> None:
        self.configuration, self.device, self.amount, self.flops = configuration, device, amount, flops
        self.speed = Speed(configuration.name)
        self.case: BenchmarkCase | None = None
        self.trace: Path | None = None

    def fail(self, error: Exception, doing: str) -> None:
        """Note the reason, and give the memory back."""
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = f"{type(error).__name__}: {lines[0] if lines else ''}"
        full = isinstance(error, torch.OutOfMemoryError)
        self.speed.error = f"{'out of memory' if full else reason} ({doing})"
        self.case = None

    def warm_up(self) -> None:
        """Build the case and take its first steps."""
        start, compiled = perf_counter(), compile_clock.seconds
        key = self.configuration.experiment, self.configuration.settings
        reset_peak(self.device)
        case = self.case = BenchmarkCase(self.configuration, self.device, self.flops.get(key))
        case.train(self.amount.warmup)
        speed, self.flops[key] = self.speed, case.flops
        speed.name, speed.batch, speed.flops_per_clip = case.configuration.name, case.batch, case.flops
        speed.warmup_s, speed.compile_s = perf_counter() - start, compile_clock.seconds - compiled

    def add_round(self) -> None:
        """Time a round of training steps."""
        assert self.case is not None
        case, speed = self.case, self.speed
        reset_peak(self.device)
        before = case.clips
        sections = case.train(self.amount.steps)
        speed.samples_per_s.append((case.clips - before) / sum(sections.values()))
        for name, seconds in sections.items():
            share = seconds / (self.amount.steps * self.amount.rounds)
            speed.sections[name] = speed.sections.get(name, 0.0) + share
        found, best = peak(self.device), matrix_peak(self.device)
        if found is not None:
            speed.peak_bytes = max(speed.peak_bytes or 0, found)
        if best is not None and speed.flops_per_clip is not None:
            speed.utilisation = speed.flops_per_clip * speed.median / best

    def add_operators(self) -> None:
        """Profile two steps."""
        assert self.case is not None
        operators, kernels = profile_steps(self.case.train, self.device, trace=self.trace)
        self.speed.operators, self.speed.kernels = operators[:MAX_OPERATORS], kernels[:MAX_OPERATORS]

    def add_predictions(self) -> None:
        """Time predictions."""
        assert self.case is not None
        case, compiled = self.case, compile_clock.seconds
        for count in DENOISING_STEPS if isinstance(case.task.network, DiffusionNetwork) else (None,):
            case.predict(count)  # warms up
            name = "one pass" if count is None else str(count)
            self.speed.clips_per_s[name] = [
                case.batch / case.predict(count) for _ in range(self.amount.rounds)
            ]
        self.speed.compile_s += compile_clock.seconds - compiled


def free() -> None:
    """Give back the memory that nothing refers to any more, that of compiled code and CUDA graphs included."""
    torch._dynamo.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


# ---- all papers, each in a process of its own


def bench_suite(
    suite: Mapping[Path, Sequence[Configuration]],
    device: str,
    amount: Rounds,
    limit_s: float,
    folder: Path,
    report: Report,
    finished: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Measure experiments one after another, each in a process of its own that is stopped at a time limit.

    Args:
        suite: Configurations by experiment file.
        device: Name of the device.
        amount: Steps and rounds.
        limit_s: Seconds that one experiment may take, imports included.
        folder: Folder of one JSON file for each experiment.
        report: Called with a line on the progress.
        finished: Called with the joint report after each experiment.

    Returns:
        The joint report, see :func:`as_report`; a configuration that was not measured has its reason.
    """
    folder.mkdir(parents=True, exist_ok=True)
    joint: dict[str, Any] = {"machine": {}, "speeds": []}
    for experiment, configurations in suite.items():
        file = folder / f"{experiment.stem}.json"
        file.unlink(missing_ok=True)
        arguments = (list(configurations), device, amount, file)
        process = multiprocessing.get_context("spawn").Process(target=measure_to_file, args=arguments)
        start = perf_counter()
        process.start()
        try:
            process.join(limit_s)
            stopped = process.is_alive()
        finally:
            process.kill()
            process.join()
        found = json.loads(file.read_text()) if file.is_file() else {"machine": {}, "speeds": []}
        seconds = perf_counter() - start
        why = (
            f"stopped after {seconds:.0f} s"
            if stopped
            else f"the process ended with exit code {process.exitcode}"
        )
        for place, configuration in enumerate(configurations):
            started = place < len(found["speeds"])
            row = found["speeds"][place] if started else asdict(Speed(configuration.name))
            if row["error"] is None and not (row["samples_per_s"] and row["operators"]):
                row["error"] = why
            joint["speeds"].append(row)
        joint["machine"] = found["machine"] or joint["machine"]
        report(f"{experiment.stem}: {seconds:.0f} s")
        finished(joint)
    return joint


def measure_to_file(configurations: list[Configuration], device: str, amount: Rounds, file: Path) -> None:
    """Measure in this process and keep the rows in a file, written anew whenever one has changed."""
    found = torch.device(device)

    def save(speeds: list[Speed]) -> None:
        write_json(file, as_report(speeds, found))

    save([])
    bench_train(configurations, found, amount, report=lambda line: print(line, flush=True), save=save)


def as_report(speeds: Sequence[Speed], device: torch.device) -> dict[str, Any]:
    """Return everything as plain values, with the machine."""
    rows = []
    for speed in speeds:
        row = asdict(speed)
        if speed.samples_per_s and speeds[0].samples_per_s:
            row["ratios_to_first"] = speed.ratios(speeds[0])
        rows.append(row)
    cuda = device.type == "cuda"
    return {
        "machine": {
            "device": torch.cuda.get_device_name(device) if cuda else "CPU",
            "matrix_peak": matrix_peak(device),
            "threads": torch.get_num_threads(),
            "cores": os.cpu_count(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda if cuda else None,
            "load_average": os.getloadavg()[0],
        },
        "speeds": rows,
    }
