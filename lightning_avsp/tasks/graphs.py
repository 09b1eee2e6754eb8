"""CUDA graphs of a network's passes: hundreds of kernels launched as one, where launching them bounds the step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from lightning_avsp.structures import Condition

log = logging.getLogger(__name__)

Pass = Callable[..., Any]

# conditions are arguments of denoisers, and a graph copies every tensor in its arguments
pytree.register_dataclass(Condition, field_names=["video", "audio", "text"])


def use_graphs(network: nn.Module) -> str:
    """Record the passes of a network as CUDA graphs at their first use; parameter names do not change.

    Its training pass with the backward pass is one graph; encoding, denoising and prediction without gradients are one
    each. Weights are read where they lie, so that they may be changed in place (by an optimiser, by an average of
    weights), but not moved.

    Returns:
        A line on what was done.
    """
    names = [name for name in ("forward", "encode", "denoise") if hasattr(network, name)]
    for name in names:
        vars(network)[name] = RecordedPass(network, getattr(network, name))
    return f"{', '.join(names)} are recorded as CUDA graphs at their first batch; smaller batches run without"


class RecordedPass:
    """One pass of a network, replayed from a CUDA graph for batches of the shape that it was recorded at.

    Args:
        network: The network.
        method: Its bound method.

    Attributes:
        graphs: Recorded graphs by mode and shapes; None for shapes that run without one.
    """

    def __init__(self, network: nn.Module, method: Pass) -> None:
        self.network, self.method = network, method
        self.graphs: dict[Any, Pass | None] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the pass."""
        leaves, layout = pytree.tree_flatten((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        training = torch.is_grad_enabled()
        # a pass inside another one belongs to its graph; a training pass of encode alone has no graph of its own
        whole = not training or (self.network.training and self.method.__name__ == "forward")
        if not tensors or not self._on_gpu(tensors) or not whole or torch.cuda.is_current_stream_capturing():
            return self.method(*args, **kwargs)
        mode = (training, self.network.training, torch.is_inference_mode_enabled(), autocast_type())
        key = (mode, layout, tuple((tensor.shape, tensor.dtype) for tensor in tensors))
        if key not in self.graphs:
            # one graph for each mode: the last batch of an epoch is not worth the memory of another
            known = any(other[0] == mode and graph is not None for other, graph in self.graphs.items())
            self.graphs[key] = None if known else self._record(leaves, layout, tensors, training)
        graph = self.graphs[key]
        return self.method(*args, **kwargs) if graph is None else graph(*tensors)

    @staticmethod
    def _on_gpu(tensors: list[Tensor]) -> bool:
        return all(tensor.is_cuda for tensor in tensors)

    def _record(self, leaves: list[Any], layout: Any, tensors: list[Tensor], training: bool) -> Pass:
        start = perf_counter()
        call = _Call(self.network, self.method, leaves, layout)
        static = tuple(tensor.detach().clone() for tensor in tensors)
        with unchanged_state(self.network), without_cast_cache():
            # arguments may go unused, as t in a network without time, and parameters in a branch that is off
            graph = (
                torch.cuda.make_graphed_callables(call, static, allow_unused_input=True)
                if training
                else record_inference(call, static)
            )
        log.info(
            "%s%s: recorded as a CUDA graph in %.1f s",
            self.method.__name__,
            " and its backward pass" if training else "",
            perf_counter() - start,
        )
        return graph


class _Call(nn.Module):
    """A pass as a module of tensors alone, whose parameters are those of the network."""

    def __init__(self, network: nn.Module, method: Pass, leaves: list[Any], layout: Any) -> None:
        super().__init__()
        self.network, self.method, self.layout = network, method, layout
        self.leaves = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        self.places = [index for index, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
        self.training = network.training  # not train(), which would reach frozen parts

    def forward(self, *tensors: Tensor) -> Any:
        leaves = list(self.leaves)
        for place, tensor in zip(self.places, tensors, strict=True):
            leaves[place] = tensor
        args, kwargs = pytree.tree_unflatten(leaves, self.layout)
        return self.method(*args, **kwargs)


def record_inference(call: Pass, static: tuple[Tensor, ...]) -> Pass:
    """Record a pass without gradients.

    Args:
        call: Function of tensors.
        static: Its arguments, which the graph keeps.

    Returns:
        The same function; its results are copies.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # in which libraries choose their kernels
            call(*static)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results, layout = pytree.tree_flatten(call(*static))

    def replay(*tensors: Tensor) -> Any:
        for own, given in zip(static, tensors, strict=True):
            own.copy_(given)
        graph.replay()  # reads the memory of its own arguments alone
        # samplers look at results of earlier steps, which the next replay overwrites
        copies = [result.clone() if isinstance(result, Tensor) else result for result in results]
        return pytree.tree_unflatten(copies, layout)

    return replay


def autocast_type() -> torch.dtype | None:
    """Return the type that autocast computes in on a GPU; None where it is off."""
    return torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else None


@contextmanager
def without_cast_cache() -> Iterator[None]:
    """Let autocast cast each weight anew: a graph would go on reading a copy that was made before it."""
    cached = torch.is_autocast_cache_enabled()
    torch.clear_autocast_cache()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(cached)


@contextmanager
def unchanged_state(network: nn.Module) -> Iterator[None]:
    """Restore buffers and random state afterwards: warming up must not count as training."""
    buffers = [(buffer, buffer.detach().clone()) for buffer in network.buffers()]
    cuda = torch.cuda.is_available()
    state = torch.cuda.get_rng_state() if cuda else None
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        if state is not None:
            torch.cuda.set_rng_state(state)
