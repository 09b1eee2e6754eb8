"""How near a training step comes to what the device's matrix units can do."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lightning_avsp.profiling.counting import count_flops
from lightning_avsp.structures import SaliencyNetwork

MATRIX_PEAKS: tuple[tuple[tuple[str, ...], float], ...] = (
    (("H100", "PCIe"), 756e12),
    (("H100", "NVL"), 835e12),
    (("H100", "HBM3"), 989e12),
    (("H200", "NVL"), 835e12),
    (("H200",), 989e12),
    (("A100",), 312e12),
    (("RTX 4090",), 165e12),
)
"""Operations per second of dense bfloat16 products with float32 sums, by what the device's name contains; the first
match counts. Source: the makers' data sheets, whose larger figures are for sparse matrices."""


def matrix_peak(device: torch.device) -> float | None:
    """Operations per second of the device's matrix units in bfloat16; None where we do not know them."""
    return peak_by_name(torch.cuda.get_device_name(device)) if device.type == "cuda" else None


def peak_by_name(name: str) -> float | None:
    """The same by the name that CUDA gives; None for a slice of a device (MIG), which has a part of it."""
    if "MIG" in name:
        return None
    return next((peak for words, peak in MATRIX_PEAKS if all(word in name for word in words)), None)


def training_flops(network: SaliencyNetwork, inputs: Sequence[Any], **keywords: Any) -> int:
    """Operations of one forward and backward pass, counted on the meta device, two per multiply-accumulate.

    What is computed anew under activation checkpointing is not counted: model FLOPs, not hardware FLOPs. Gradients of
    frozen parts are not computed and not counted.

    Args:
        network: Network as built, before it is compiled or sharded; it is copied.
        inputs: Arguments of its forward, on any device.
        **keywords: More of them.
    """
    counted, inputs, keywords = _on_meta(network, inputs, keywords)
    counted.train()
    # the counter does not know the CPU's fused attention
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        counted(*inputs, **keywords).sum().backward()
    return int(counter.get_total_flops())


def forward_flops(network: SaliencyNetwork, inputs: Sequence[Any]) -> int:
    """Operations of one pass without gradients, see :func:`~lightning_avsp.profiling.counting.count_flops`."""
    counted, inputs, _ = _on_meta(network, inputs, {})
    return count_flops(counted, *inputs)


def _on_meta(
    network: SaliencyNetwork, inputs: Sequence[Any], keywords: dict[str, Any]
) -> tuple[SaliencyNetwork, list[Any], dict[str, Any]]:
    def move(value: Any) -> Any:
        return value.to("meta") if isinstance(value, torch.Tensor) else value

    moved = copy.deepcopy(network).to("meta")
    return moved, [move(value) for value in inputs], {name: move(value) for name, value in keywords.items()}
