"""Time of the sections of a training step, by the device's own clock, or by wall time on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch
from torch import nn

from lightning_avsp.backbones.encoder import Encoder
from lightning_avsp.structures import DiffusionNetwork, SaliencyNetwork

SECTIONS = ("data", "encoder", "denoiser", "decoder", "other", "backward", "optimiser")
"""Parts of a step. ``denoiser`` of diffusion networks, ``decoder`` of networks that give the map in one pass: all but
their encoders; ``other``: normalising frames, noising the target, the loss."""


class Timeline:
    """Time between marks, by section.

    On CUDA a mark is an event in the stream: nothing waits for the device until :meth:`totals` reads the clock. So a
    section is the time that the device spent on it, and ``data`` the time that the device was idle for want of a batch,
    however far ahead the host was.

    Args:
        device: Device of the step.
    """

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"
        self._marks: list[tuple[str, Any]] = []

    def start(self) -> None:
        """Drop earlier marks and start the clock."""
        self._marks = []
        self.mark("")

    def mark(self, section: str) -> None:
        """Count everything since the last mark as this section."""
        moment: Any
        if self.cuda:
            moment = torch.cuda.Event(enable_timing=True)
            moment.record()
        else:
            moment = perf_counter()
        self._marks.append((section, moment))

    def totals(self) -> dict[str, float]:
        """Wait for the device and return the seconds of every section that was marked."""
        if self.cuda:
            torch.cuda.synchronize()
        found: dict[str, float] = {}
        for (_, before), (section, after) in zip(self._marks, self._marks[1:], strict=False):
            seconds = before.elapsed_time(after) / 1000 if self.cuda else after - before
            found[section] = found.get(section, 0.0) + seconds
        return found


@contextmanager
def marked(network: SaliencyNetwork, timeline: Timeline) -> Iterator[None]:
    """Mark the parts of a network: encoder and denoiser, or encoders and decoder of a direct network."""
    if isinstance(network, DiffusionNetwork):
        parts = {"encode": "encoder", "denoise": "denoiser"}
        for method, section in parts.items():
            setattr(network, method, _marking(getattr(network, method), timeline, "other", section))
        try:
            yield
        finally:
            for method in parts:
                delattr(network, method)  # uncovers the method of the class
        return
    hooks = [hook for module in _encoders(network) for hook in _hooks(module, timeline, "decoder", "encoder")]
    hooks += _hooks(network, timeline, "other", "decoder")
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _marking(method: Callable[..., Any], timeline: Timeline, before: str, section: str) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        timeline.mark(before)
        with torch.profiler.record_function(section):
            result = method(*args, **kwargs)
        timeline.mark(section)
        return result

    return run


def _encoders(network: nn.Module) -> list[nn.Module]:
    """Outermost encoders."""
    found: list[nn.Module] = []
    for child in network.children():
        found += [child] if isinstance(child, Encoder) else _encoders(child)
    return found


def _hooks(module: nn.Module, timeline: Timeline, before: str, section: str) -> list[Any]:
    return [
        module.register_forward_pre_hook(lambda *_: timeline.mark(before)),
        module.register_forward_hook(lambda *_: timeline.mark(section)),
    ]
