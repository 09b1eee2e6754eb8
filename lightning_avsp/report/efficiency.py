"""What the network of a row costs, counted on the meta device: no training, no memory, no corpus."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import torch

from lightning_avsp.data import AVSaliencyDataModule
from lightning_avsp.errors import AVSPError, InputError
from lightning_avsp.profiling.model import NetworkCost, count_cost
from lightning_avsp.profiling.random_clips import forward_inputs
from lightning_avsp.structures import SaliencyNetwork
from lightning_avsp.sweep import Trial
from lightning_avsp.sweep.sweep_file import canonical_json
from lightning_avsp.tasks.experiment import Experiment

_FAULTS = (
    AVSPError,
    AttributeError,
    ImportError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What building or counting a network may raise where its row asks for something that is not there yet."""


class CostCounter:
    """Counts the networks of rows, each different network once."""

    def __init__(self) -> None:
        self._known: dict[str, NetworkCost | str] = {}

    def of(self, trial: Trial) -> NetworkCost | str:
        """Cost of a trial's network, or why it cannot be built."""
        try:
            experiment = _read_row(trial)
            key = _network_key(experiment)
            if key not in self._known:
                task, data = experiment.build("meta")
                self._known[key] = count(task.network, data, experiment.text_width)
            return self._known[key]
        except _FAULTS as error:
            return _why(error)


def trial_experiment(trial: Trial) -> Path:
    """The experiment file that a trial's command starts from.

    Raises:
        InputError: If the command names none, or the file is missing.
    """
    words = list(trial.command)
    named = [Path(after) for word, after in pairwise(words) if word in ("--config", "-c")]
    files = [path for path in named if path.suffix in (".yaml", ".yml")]
    if not files:
        raise InputError(f"the sweep's command names no experiment file: {' '.join(words)}")
    if not files[0].is_file():
        raise InputError(f"no experiment file at {files[0]}; start from the folder that holds experiments/")
    return files[0]


def _read_row(trial: Trial) -> Experiment:
    """The experiment of a trial with its values.

    Raises:
        InputError: If the values do not fit the experiment.
    """
    settings = {
        name: value for name, value in trial.overrides.items() if name not in ("seed_everything", "init_from")
    }
    return Experiment([f"--config={trial_experiment(trial)}", f"--config={json.dumps(settings)}"])


def _network_key(experiment: Experiment) -> str:
    """The same for experiments that build the same network for the same inputs."""
    data, network = experiment.config.data, experiment.config.model.init_args.network
    return canonical_json(
        [str(network), data.captions is not None, *(str(data.get(name)) for name in _INPUTS)]
    )


_INPUTS = ("size", "map_size", "clip", "audio")
"""Settings of the data module that a network's cost depends on."""


def count(network: SaliencyNetwork, data: AVSaliencyDataModule, text_width: int | None) -> NetworkCost:
    """Count the cost of a network at the sizes of a data module.

    Args:
        network: Network on the meta device.
        data: Data module that defines sizes and lengths; nothing is read.
        text_width: Channels of the captions' token features; None without captions.
    """
    return count_cost(network, forward_inputs(network, data, text_width, torch.device("meta")))


def _why(error: Exception) -> str:
    """The reason in one short line."""
    text = " ".join(str(error).split())
    return f"{text[:200]}..." if len(text) > 200 else text or type(error).__name__
