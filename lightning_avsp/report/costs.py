"""Cost of a row's network, counted on the meta device."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from lightning_avsp.diffusion import Sampling
from lightning_avsp.errors import AVSPError
from lightning_avsp.profiling.model import NetworkCost, count_cost
from lightning_avsp.profiling.random_clips import forward_inputs
from lightning_avsp.sweep.sweep_file import canonical_json
from lightning_avsp.tasks.experiment import Experiment

_FAULTS = (AVSPError, AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError)
"""Errors of building or counting a network whose row sets something that does not exist."""
FIGURES = ("params_M", "flops_G", "prediction_flops_G", "flops_with_attention_G", "memory_G")
"""Keys of efficiency figures in units of 1e6 and 1e9; as papers do, ``flops_G`` counts multiply-accumulates.

``prediction_flops_G`` has those of a map with every denoising step, ``flops_G`` those of one step.
"""


def figures(cost: NetworkCost) -> dict[str, float]:
    """Return the figures of :data:`FIGURES`, without that of a prediction whose steps the network chooses."""
    units = (1e6, 1e9, 1e9, 1e9, 1e9)
    values = (cost.params, cost.macs, cost.prediction_macs, cost.flops, cost.memory)
    return {
        key: value / unit
        for key, value, unit in zip(FIGURES, values, units, strict=True)
        if value is not None
    }


class CostCounter:
    """Counts the networks of rows, each different network once, at the sizes of the row's data; no file is read."""

    def __init__(self) -> None:
        self.known: dict[str, NetworkCost] = {}

    def count(self, config: Mapping[str, Any]) -> NetworkCost | str:
        """Count the network of a composed configuration; returns the reason where it cannot be built."""
        try:
            own = {key: value for key, value in config.items() if key not in ("seed_everything", "init_from")}
            experiment = Experiment([f"--config={json.dumps(own)}"])
            data, network = experiment.config.data, experiment.config.model.init_args.network
            inputs = [str(data.get(name)) for name in ("size", "map_size", "clip", "audio")]
            key = canonical_json([str(network), data.captions is not None, *inputs])
            if key not in self.known:
                task, module = experiment.build("meta")
                arguments = forward_inputs(task.network, module, experiment.text_width, torch.device("meta"))
                self.known[key] = count_cost(task.network, arguments)
            return replace(self.known[key], calls=_denoiser_calls(experiment.config.model.init_args))
        except _FAULTS as error:
            text = " ".join(str(error).split())
            return f"{text[:200]}..." if len(text) > 200 else text or type(error).__name__


def _denoiser_calls(settings: Any) -> int | None:
    """Return the calls of the denoiser for a map, 1 for a direct network; None if the network chooses them."""
    if settings.network.init_args.get("adaptive_steps"):
        return None
    sampling = settings.get("sampling", Sampling(steps=1)) or Sampling()
    return int(sampling.steps * sampling.samples)
