"""Cost of a network: as the saliency papers count, with attention included, and in memory."""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map_only
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count


@dataclass(frozen=True)
class Cost:
    """Cost of one pass in the papers' convention."""

    params: int
    """Parameters of the leaf modules that the convention knows and that were called."""
    macs: int
    """Multiply-accumulates of convolutions and linear layers; operations of norms, upsampling, softmax."""


def count_as_papers(module: nn.Module, *inputs: Any, method: str = "forward") -> Cost:
    """Count parameters and "FLOPs" as DiffSal's Tables 1 and 2 of results give them.

    The convention is that of the tool `thop` (0.1.1), on one pass with batch 1:

    * only leaf modules of known kinds count, each time they are called; functional calls and attention's
      matrix products count nothing;
    * convolutions and linear layers: multiply-accumulates, biases free; norms: 2 operations per input value,
      4 with affine parameters; bilinear upsampling: 11 per output value; group norm and bare parameters:
      nothing;
    * a parameter counts if its module is known and was called.

    Subclasses count as their base, so that a wrapper changes no figure.

    Args:
        module: Network; put into evaluation mode for the pass. The meta device makes this fast.
        *inputs: Arguments of the pass.
        method: Its method that is counted, ``encode`` for the part of a denoiser that runs once per clip.

    Returns:
        Parameters and multiply-accumulates.
    """
    macs = 0
    called: set[nn.Module] = set()
    known = tuple(kind for kinds, _ in _RULES for kind in kinds)

    def hook(layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        nonlocal macs
        rule = next(rule for kinds, rule in _RULES if isinstance(layer, kinds))
        # work each time, parameters once: heads and time steps share layers
        macs += rule(layer, args[0], output)
        called.add(layer)

    leaves = (layer for layer in module.modules() if not any(layer.children()))
    with ExitStack() as stack:
        for layer in leaves:
            if isinstance(layer, known):
                stack.callback(layer.register_forward_hook(hook).remove)
        stack.enter_context(_mode(module, training=False))
        stack.enter_context(torch.no_grad())
        (module if method == "forward" else getattr(module, method))(*inputs)
    params = sum(parameter.numel() for layer in called for parameter in layer.parameters())
    return Cost(params=params, macs=macs)


def count_flops(module: nn.Module, *inputs: Any) -> int:
    """Count the floating point operations of one pass, two per multiply-accumulate, attention included.

    Args:
        module: Network; put into evaluation mode for the pass. The meta device makes this fast.
        *inputs: Arguments of its forward.

    Returns:
        Operations of convolutions and matrix products; element-wise work is not counted.
    """
    with _mode(module, training=False), torch.no_grad(), _flop_counter() as counter:
        module(*inputs)
    return int(counter.get_total_flops())


def training_flops(network: nn.Module, inputs: Sequence[Any], **keywords: Any) -> int:
    """Count the operations of one forward and backward pass on the meta device, two per multiply-accumulate.

    Activations computed anew under checkpointing are not counted: model FLOPs, not hardware FLOPs. Gradients of
    frozen parts are not computed and not counted.

    Args:
        network: Network as built, before it is compiled or sharded; it is copied.
        inputs: Arguments of its forward, on any device.
        **keywords: More of them.
    """
    # a copy: moved to the meta device, the network itself would lose its weights
    counted = copy.deepcopy(network).to("meta").train()
    inputs, keywords = tree_map_only(Tensor, lambda tensor: tensor.to("meta"), (list(inputs), keywords))
    with _flop_counter() as counter:
        # any loss would do: the counter sees convolutions and matrix products alone
        counted(*inputs, **keywords).sum().backward()
    return int(counter.get_total_flops())


def convolution_backward_flops(
    gradient: Any, x: Any, weight: Any, *args: Any, out_shape: Any = None, **keywords: Any
) -> int:
    """Count a convolution's gradients: one forward pass each for that of the input and that of the weight.

    torch 2.11 multiplies the weight's gradient by the number of groups: 64 times too much for a depthwise kernel of 64.
    """
    transposed, wanted = args[4], args[7]
    return sum(wanted[:2]) * int(conv_flop_count(x, weight, gradient, transposed=transposed))


@contextmanager
def _flop_counter() -> Iterator[FlopCounterMode]:
    counter = FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten.convolution_backward: convolution_backward_flops}
    )
    with sdpa_kernel(SDPBackend.MATH), counter:  # the counter does not know the CPU's fused attention
        yield counter


