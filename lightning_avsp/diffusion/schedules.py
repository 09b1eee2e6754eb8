"""Noise schedules: how much variance each diffusion step adds, in float64.

Computed on the CPU whatever the default dtype or device, because a schedule rounded to float32 or bfloat16
before its cumulative product is another schedule.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from lightning_avsp.errors import InputError

ScheduleName = Literal["cosine", "linear"]
"""``cosine``: Nichol and Dhariwal 2021; ``linear``: Ho et al. 2020."""


def cosine_betas(num_steps: int, s: float = 0.008, max_beta: float = 0.999) -> Tensor:
    """Cosine schedule, Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic Models", Eq. 17.

    With ``f(i) = cos^2(((i / T + s) / (1 + s)) * pi / 2)``, step ``i`` adds ``1 - f(i + 1) / f(i)``.

    Args:
        num_steps: Number of diffusion steps T, at least 1.
        s: Offset that keeps the first steps from being vanishingly small.
        max_beta: Upper limit of a beta; without it the last step would divide by zero later.

    Returns:
        Betas of steps 0..T-1: float64 (T,), in (0, max_beta].

    Raises:
        InputError: If ``num_steps`` < 1, ``s`` < 0 or ``max_beta`` is not in (0, 1).
    """
    _check_num_steps(num_steps)
    if s < 0:
        raise InputError(f"cosine schedule: offset s must not be negative, got s={s}; the paper uses 0.008")
    _check_max_beta(max_beta)
    i = torch.arange(num_steps + 1, dtype=torch.float64, device="cpu")
    f = torch.cos((i / num_steps + s) / (1 + s) * (math.pi / 2)).square()
    return (1 - f[1:] / f[:-1]).clamp(max=max_beta)


def linear_betas(num_steps: int, first: float = 1e-4, last: float = 0.02, max_beta: float = 0.999) -> Tensor:
    """Linear schedule of Ho et al., "Denoising Diffusion Probabilistic Models" (2020), section 4.

    The published end points belong to T = 1000. Other lengths scale them by 1000 / T, so that a short chain
    also ends in noise, which every sampler here takes for granted.

    Args:
        num_steps: Number of diffusion steps T, at least 1.
        first: Beta of step 0 at T = 1000.
        last: Beta of step T-1 at T = 1000.
        max_beta: Upper limit of a beta, reached only by chains of some twenty steps.

    Returns:
        Betas of steps 0..T-1: float64 (T,), in (0, max_beta].

    Raises:
        InputError: If ``num_steps`` < 1, ``0 < first <= last`` does not hold or ``max_beta`` is not in (0,
            1).
    """
    _check_num_steps(num_steps)
    if not 0 < first <= last:
        raise InputError(
            f"linear schedule: needs 0 < first <= last, got first={first} and last={last}; "
            "the paper uses 1e-4 and 0.02"
        )
    _check_max_beta(max_beta)
    scale = 1000 / num_steps
    betas = torch.linspace(first * scale, last * scale, num_steps, dtype=torch.float64, device="cpu")
    return betas.clamp(max=max_beta)


def schedule_betas(schedule: ScheduleName, num_steps: int) -> Tensor:
    """Betas of a schedule by name, with the constants of its paper: float64 (T,).

    Raises:
        InputError: If the name is unknown or ``num_steps`` < 1.
    """
    if schedule == "cosine":
        return cosine_betas(num_steps)
    if schedule == "linear":
        return linear_betas(num_steps)
    raise InputError(
        f"unknown noise schedule {schedule!r}; choose one of {', '.join(get_args(ScheduleName))}"
    )


def _check_num_steps(num_steps: int) -> None:
    if num_steps < 1:
        raise InputError(f"a diffusion process needs at least 1 step, got num_steps={num_steps}")


def _check_max_beta(max_beta: float) -> None:
    if not 0 < max_beta < 1:
        raise InputError(f"max_beta must lie strictly between 0 and 1, got {max_beta}; 0.999 is usual")
