"""Cost of each DiffSal beside the paper's figures: the table of `avsp bench model`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import pandas as pd
import torch
from torch import Tensor

from lightning_avsp.evaluation.formatting import print_table
from lightning_avsp.profiling.counting import activation_memory, count_as_papers, count_flops
from lightning_avsp.structures import DiffusionNetwork, SaliencyNetwork

if TYPE_CHECKING:
    from rich.console import Console

    from lightning_avsp.papers.diffsal.network import DiffSalModality, DiffSalVariant

Attention = Literal["eca", "standard"]

LINES: tuple[tuple[str, float, str, Attention, dict[str, float]], ...] = (
    ("parameters, M", 1e6, "params", "eca", {"av": 76.57e6, "v": 70.54e6}),
    ("parameters, SCA, M", 1e6, "params", "standard", {"av": 76.43e6}),
    ("MACs as papers count, G", 1e9, "macs", "eca", {"av": 187.31e9, "v": 161.06e9}),
    ("FLOPs with attention, G", 1e9, "flops", "eca", {}),
    ("memory, ECA, GB", 1e9, "memory", "eca", {"av": 1.20e9}),
    ("memory, SCA, GB", 1e9, "memory", "standard", {"av": 5.32e9}),
    ("training, ECA, GB", 1e9, "training_memory", "eca", {}),
    ("training, SCA, GB", 1e9, "training_memory", "standard", {}),
)
"""Lines of the table: title, unit, cost, cross-attention, and figures printed by DiffSal's paper by modality (tables of
results; Table 4 on cross-attention, with audio)."""


@dataclass(frozen=True)
class NetworkCost:
    """Cost of one pass of a network, of a denoiser one step, batch 1."""

    params: int
    """Parameters as the papers count: of the leaf modules that were called."""
    all_params: int
    """All parameters, trainable or frozen, called or not."""
    macs: int
    """Multiply-accumulates as the papers count, without attention's matrix products."""
    encode_macs: int
    """Those of the part that runs once per clip; of a direct network all."""
    flops: int
    """Floating point operations with attention, two per multiply-accumulate."""
    memory: int
    """Bytes of the weights and of the activations' peak in one pass, float32, attention matrices materialised."""

    calls: int | None = 1
    """Calls of the denoiser for a map; None if the network chooses them for each clip."""

    @property
    def prediction_macs(self) -> int | None:
        """Multiply-accumulates of a map with all calls of the denoiser; None if their number is not fixed."""
        return None if self.calls is None else self.encode_macs + self.calls * (self.macs - self.encode_macs)


def count_cost(network: SaliencyNetwork, inputs: Sequence[Any]) -> NetworkCost:
    """Count the cost of a network.

    Args:
        network: Network, best on the meta device: seconds and no memory.
        inputs: Arguments of its forward, batch 1.
    """
    cost = count_as_papers(network, *inputs)
    diffusion = isinstance(network, DiffusionNetwork)
    once = count_as_papers(network, *inputs[2:], method="encode") if diffusion else cost
    return NetworkCost(
        params=cost.params,
        all_params=sum(parameter.numel() for parameter in network.parameters()),
        macs=cost.macs,
        encode_macs=once.macs,
        flops=count_flops(network, *inputs),
        memory=weight_memory(network) + activation_memory(network, *inputs),
    )


def weight_memory(network: SaliencyNetwork) -> int:
    """Sum up the bytes of the weights."""
    return sum(parameter.nbytes for parameter in network.parameters())


def bench_model(
    variants: Sequence[DiffSalVariant] = ("paper", "released"),
    modalities: Sequence[DiffSalModality] = ("av", "v"),
) -> list[dict[str, Any]]:
    """Count every DiffSal at the published sizes on the meta device.

    Args:
        variants: ``paper``, ``released``.
        modalities: ``av``, ``v``.

    Returns:
        A record for each network: ``variant``, ``modality``, ``attention``, the fields of :class:`NetworkCost`, and
        ``training_memory``, the same with all that a training pass stores.
    """
    from lightning_avsp.papers.diffsal.network import DiffSal

    records = []
    for variant in variants:
        for modality in modalities:
            for attention in get_args(Attention):
                with torch.device("meta"):
                    network = DiffSal(variant=variant, modality=modality, attention=attention)
                    # noisy map, step, frames and log-mel slices of the published sizes
                    inputs: list[Tensor | None] = [
                        torch.zeros(1, 1, 224, 384),
                        torch.zeros(1, dtype=torch.int64),
                        torch.zeros(1, 3, 16, 224, 384),
                        torch.zeros(1, 1, 9, 112, 192) if modality == "av" else None,
                    ]
                    cost = asdict(count_cost(network, inputs))
                    training = weight_memory(network) + activation_memory(network, *inputs, training=True)
                names = {"variant": variant, "modality": modality, "attention": attention}
                records.append({**names, **cost, "training_memory": training})
    return records


def truncated(value: float, unit: float) -> str:
    """Format a value in units, cut (not rounded) to two decimals as the paper prints its figures."""
    return f"{int(value / unit * 100 + 1e-9) / 100:.2f}"


def print_records(records: Sequence[dict[str, Any]], console: Console | None = None) -> None:
    """Print the networks' costs and the paper's figures as one table.

    Args:
        records: Result of :func:`bench_model`.
        console: Console to print to; standard output by default.
    """
    from rich.console import Console

    found = {(one["variant"], one["modality"], one["attention"]): one for one in records}
    networks = dict.fromkeys((variant, modality) for variant, modality, _ in found)
    rows: dict[str, dict[str, str]] = {}
    for title, unit, cost, attention, printed in LINES:
        values = {f"as printed, {modality}": printed.get(modality) for modality in ("av", "v")}
        values |= {", ".join(network): found[(*network, attention)][cost] for network in networks}
        rows[title] = {k: "-" if value is None else truncated(value, unit) for k, value in values.items()}
    console = console or Console()
    title = "DiffSal: one denoising step of one clip, 16x224x384, audio 9x112x192"
    print_table(title, pd.DataFrame(rows).T, console)
    console.print(
        "Parameters and MACs as the papers count: leaf modules called in one pass, without attention's matrix "
        "products. Memory: weights and the peak of activations in one forward pass, float32, attention "
        "matrices materialised; the paper does not say how it measured Table 4. SCA: standard cross-attention."
    )
