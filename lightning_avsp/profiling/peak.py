"""Matrix peaks of devices, and the operations of a training step to compare with them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

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
    """Return the bfloat16 operations per second of the device's matrix units; None where they are not known."""
    return peak_by_name(torch.cuda.get_device_name(device)) if device.type == "cuda" else None


def peak_by_name(name: str) -> float | None:
    """Return the same by the name that CUDA gives; None for a slice of a device (MIG), which has a part of it."""
    if "MIG" in name:
        return None
    return next((peak for words, peak in MATRIX_PEAKS if all(word in name for word in words)), None)


def convolution_backward_flops(
    gradient: Any, x: Any, weight: Any, *args: Any, out_shape: Any = None, **keywords: Any
) -> int:
    """Count a convolution's gradients: one forward pass each for that of the input and that of the weight.

    torch 2.11 multiplies the weight's gradient by the number of groups: 64 times too much for a depthwise kernel of 64.
    """
    transposed, wanted = args[4], args[7]
    return (int(wanted[0]) + int(wanted[1])) * int(
        conv_flop_count(x, weight, gradient, transposed=transposed)
    )


def training_flops(network: SaliencyNetwork, inputs: Sequence[Any], **keywords: Any) -> int:
    """Count the operations of one forward and backward pass on the meta device, two per multiply-accumulate.

    Activations computed anew under checkpointing are not counted: model FLOPs, not hardware FLOPs. Gradients of
    frozen parts are not computed and not counted.

    Args:
        network: Network as built, before it is compiled or sharded; it is copied.
        inputs: Arguments of its forward, on any device.
        **keywords: More of them.
    """

    def move(value: Any) -> Any:
        return value.to("meta") if isinstance(value, torch.Tensor) else value

    counted = copy.deepcopy(network).to("meta").train()
    inputs, keywords = [move(value) for value in inputs], {name: move(v) for name, v in keywords.items()}
    # the counter does not know the CPU's fused attention
    counter = FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten.convolution_backward: convolution_backward_flops}
    )
    with sdpa_kernel(SDPBackend.MATH), counter:
        counted(*inputs, **keywords).sum().backward()
    return int(counter.get_total_flops())
