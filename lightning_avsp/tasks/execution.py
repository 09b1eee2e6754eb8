"""Execution of a network and its optimiser that changes no result: compiled, checkpointed, sharded, fused."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from types import FunctionType
from typing import Any, Literal

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from lightning_avsp.tasks.graphs import use_graphs

UNIT_PARAMETERS = 10_000
"""Smallest block that is a unit of its own; smaller ones go with what they are part of."""

ENTRIES = ("forward", "encode", "denoise", "explain")
"""Methods that a network is entered through: sharded parameters must be gathered for each of them."""

CompileMode = Literal["none", "default", "graphs", "default-graphs", "max-autotune", "eager"]
_BACKENDS: dict[str, dict[str, Any]] = {
    "default": {},
    "default-graphs": {},
    "max-autotune": {"mode": "max-autotune-no-cudagraphs"},
    "eager": {"backend": "eager"},
}


@dataclass(frozen=True)
class Execution:
    """Options of a network's execution."""

    compile: CompileMode = "none"
    """``default`` fuses the kernels of every unit with ``torch.compile``, ``graphs`` replays the network's passes as
    CUDA graphs and compiles nothing, ``default-graphs`` does both, ``max-autotune`` times alternatives, ``eager``
    traces alone (for tests)."""
    activation_checkpointing: bool = False
    """Compute the activations of every unit anew in the backward pass instead of keeping them."""

    @property
    def graphs(self) -> bool:
        """True if passes are replayed as CUDA graphs."""
        return self.compile in ("graphs", "default-graphs")


def units(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield blocks that are executed as a whole: elements of lists and sequences, and chains of plain layers, by name.

    Encoder blocks and decoder stages of all networks here are such elements. The outermost ones are taken; blocks
    inside blocks go with them. A lone layer is none: there is nothing in it to fuse or to keep.
    """
    inside = isinstance(network, (nn.ModuleList, nn.Sequential))
    for name, module in network.named_children():
        children = list(module.children())
        # a list has no forward of its own, and what has none cannot be a unit
        whole = bool(children) and not isinstance(module, (nn.ModuleList, nn.ModuleDict))
        chain = isinstance(module, nn.Sequential) and not any(list(child.children()) for child in children)
        if whole and (inside or chain) and parameters(module) >= UNIT_PARAMETERS:
            yield name, module
        else:
            yield from ((f"{name}.{inner}", unit) for inner, unit in units(module))


def parameters(module: nn.Module) -> int:
    """Count the parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())


def prepare_network(network: nn.Module, execution: Execution) -> list[str]:
    """Apply the options to a network, once; parameter names do not change.

    Returns:
        A line on each change.
    """
    lines = []
    blocks = [block for _, block in units(network)]
    if execution.compile not in ("none", "graphs"):
        kinds = _compile(blocks, execution.compile)
        lines.append(
            f"{len(blocks)} blocks of {kinds} kinds are compiled at their first use ({execution.compile}); "
            f"compiled code is kept in {compile_clock.folder}"
        )
    if execution.activation_checkpointing:
        for block in blocks:
            vars(block)["forward"] = partial(_recompute, block, block.forward)
        lines.append(f"activations of {len(blocks)} blocks are computed anew in the backward pass")
    if execution.graphs:
        lines.append(use_graphs(network))
    return lines


# ---- compilation


