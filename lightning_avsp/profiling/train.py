"""How fast experiments train and predict, and where the time goes, configurations in turns.

Configurations take their rounds one after the other, again and again, so that whatever else the machine does falls on
all of them alike; what is compared is the ratio inside a round. On CUDA all times are those of the device's own clock.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from lightning_avsp.errors import AVSPError, InputError
from lightning_avsp.launch import default_precision
from lightning_avsp.profiling.contender import Contender, Setup, synchronise
from lightning_avsp.profiling.memory import in_use, peak, reset_peak
from lightning_avsp.profiling.peak import matrix_peak
from lightning_avsp.structures import DiffusionNetwork

DENOISING_STEPS = (1, 4, 8)
"""Numbers of steps at which prediction is timed."""

Say = Callable[[str], None]


@dataclass
class Speed:
    """What was measured of one configuration."""

    name: str
    """The configuration in one line."""
    batch: int
    """Clips of a step."""
    samples_per_s: list[float] = field(default_factory=list)
    """Training clips per second, one number for each round."""
    sections: dict[str, float] = field(default_factory=dict)
    """Seconds of a step by section, mean over all rounds; without ``data`` where clips were random."""
    peak_bytes: int | None = None
    """Peak memory of training: on a GPU that of this configuration alone, on the CPU that of the whole process."""
    flops_per_clip: int | None = None
    """Operations of forward and backward pass of one clip, two per multiply-accumulate; None if not counted."""
    utilisation: float | None = None
    """Share of the device's matrix peak (bfloat16) that these operations are; None where the peak is unknown."""
    clips_per_s: dict[str, list[float]] = field(default_factory=dict)
    """Predicted clips per second by number of denoising steps (``one pass`` for direct networks), for each round."""

    @property
    def median(self) -> float:
        """The middle of the rounds' samples per second."""
        return median(self.samples_per_s)

    def ratios(self, other: Speed) -> list[float]:
        """Samples per second over those of another configuration in the same round."""
        return [own / its for own, its in zip(self.samples_per_s, other.samples_per_s, strict=True)]

    @property
    def shares(self) -> dict[str, float]:
        """Share of each section in the step, 0 to 1."""
        total = sum(self.sections.values())
        return {name: seconds / total for name, seconds in self.sections.items()}


