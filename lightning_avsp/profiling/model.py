"""What each DiffSal costs, beside what the paper prints: the table of `avsp bench model`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from lightning_avsp.profiling.counting import activation_memory, count_as_papers, count_flops
from lightning_avsp.structures import DiffusionNetwork

if TYPE_CHECKING:
    from rich.console import Console

    from lightning_avsp.papers.diffsal.network import DiffSalModality, DiffSalVariant

Attention = Literal["eca", "standard"]
Build = Callable[[Attention], DiffusionNetwork]
"""Builds a network with the given cross-attention; called on the meta device."""

FRAMES, HEIGHT, WIDTH = 16, 224, 384
SLICES, SLICE_HEIGHT, SLICE_WIDTH = 9, 112, 192

PAPER_PARAMS_AND_MACS = {"av": (76.57e6, 187.31e9), "v": (70.54e6, 161.06e9)}
"""DiffSal's tables of results: with sound, and video only."""
PAPER_MEMORY = {"eca": 1.20e9, "standard": 5.32e9}
"""Table 4: "memory footprint" with compressed and with standard cross-attention, with sound."""
PAPER_STANDARD_PARAMS = 76.43e6
"""Table 4, standard cross-attention."""


@dataclass(frozen=True)
class ModelCost:
    """One network's row: batch 1, one denoising step, parameters and operations as the papers count."""

    variant: str
    """``paper`` or ``released``."""
    modality: str
    """``av`` or ``v``."""
    params: int
    """Parameters with the variant's own compressed cross-attention."""
    params_standard: int
    """Parameters with standard cross-attention."""
    macs: int
    """Multiply-accumulates, without attention's matrix products."""
    flops: int
    """Floating point operations with attention: two per multiply-accumulate."""
    memory_eca: int
    """Peak of the activations at inference, bytes, float32, compressed attention, matrices materialised."""
    memory_standard: int
    """The same with standard cross-attention."""
    memory_eca_training: int
    """Peak of the activations in a training forward pass, bytes."""
    memory_standard_training: int
    """The same with standard cross-attention."""
    weights: int
    """Bytes of the weights in float32, to be added to the activations for the footprint."""
    paper_params: float | None
    """Printed parameters of this modality."""
    paper_macs: float | None
    """Printed "FLOPs" of this modality."""


def bench_model(
    variants: Sequence[DiffSalVariant] = ("paper", "released"),
    modalities: Sequence[DiffSalModality] = ("av", "v"),
) -> list[ModelCost]:
    """Cost of every DiffSal at the published sizes, computed on the meta device: seconds and no memory.

    Args:
        variants: ``paper``, ``released``.
        modalities: ``av``, ``v``.

    Returns:
        One row per network.
    """
    from lightning_avsp.papers.diffsal.network import DiffSal

    def builder(variant: DiffSalVariant, modality: DiffSalModality) -> Build:
        return lambda attention: DiffSal(variant=variant, modality=modality, attention=attention)

    return [
        measure(variant, modality, builder(variant, modality))
        for variant in variants
        for modality in modalities
    ]


def measure(variant: str, modality: str, build: Build) -> ModelCost:
    """Cost of one network at the published sizes.

    Args:
        variant: Name for the row.
        modality: ``av`` or ``v``; decides whether sound is given.
        build: Builds the network with compressed or standard cross-attention.
    """
    with torch.device("meta"):
        inputs = published_inputs(with_sound=modality == "av")
        compressed, standard = build("eca"), build("standard")
        cost = count_as_papers(compressed, *inputs)
        paper_params, paper_macs = PAPER_PARAMS_AND_MACS.get(modality, (None, None))
        return ModelCost(
            variant=variant,
            modality=modality,
            params=cost.params,
            params_standard=count_as_papers(standard, *inputs).params,
            macs=cost.macs,
            flops=count_flops(compressed, *inputs),
            memory_eca=activation_memory(compressed, *inputs),
            memory_standard=activation_memory(standard, *inputs),
            memory_eca_training=activation_memory(compressed, *inputs, training=True),
            memory_standard_training=activation_memory(standard, *inputs, training=True),
            weights=sum(parameter.nbytes for parameter in compressed.parameters()),
            paper_params=paper_params,
            paper_macs=paper_macs,
        )


def published_inputs(with_sound: bool) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Noisy map, step, video and sound of the published sizes on the current device, batch 1."""
    return (
        torch.zeros(1, 1, HEIGHT, WIDTH),
        torch.zeros(1, dtype=torch.int64),
        torch.zeros(1, 3, FRAMES, HEIGHT, WIDTH),
        torch.zeros(1, 1, SLICES, SLICE_HEIGHT, SLICE_WIDTH) if with_sound else None,
    )


def truncated(value: float, unit: float) -> str:
    """Value in units, cut (not rounded) to two decimals as the paper prints its figures."""
    return f"{int(value / unit * 100 + 1e-9) / 100:.2f}"


def print_rows(rows: Sequence[ModelCost], console: Console | None = None) -> None:
    """Print the networks' costs and the paper's figures as one table.

    Args:
        rows: What :func:`bench_model` returned.
        console: Where to print; standard output by default.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title="DiffSal: one denoising step of one clip, 16 x 224 x 384, with 9 x 112 x 192 of sound"
    )
    table.add_column("")
    for modality in PAPER_PARAMS_AND_MACS:
        table.add_column(f"as printed, {modality}", justify="right")
    for row in rows:
        table.add_column(f"{row.variant}, {row.modality}", justify="right")
    printed = PAPER_PARAMS_AND_MACS.values()
    with_sound = [
        modality == "av" for modality in PAPER_PARAMS_AND_MACS
    ]  # Table 4 is about the network with sound
    nothing = [None for _ in PAPER_PARAMS_AND_MACS]
    lines: tuple[tuple[str, float, Sequence[float | None], Sequence[int]], ...] = (
        ("parameters, M", 1e6, [params for params, _ in printed], [row.params for row in rows]),
        (
            "parameters, SCA, M",
            1e6,
            [PAPER_STANDARD_PARAMS if sound else None for sound in with_sound],
            [row.params_standard for row in rows],
        ),
        ("MACs as papers count, G", 1e9, [macs for _, macs in printed], [row.macs for row in rows]),
        ("FLOPs with attention, G", 1e9, nothing, [row.flops for row in rows]),
        (
            "memory, ECA, GB",
            1e9,
            [PAPER_MEMORY["eca"] if sound else None for sound in with_sound],
            [row.memory_eca + row.weights for row in rows],
        ),
        (
            "memory, SCA, GB",
            1e9,
            [PAPER_MEMORY["standard"] if sound else None for sound in with_sound],
            [row.memory_standard + row.weights for row in rows],
        ),
        ("training, ECA, GB", 1e9, nothing, [row.memory_eca_training + row.weights for row in rows]),
        ("training, SCA, GB", 1e9, nothing, [row.memory_standard_training + row.weights for row in rows]),
    )
    for label, unit, theirs, ours in lines:
        table.add_row(
            label, *("-" if value is None else truncated(value, unit) for value in (*theirs, *ours))
        )
    console = console or Console()
    console.print(table)
    console.print(
        "Parameters and MACs as the papers count: leaf modules called in one pass, without attention's matrix "
        "products. Memory: weights and the peak of activations in one forward pass, float32, attention "
        "matrices materialised; the paper does not say how it measured Table 4. SCA: standard cross-attention."
    )
