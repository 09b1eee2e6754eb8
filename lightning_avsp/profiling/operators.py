"""Largest operators and kernels of a training step, by the time that the device spends in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile


@dataclass(frozen=True)
class OperatorTime:
    """Time of one operator or kernel in a training step."""

    name: str
    ms: float
    """Milliseconds of a step, without the operators that it calls."""
    calls: float
    """Calls in a step."""


def profile_steps(
    run: Callable[[int], object], device: torch.device, steps: int = 2, trace: Path | None = None
) -> tuple[list[OperatorTime], list[OperatorTime]]:
    """Profile some steps.

    Args:
        run: Takes that many steps and waits for the device.
        device: Device of the steps.
        steps: Number of steps.
        trace: Also write a trace for Perfetto or ``chrome://tracing`` to this file.

    Returns:
        (operators, kernels), the largest first. Compiled code calls kernels without operators; on the CPU there are
        operators alone.
    """
    cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities, acc_events=True) as found:
        run(steps)
    if trace is not None:
        trace.parent.mkdir(parents=True, exist_ok=True)
        found.export_chrome_trace(str(trace))
    operators, kernels = [], []
    for event in found.key_averages():
        micro = event.self_device_time_total if cuda else event.self_cpu_time_total
        time = OperatorTime(event.key, micro / 1000 / steps, event.count / steps)
        if event.device_type == DeviceType.CUDA:
            if not event.is_user_annotation:  # the sections of a step are ranges on the device, too
                kernels.append(time)
        elif micro > 0 and not event.is_user_annotation:
            operators.append(time)
    return sorted(operators, key=lambda one: -one.ms), sorted(kernels, key=lambda one: -one.ms)