def find_device(name: str) -> torch.device:
    """``auto``: the GPU if there is one, else the CPU; or a device by name.

    Raises:
        InputError: If it is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.split(":")[0] not in ("cpu", "cuda"):
        raise InputError(f"device={name}: choose auto, cpu or cuda")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device={name}, but torch sees no GPU; use --device cpu")
    found = torch.device(name)
    if found.index is not None:
        torch.cuda.set_device(found)  # memory and events are those of the current device
    return found


def find_precision(name: str, device: torch.device) -> str:
    """The precision that ``lightning fit`` would take on this device for ``auto``."""
    return default_precision("gpu" if device.type == "cuda" else "cpu") if name == "auto" else name


def bench_train(
    setups: Sequence[Setup],
    device: torch.device,
    *,
    steps: int = 10,
    rounds: int = 3,
    warmup: int = 3,
    inference: bool = False,
    trace: Path | None = None,
    say: Say = lambda _: None,
) -> list[Speed]:
    """Measure configurations in turns.

    Args:
        setups: What to measure; all are on the device at the same time.
        device: Where.
        steps: Training steps of a round.
        rounds: Rounds of every configuration.
        warmup: Steps before anything is timed, which compile and fill caches.
        inference: Also time prediction, at :data:`DENOISING_STEPS` for diffusion networks.
        trace: Write a profiler's trace of two more training steps of the first configuration here.
        say: Told what is being done.

    Raises:
        InputError: If a number is too small.
        AVSPError: If the configurations do not fit into the device's memory.
    """
    if min(steps, rounds, warmup) < 1:
        raise InputError(f"steps={steps}, rounds={rounds} and warmup={warmup} must be at least 1")
    try:
        return _bench(setups, device, steps, rounds, warmup, inference, trace, say)
    except torch.OutOfMemoryError as error:
        free()
        raise AVSPError(
            f"{' and '.join(setup.name for setup in setups)}: out of memory; take a smaller --batch, measure fewer "
            "configurations at once, or let --fill find the largest batch"
        ) from error


def _bench(
    setups: Sequence[Setup],
    device: torch.device,
    steps: int,
    rounds: int,
    warmup: int,
    inference: bool,
    trace: Path | None,
    say: Say,
) -> list[Speed]:
    contenders, speeds, own = [], [], []
    for setup in setups:
        say(f"warming up: {setup.name}")
        before = in_use(device)
        contender = Contender(setup, device)
        contender.train(warmup)
        own.append(in_use(device) - before)
        contenders.append(contender)
        speeds.append(Speed(contender.setup.name, contender.batch, flops_per_clip=contender.flops))
    for number in range(rounds):
        for place, contender in enumerate(contenders):
            say(f"round {number + 1} of {rounds}: {speeds[place].name}")
            reset_peak(device)
            _add_round(speeds[place], contender, steps, rounds, others=sum(own) - own[place])
            if inference:
                _add_predictions(speeds[place], contender)
    best = matrix_peak(device)
    for speed in speeds:
        if best is not None and speed.flops_per_clip is not None:
            speed.utilisation = speed.flops_per_clip * speed.median / best
    if trace is not None:
        say(f"writing {trace}")
        write_trace(contenders[0], trace)
    return speeds


def _add_round(speed: Speed, contender: Contender, steps: int, rounds: int, others: int) -> None:
    before = contender.clips
    sections = contender.train(steps)
    speed.samples_per_s.append((contender.clips - before) / sum(sections.values()))
    for name, seconds in sections.items():
        speed.sections[name] = speed.sections.get(name, 0.0) + seconds / (steps * rounds)
    found = peak(contender.device)
    if found is not None:
        speed.peak_bytes = max(speed.peak_bytes or 0, found - others)


def _add_predictions(speed: Speed, contender: Contender) -> None:
    several = isinstance(contender.task.network, DiffusionNetwork)
    for count in DENOISING_STEPS if several else (None,):
        name = "one pass" if count is None else str(count)
        if name not in speed.clips_per_s:
            contender.predict(count)  # warms up
        speed.clips_per_s.setdefault(name, []).append(contender.batch / contender.predict(count))


def bench_fill(
    setup: Setup, device: torch.device, *, steps: int = 5, warmup: int = 3, say: Say = lambda _: None
) -> list[Speed]:
    """Double the batch until the device's memory is full.

    Args:
        setup: What to measure; its batch is the first.
        device: A GPU.
        steps: Training steps timed at each batch.
        warmup: Steps before.
        say: Told what is being done.

    Returns:
        One entry for each batch; the last has no round: it did not fit.

    Raises:
        InputError: On the CPU, whose memory ends only where the system starts to kill.
    """
    if device.type != "cuda":
        raise InputError(
            "--fill doubles the batch until memory is out, which only a GPU survives; on the CPU give --batch"
        )
    found: list[Speed] = []
    batch = setup.batch or 1
    while True:
        say(f"batch {batch}: {setup.name}")
        speed = Speed(replace(setup, batch=batch).name, batch)
        found.append(speed)
        try:
            contender = Contender(replace(setup, batch=batch, root=None), device, count_flops=False)
            contender.train(warmup)
            reset_peak(device)
            _add_round(speed, contender, steps, 1, others=0)
            del contender
        except torch.OutOfMemoryError:
            return found
        finally:
            free()
        batch *= 2


def free() -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def write_trace(contender: Contender, path: Path, steps: int = 2) -> None:
    """Write a chrome trace of some training steps, for ``chrome://tracing`` or Perfetto."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if contender.device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    path.parent.mkdir(parents=True, exist_ok=True)
    with torch.profiler.profile(activities=activities, acc_events=True) as profile:
        contender.train(steps)
        synchronise(contender.device)
    profile.export_chrome_trace(str(path))


def as_report(speeds: Sequence[Speed], device: torch.device) -> dict[str, Any]:
    """Everything as plain values, with the machine."""
    rows = []
    for speed in speeds:
        row = asdict(speed)
        if speed.samples_per_s:
            row["median"] = speed.median
            row["ratios_to_first"] = speed.ratios(speeds[0]) if _same_rounds(speed, speeds[0]) else None
        rows.append(row)
    cuda = device.type == "cuda"
    return {
        "machine": {
            "device": torch.cuda.get_device_name(device) if cuda else "CPU",
            "threads": torch.get_num_threads(),
            "cores": os.cpu_count(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda if cuda else None,
            "load_average": os.getloadavg()[0],
        },
        "speeds": rows,
    }


def _same_rounds(one: Speed, other: Speed) -> bool:
    return len(one.samples_per_s) == len(other.samples_per_s)
