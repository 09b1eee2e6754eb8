"""Fused optimiser steps where they gain."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch.optim import SGD, Adam, AdamW, Optimizer

FUSABLE = (Adam, AdamW, SGD)
"""Optimisers of torch that have a fused step; classes derived from them may have changed theirs and are left alone."""


def fuse(
    optimizer: Optimizer, trainer: Trainer | None = None, gain: tuple[str, ...] = ("cuda",)
) -> tuple[Optimizer, str]:
    """Return the optimiser with a fused step where all parameters lie on a device that gains from it.

    Not on the CPU: there a fused Adam step takes 0.4 of the time, but the step is one or two hundredths of a training
    step, and it would round differently from earlier runs.

    The user's own setting wins: ``--model.optimizer.fused false``, or ``foreach``. A resumed run makes its own choice
    and ignores that of the checkpoint, so that one begun on a GPU continues anywhere.

    Args:
        optimizer: A new optimiser, without state.
        trainer: Its ``gradient_clip_val`` decides if gradients are clipped.
        gain: Types of devices where the fused step is chosen.

    Returns:
        An optimiser of the same class and settings, or the given one; and a line on the choice.
    """
    name = type(optimizer).__name__
    why = refusal(optimizer, gain)
    if why is None:
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