def activation_memory(module: nn.Module, *inputs: Any, training: bool = False) -> int:
    """Measure the peak of the tensors alive at once during one forward pass, without weights and inputs.

    Attention matrices are materialised, as in the papers' implementations: fused kernels would hide what
    Table 4 of DiffSal compares. Works on any device; on the meta device it needs neither memory nor time.

    Args:
        module: Network.
        *inputs: Arguments of its forward.
        training: Keep what the backward pass needs. On a real device this pass moves batch norm statistics.

    Returns:
        Bytes.
    """
    tracker = _PeakMemory()
    with (
        _mode(module, training),
        torch.set_grad_enabled(training),
        sdpa_kernel(SDPBackend.MATH),
        tracker,
    ):
        output = module(*inputs)
    del output  # held until here: the result is part of the peak
    return tracker.peak


class _PeakMemory(TorchDispatchMode):
    """Storages that operators return, from their birth until they are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._current = 0
        self._alive: dict[int, int] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        known = {
            value.untyped_storage()._cdata for value in tree_iter((args, kwargs)) if isinstance(value, Tensor)
        }
        for value in tree_iter(output):
            # An output that shares an argument's storage is a view of something that was there before.
            if isinstance(value, Tensor) and value.untyped_storage()._cdata not in known:
                self._add(value.untyped_storage())
        return output

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata  # of the memory: one storage may have several Python objects in its life
        if key in self._alive:
            return
        self._alive[key] = storage.nbytes()
        self._current += storage.nbytes()
        self.peak = max(self.peak, self._current)
        weakref.finalize(storage, self._remove, key)

    def _remove(self, key: int) -> None:
        self._current -= self._alive.pop(key)


@contextmanager
def _mode(module: nn.Module, training: bool) -> Iterator[None]:
    """Set evaluation or training mode for the time of a pass; every sub-module gets its own mode back."""
    # of each part: train() gives all the same mode, and frozen encoders have their own
    before = [(layer, layer.training) for layer in module.modules()]
    module.train(training)
    try:
        yield
    finally:
        for layer, mode in before:
            layer.training = mode


def _convolution(layer: Any, x: Tensor, y: Tensor) -> int:
    # not the channels of x: MViT's pooling takes all heads at once
    return y.numel() * (layer.in_channels // layer.groups) * math.prod(layer.weight.shape[2:])


def _norm(layer: Any, x: Tensor, y: Tensor) -> int:
    affine = getattr(layer, "affine", False) or getattr(layer, "elementwise_affine", False)
    return x.numel() * (4 if affine else 2)


def _softmax(layer: Any, x: Tensor, y: Tensor) -> int:
    length = x.shape[layer.dim]
    return x.numel() // length * (3 * length - 1)


def _upsample(layer: Any, x: Tensor, y: Tensor) -> int:
    return y.numel() * {"nearest": 1, "linear": 5, "bilinear": 11, "bicubic": 259}.get(layer.mode, 0)


_Rule = Callable[[Any, Tensor, Tensor], int]
_RULES: tuple[tuple[tuple[type[nn.Module], ...], _Rule], ...] = (
    ((nn.modules.conv._ConvNd,), _convolution),
    ((nn.Linear,), lambda layer, x, y: y.numel() * int(layer.in_features)),
    ((nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.LayerNorm), _norm),
    ((nn.Softmax,), _softmax),
    ((nn.Upsample,), _upsample),
    ((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), lambda layer, x, y: y.numel()),
    ((nn.PReLU,), lambda layer, x, y: 0),
)
"""Kinds of leaf modules and their operations per call; others count neither operations nor parameters."""