@dataclass
class CompileClock:
    """Stopwatch of this process' compilations, of forward and backward graphs alike."""

    seconds: float = 0.0
    folder: str = ""
    """Folder of compiled code that is kept between runs."""
    _started: float = 0.0
    _reported: float = 0.0
    _listening: bool = field(default=False, repr=False)

    def start(self) -> None:
        """Choose the folder of compiled code and follow all compilations from now on."""
        from torch._inductor.runtime.cache_dir_utils import cache_dir, default_cache_dir

        if cache_dir() == default_cache_dir():  # a temporary folder, which machines empty
            home = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(home / "lightning_avsp" / "compiled")
        self.folder = cache_dir()
        if not self._listening:
            from torch._dynamo.callback import callback_handler

            callback_handler.register_start_callback(self._begin)
            callback_handler.register_end_callback(self._end)
            self._listening = True

    def _begin(self, _: Any) -> None:
        self._started = perf_counter()

    def _end(self, _: Any) -> None:
        self.seconds += perf_counter() - self._started

    def report(self) -> str | None:
        """Return one line on the compilations since the last report; None if there were none."""
        if self.seconds == self._reported:
            return None
        from torch._dynamo.utils import counters

        new, self._reported = self.seconds - self._reported, self.seconds
        graphs, found = counters["stats"]["unique_graphs"], counters["aot_autograd"]["autograd_cache_hit"]
        return f"compiled for {new:.1f} s; {graphs} graphs so far, {found} of them found in {self.folder}"


compile_clock = CompileClock()


def _compile(blocks: list[nn.Module], mode: str) -> int:
    """Compile blocks; those of one kind share a function, and with it the compiled code. Returns the kinds."""
    compile_clock.start()
    shared: dict[Any, Callable[..., Any]] = {}
    for block in blocks:
        kind = _kind(block)
        if kind not in shared:
            # torch keeps compiled code, and counts recompilations, by code object: each kind needs its own
            code = _run.__code__.replace(co_name=f"{type(block).__name__}_{len(shared)}")
            # shapes are fixed; at a second one torch would make sizes dynamic and compile for any
            shared[kind] = torch.compile(
                FunctionType(code, _run.__globals__), dynamic=False, **_BACKENDS[mode]
            )
        vars(block)["forward"] = CompiledForward(block, shared[kind])
    return len(shared)


def _run(block: nn.Module, *args: Any, **kwargs: Any) -> Any:
    return type(block).forward(block, *args, **kwargs)


def _kind(block: nn.Module) -> tuple[Any, ...]:
    """Class, settings and parameter shapes: blocks that agree in them run the same code."""
    # a frozen block has another backward pass than a trained one of the same shapes
    shapes = tuple((name, tuple(p.shape), p.requires_grad) for name, p in block.named_parameters())
    return type(block), repr(block), shapes


@dataclass
class CompiledForward:
    """The forward pass of a block through the compiled function of its kind; smaller batches run uncompiled."""

    block: nn.Module
    function: Callable[..., Any]
    largest: dict[Any, int] = field(default_factory=dict)
    """Largest batch seen, by grad mode, training mode and the other sizes."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the block."""
        shapes = [value.shape for value in args if isinstance(value, Tensor)]
        if shapes and shapes[0]:
            key = torch.is_grad_enabled(), self.block.training, tuple(shape[1:] for shape in shapes)
            batch = shapes[0][0]
            if batch < self.largest.get(key, 0):  # compiling for the last batch of an epoch takes longer
                return _run(self.block, *args, **kwargs)
            self.largest[key] = batch
        return self.function(self.block, *args, **kwargs)


# ---- activation checkpointing


