"""Time of the sections of a training step, by the device's own clock, or by wall time on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import Any
from unittest.mock import patch

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
        # without timing an event only orders streams
        moment: Any = torch.cuda.Event(enable_timing=True) if self.cuda else perf_counter()
        if self.cuda:
            moment.record()
        self._marks.append((section, moment))

    def totals(self) -> dict[str, float]:
        """Wait for the device and return the seconds of every section that was marked."""
        if self.cuda:
            torch.cuda.synchronize()
        found: dict[str, float] = {}
        # each mark ends a section and begins the next; the last begins none
        for (_, before), (section, after) in zip(self._marks, self._marks[1:], strict=False):
            seconds = before.elapsed_time(after) / 1000 if self.cuda else after - before  # CUDA: ms
            found[section] = found.get(section, 0.0) + seconds
        return found


@contextmanager
def marked(network: SaliencyNetwork, timeline: Timeline) -> Iterator[None]:
    """Mark the parts of a network: encoder and denoiser, or encoders and decoder of a direct network."""
    parts: list[tuple[nn.Module, str, str, str]]
    if isinstance(network, DiffusionNetwork):
        parts = [(network, "encode", "other", "encoder"), (network, "denoise", "other", "denoiser")]
    else:
        # in one pass: what runs between two encoders, or behind them, counts as decoder
        parts = [(encoder, "forward", "decoder", "encoder") for encoder in _encoders(network)]
        parts.append((network, "forward", "other", "decoder"))
    with ExitStack() as stack:
        for module, name, before, section in parts:
            method = _marking(getattr(module, name), timeline, before, section)
            stack.enter_context(patch.object(module, name, method))
        yield


def _marking(method: Callable[..., Any], timeline: Timeline, before: str, section: str) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        timeline.mark(before)
        with torch.profiler.record_function(section):
            result = method(*args, **kwargs)
        timeline.mark(section)
        return result

    return run


def _encoders(network: nn.Module) -> list[nn.Module]:
    """Return the outermost encoders."""
    found: list[nn.Module] = []
    for child in network.children():
        found += [child] if isinstance(child, Encoder) else _encoders(child)
    return found
