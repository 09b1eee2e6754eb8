"""Depthwise 3-D convolution on channels-last memory, as an operator with a Triton kernel behind it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

Sizes = list[int]


@torch.library.custom_op("lightning_avsp::depthwise", mutates_args=())
def depthwise_convolution(
    x: Tensor, weight: Tensor, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Tensor:
    """Convolve each channel for itself.

    Args:
        x: (B, R C, T, H, W) with channels next to each other in memory; other strides are free. Each of the R sets of C
            channels meets the same weight.
        weight: (C, 1, kt, kh, kw).
        stride: Steps between windows along time, height and width.
        padding: Zeros at both ends of each axis.
        dilation: Steps between the kernel's taps.

    Returns:
        (B, R C, T', H', W'), channels last in memory, in the type of ``x``.
    """
    from lightning_avsp.layers import depthwise_kernels  # needs Triton, which machines without a GPU may lack

    y = _result(x, weight, stride, padding, dilation)
    depthwise_kernels.launch_forward(_channels_adjacent(x), weight, y, stride, padding, dilation)
    return y


@torch.library.custom_op("lightning_avsp::depthwise_backward", mutates_args=())
def depthwise_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: Sizes, padding: Sizes, dilation: Sizes
) -> tuple[Tensor, Tensor]:
    """Compute the gradients of input and weight from that of the result; sums in a fixed order."""
    from lightning_avsp.layers import depthwise_kernels

    gradient = gradient.contiguous(memory_format=torch.channels_last_3d)
    x_gradient = torch.empty(x.shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last_3d)
    depthwise_kernels.launch_input_gradient(gradient, weight, x_gradient, stride, padding, dilation)
    sizes = stride, padding, dilation
    parts = depthwise_kernels.launch_weight_gradient(gradient, _channels_adjacent(x), weight, *sizes)
    return x_gradient, parts.sum(dim=(0, 2)).t().reshape(weight.shape).to(weight.dtype)


@depthwise_convolution.register_fake
def _result(x: Tensor, weight: Tensor, stride: Sizes, padding: Sizes, dilation: Sizes) -> Tensor:
    """Make room for the result."""
    size = [
        (length + 2 * pad - apart * (kernel - 1) - 1) // step + 1
        for length, kernel, step, pad, apart in zip(
            x.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True
        )
    ]
    return torch.empty(
        (*x.shape[:2], *size), dtype=x.dtype, device=x.device, memory_format=torch.channels_last_3d
    )


@depthwise_backward.register_fake
def _gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: Sizes, padding: Sizes, dilation: Sizes
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x, memory_format=torch.channels_last_3d), torch.empty_like(weight)


def _channels_adjacent(x: Tensor) -> Tensor:
    return x if x.stride(1) == 1 else x.contiguous(memory_format=torch.channels_last_3d)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, *ctx.sizes = inputs
    ctx.save_for_backward(x, weight)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    x_gradient, weight_gradient = depthwise_backward(gradient, *ctx.saved_tensors, *ctx.sizes)
    return x_gradient, weight_gradient, None, None, None


depthwise_convolution.register_autograd(_differentiate, setup_context=_remember)