def _recompute(block: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a block so that it stores its inputs alone, in training."""
    from torch.utils.checkpoint import checkpoint

    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(
        forward,
        *args,
        # the other kind gives parameters no gradient where no input has one, as in the first block
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), resting_statistics(block)),
        **kwargs,
    )


@contextmanager
def resting_statistics(block: nn.Module) -> Iterator[None]:
    """Freeze the running statistics of batch norms: a pass that is repeated must not count twice."""
    norms = [module for module in block.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum


# ---- sharding


def shard(network: nn.Module, mesh: Any) -> list[str]:
    """Shard a network's parameters over a device mesh with FSDP2: every unit apart, the rest together.

    Args:
        network: Network on its device or on the CPU.
        mesh: One-dimensional device mesh of all processes.

    Returns:
        A line on the result.
    """
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    blocks = list(units(network))
    for _, block in blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(
        network, mesh=mesh
    )  # the rest, after the blocks: a parameter belongs to the first that takes it
    for entry in ENTRIES:
        if hasattr(network, entry):
            register_fsdp_forward_method(network, entry)
    return [f"parameters are sharded over {mesh.size()} processes (FSDP2): {len(blocks)} blocks and the rest"]


FUSABLE = (Adam, AdamW, SGD)
"""Optimisers of torch that have a fused step; classes derived from them may have changed theirs and are left alone."""


def fuse(
    optimizer: Optimizer, trainer: Trainer | None = None, gain: tuple[str, ...] = ("cuda",)
) -> tuple[Optimizer, str]:
    """Return the optimiser with a fused step where all parameters lie on a device that gains from it.

    The user's own setting wins: ``--model.optimizer.fused false``, or ``foreach``. A resumed run makes its own choice
    and ignores that of the checkpoint, so that one begun on a GPU continues anywhere.

    Args:
        optimizer: A new optimiser, without state.
        trainer: Its ``gradient_clip_val`` decides if gradients are clipped.
        gain: Types of devices where the fused step is chosen.

    Returns:
        An optimiser of the same class and settings, or the given one; and a line on the choice.
    """
    # not on the CPU: there a fused Adam step takes 0.4 of the time, but the step is one or two hundredths of a
    # training step, and it would round differently from earlier runs
    name = type(optimizer).__name__
    why = refusal(optimizer, gain)
    if why is None:
        # AdamW's defaults hold decoupled_weight_decay, which its constructor does not take
        accepted = inspect.signature(type(optimizer).__init__).parameters
        defaults: dict[str, Any] = {k: v for k, v in optimizer.defaults.items() if k in accepted}
        groups = [{**group, "fused": True} for group in optimizer.param_groups]
        # by its own constructor, which checks what the fused kernels cannot do
        optimizer = type(optimizer)(groups, **{**defaults, "fused": True})
        if getattr(trainer, "gradient_clip_val", None) and hasattr(optimizer, "_step_supports_amp_scaling"):
            # A fused step can undo the scaling of float16 gradients itself, and Lightning therefore refuses to clip
            # them, even under bf16-mixed where nothing is scaled. Told that it cannot, Lightning unscales before.
            optimizer._step_supports_amp_scaling = False
    _keep_choice(optimizer)
    return optimizer, f"optimiser: {name}, {'one fused kernel' if why is None else f'not fused ({why})'}"


def refusal(optimizer: Optimizer, gain: tuple[str, ...]) -> str | None:
    """Return the reason for which an optimiser keeps its own step, or None."""
    if torch.are_deterministic_algorithms_enabled():
        return "a deterministic run was asked for"
    if type(optimizer) not in FUSABLE:
        return "no fused step is known for this class"
    for name in ("fused", "foreach", "differentiable"):
        if optimizer.defaults.get(name):
            return f"{name}={optimizer.defaults[name]} was given"
        if optimizer.defaults.get(name) is False and name != "differentiable":
            return f"{name}=False was given"
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    devices = sorted({parameter.device.type for parameter in parameters})
    if not set(devices) <= set(gain):
        return f"parameters on {', '.join(devices)}"
    if not all(torch.is_floating_point(parameter) for parameter in parameters):
        return "parameters that are not floating point numbers"
    return None


def _keep_choice(optimizer: Optimizer) -> None:
    """Let ``load_state_dict`` keep this optimiser's choice of step: a state holds that of the run which saved it."""
    if "fused" not in optimizer.defaults:
        return
    chosen = {name: optimizer.defaults[name] for name in ("fused", "foreach") if name in optimizer.defaults}

    def choose(_: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        return {**state, "param_groups": [{**group, **chosen} for group in state["param_groups"]]}

    optimizer.register_load_state_dict_pre_hook(choose)
