"""How a network is executed, without changing what it computes: compiled, checkpointed, sharded in units."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

UNIT_PARAMETERS = 50_000
"""Smallest block that is a unit of its own; smaller ones go with what they are part of."""

ENTRIES = ("forward", "encode", "denoise", "explain")
"""Methods that a network is entered through: sharded parameters must be gathered for each of them."""


@dataclass(frozen=True)
class Execution:
    """Options of how a network is executed."""

    compile: Literal["none", "default", "eager", "max-autotune"] = "none"
    """``torch.compile`` of every unit: with its default mode, with the ``eager`` backend (for tests), or tuned."""
    activation_checkpointing: bool = False
    """Compute the activations of every unit anew in the backward pass instead of keeping them."""
    channels_last: bool = False
    """Keep 2-D convolution weights channels last."""


def units(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Blocks that are executed as a whole: elements of module lists and sequences with enough parameters.

    Encoder blocks and decoder stages of all networks here are such elements. The outermost ones are taken; blocks
    inside blocks go with them.
    """
    for name, module in network.named_children():
        if isinstance(module, (nn.ModuleList, nn.Sequential)):
            for key, block in module.named_children():
                # a list has no forward of its own, and what has none cannot be a unit
                if parameters(block) >= UNIT_PARAMETERS and not isinstance(
                    block, (nn.ModuleList, nn.ModuleDict)
                ):
                    yield f"{name}.{key}", block
                else:
                    yield from ((f"{name}.{key}.{inner}", unit) for inner, unit in units(block))
        else:
            yield from ((f"{name}.{inner}", unit) for inner, unit in units(module))


def parameters(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def prepare(network: nn.Module, execution: Execution) -> list[str]:
    """Apply the options to a network, once; parameter names do not change.

    Returns:
        What was done, one line each.
    """
    lines = []
    blocks = list(units(network))
    if execution.channels_last:
        import torch

        count = 0
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
                count += 1
        lines.append(f"{count} two-dimensional convolutions are kept channels last")
    if execution.activation_checkpointing:
        from torch.utils.checkpoint import checkpoint

        for _, block in blocks:
            block.forward = _recomputed(block, checkpoint)
        lines.append(f"activations of {len(blocks)} blocks are computed anew in the backward pass")
    if execution.compile != "none":
        options: dict[str, Any] = {"backend": "eager"} if execution.compile == "eager" else {}
        if execution.compile == "max-autotune":
            options["mode"] = "max-autotune"
        for _, block in blocks:
            block.compile(**options)
        lines.append(f"{len(blocks)} blocks are compiled ({execution.compile})")
    return lines


def _recomputed(block: nn.Module, checkpoint: Any) -> Any:
    """A block's forward pass that keeps its inputs alone, in training."""
    import torch

    forward = block.forward

    def run(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(
            forward,
            *args,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), resting_statistics(block)),
            **kwargs,
        )

    return run


@contextmanager
def resting_statistics(block: nn.Module) -> Iterator[None]:
    """Batch norms whose running statistics do not move: a pass that is repeated must not count twice."""
    norms = [module for module in block.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum


def shard(network: nn.Module, mesh: Any) -> list[str]:
    """Shard a network's parameters over a device mesh with FSDP2: every unit apart, the rest together.

    Args:
        network: Network on its device or on the CPU.
        mesh: One-dimensional device mesh of all processes.

    Returns:
        What was done, one line each.
    """
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    blocks = list(units(network))
    for _, block in blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh)
    for entry in ENTRIES:
        if hasattr(network, entry):
            register_fsdp_forward_method(network, entry)
    return [f"parameters are sharded over {mesh.size()} processes (FSDP2): {len(blocks)} blocks and the rest"]
