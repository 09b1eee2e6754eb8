"""Cost of a row's network, counted on the meta device: no training, no memory, no corpus."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch

from lightning_avsp.data import AVSaliencyDataModule
from lightning_avsp.errors import AVSPError
from lightning_avsp.profiling.model import NetworkCost, count_cost
from lightning_avsp.profiling.random_clips import forward_inputs
from lightning_avsp.structures import SaliencyNetwork
from lightning_avsp.sweep.sweep_file import canonical_json
from lightning_avsp.tasks.experiment import Experiment

_FAULTS = (AVSPError, AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError)
"""Errors of building or counting a network whose row sets something that does not exist."""
FIGURES = ("params_M", "flops_G", "flops_with_attention_G", "memory_G")
"""Keys of efficiency figures in units of 1e6 and 1e9; as papers do, ``flops_G`` counts multiply-accumulates."""


def figures(cost: NetworkCost) -> dict[str, float]:
    """Return the figures of :data:`FIGURES`."""
    values = (cost.params / 1e6, cost.macs / 1e9, cost.flops / 1e9, cost.memory / 1e9)
    return dict(zip(FIGURES, values, strict=True))


class CostCounter:
    """Counts the networks of rows, each different network once."""

    def __init__(self) -> None:
        self._known: dict[str, NetworkCost] = {}

    def count(self, config: Mapping[str, Any]) -> NetworkCost | str:
        """Count the network of a composed configuration; returns the reason where it cannot be built."""
        try:
            own = {key: value for key, value in config.items() if key not in ("seed_everything", "init_from")}
            experiment = Experiment([f"--config={json.dumps(own)}"])
            data, network = experiment.config.data, experiment.config.model.init_args.network
            inputs = [str(data.get(name)) for name in ("size", "map_size", "clip", "audio")]
            key = canonical_json([str(network), data.captions is not None, *inputs])
            if key not in self._known:
                task, module = experiment.build("meta")
                self._known[key] = count(task.network, module, experiment.text_width)
            return self._known[key]
        except _FAULTS as error:
            text = " ".join(str(error).split())
            return f"{text[:200]}..." if len(text) > 200 else text or type(error).__name__


def count(network: SaliencyNetwork, data: AVSaliencyDataModule, text_width: int | None) -> NetworkCost:
    """Count the cost of a network at the sizes of a data module.

    Args:
        network: On the meta device.
        data: Sets sizes and lengths; no file is read.
        text_width: Channels of the captions' token features; None without captions.
    """
    return count_cost(network, forward_inputs(network, data, text_width, torch.device("meta")))
