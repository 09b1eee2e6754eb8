"""Cost of a row's network, counted on the meta device: no training, no memory, no corpus."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_avsp.data import AVSaliencyDataModule
from lightning_avsp.errors import AVSPError
from lightning_avsp.profiling.counting import activation_memory, count_as_papers, count_flops
from lightning_avsp.structures import DiffusionNetwork, SaliencyNetwork
from lightning_avsp.sweep.sweep_file import canonical_json
from lightning_avsp.tasks.experiment import Experiment

_FAULTS = (AVSPError, AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError)
"""Errors of building or counting a network whose row sets something that does not exist."""
FIGURES = ("params_M", "flops_G", "flops_with_attention_G", "memory_G")
"""Keys of efficiency figures in units of 1e6 and 1e9; as papers do, ``flops_G`` counts multiply-accumulates."""


@dataclass(frozen=True)
class NetworkCost:
    """One network, batch 1, one pass; of a denoiser one step."""

    params: int
    """Parameters as the papers count: of the leaf modules that were called."""
    all_params: int
    """All parameters, trainable or frozen, called or not."""
    macs: int
    """Multiply-accumulates as the papers count, without attention's matrix products."""
    flops: int
    """Floating point operations with attention, two per multiply-accumulate."""
    memory: int
    """Bytes of the weights and of the activations' peak in one pass, float32, attention matrices materialised."""

    def figures(self) -> dict[str, float]:
        """Return the figures of :data:`FIGURES`."""
        values = (self.params / 1e6, self.macs / 1e9, self.flops / 1e9, self.memory / 1e9)
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
    with torch.device("meta"):
        frames, text = data.clip.frames, None
        audio = data.audio.silence(0.0, frames / 25, frames)[None] if network.uses_audio else None
        if text_width is not None and data.captions is not None:
            text = torch.zeros(1, data.captions.tokens, text_width)
        inputs: list[Tensor | None] = [torch.zeros(1, 3, frames, *data.size), audio, text]
        if isinstance(network, DiffusionNetwork):
            inputs = [torch.zeros(1, 1, *data.map_size), torch.zeros(1, dtype=torch.int64), *inputs]
        cost = count_as_papers(network, *inputs)
        return NetworkCost(
            params=cost.params,
            all_params=sum(one.numel() for one in network.parameters()),
            macs=cost.macs,
            flops=count_flops(network, *inputs),
            memory=activation_memory(network, *inputs) + sum(one.nbytes for one in network.parameters()),
        )
