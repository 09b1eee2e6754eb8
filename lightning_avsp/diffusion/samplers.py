"""Samplers: one for each published algorithm, one signature for all.

A sampler visits the given steps from noisy to clean and calls ``denoise`` exactly once at each; the
transition after the last one goes to the clean sample, where every algorithm here returns the last prediction
of x0 as it is.

The state is kept in at least float32. ``denoise`` receives it in the dtype of ``x_T`` (so a bfloat16 network
gets bfloat16), and scalar coefficients are float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from lightning_avsp.diffusion.noise import Generators, draw_noise
from lightning_avsp.diffusion.process import GaussianDiffusion
from lightning_avsp.errors import InputError, require_range

Denoise: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""``denoise(x_t, t)`` with x_t (B, ...) and t int64 (B,) returns the predicted clean sample x0 (B, ...)."""

Range: TypeAlias = tuple[float, float]

SamplerName = Literal["ddpm", "ddim", "dpm_solver_pp"]
"""``ddpm``: Ho et al. 2020; ``ddim``: Song et al. 2021; ``dpm_solver_pp``: Lu et al. 2022, order 2."""


@dataclass(frozen=True)
class SamplerStep:
    """One step as a callback receives it."""

    index: int
    """Number of the step, from 0."""
    t: int
    """Diffusion step at which the denoiser was called."""
    x_t: Tensor
    """State that the denoiser was given (B, ...)."""
    x0: Tensor
    """Clean sample it predicted (B, ...), after clipping."""


Update: TypeAlias = Callable[[Tensor, Tensor, int, int], Tensor]
"""``update(x_t, x0, t, s)`` makes the state at the less noisy step ``s`` of state and prediction at ``t``."""


class SamplingAlgorithm:
    """An algorithm: decorates the function that builds its update, anew for every run.

    Args:
        make_update: Builds the update from process, ``eta`` and source of noise; its name is the algorithm's.
    """

    def __init__(self, make_update: Callable[[GaussianDiffusion, float, Generators], Update]) -> None:
        self.make_update, self.name, self.__doc__ = make_update, make_update.__name__, make_update.__doc__

    def __call__(
        self,
        denoise: Denoise,
        x_T: Tensor,
        timesteps: Sequence[int],
        diffusion: GaussianDiffusion,
        *,
        eta: float = 0.0,
        generator: Generators = None,
        clip: Range | None = None,
        callback: Callable[[SamplerStep], None] | None = None,
    ) -> Tensor:
        """Sample.

        Args:
            denoise: Predicts x0 from ``(x_t, t)``.
            x_T: Noise to start from (B, ...).
            timesteps: Steps to visit, strictly descending, within 0..T-1.
            diffusion: The process whose schedule is followed.
            eta: Share of fresh noise; DDIM only.
            generator: Source of fresh noise: one, one per sample, or None for the global generator.
            clip: Range (low, high) to which each predicted x0 is clipped before it is used.
            callback: Called after each prediction.

        Returns:
            Last predicted x0, shape of ``x_T``, at least float32.

        Raises:
            InputError: If steps, ``eta`` or ``clip`` make no sense, or ``denoise`` changes the shape.
        """
        check_eta(self.name, eta)
        _check(x_T, timesteps, diffusion, clip)
        # anew for every run: multistep solvers keep a history
        update = self.make_update(diffusion, eta, generator)
        x_t = x_T.to(torch.promote_types(x_T.dtype, torch.float32))
        for index, (t, s) in enumerate(pairwise([*timesteps, -1])):
            # filled on the device: a copy would wait for it
            steps = torch.full(x_T.shape[:1], t, dtype=torch.int64, device=x_T.device)  # (B,)
            x0 = denoise(x_t.to(x_T.dtype), steps).to(x_t.dtype)
            if x0.shape != x_t.shape:
                raise InputError(f"denoise returned {tuple(x0.shape)} for an input of {tuple(x_t.shape)}")
            if clip is not None:
                x0 = x0.clamp(*clip)  # before the callback, which sees what is used
            if callback is not None:
                callback(SamplerStep(index=index, t=t, x_t=x_t, x0=x0))
            # s = -1 is the clean sample: there every algorithm returns the prediction itself
            x_t = x0 if s < 0 else update(x_t, x0, t, s)
        return x_t


@SamplingAlgorithm
def ddpm(diffusion: GaussianDiffusion, eta: float, generator: Generators) -> Update:
    """Ancestral sampling, Algorithm 2 of Ho et al. 2020, with the posterior's own variance (Eq. 6 and 7).

    On strided steps the posterior is that of the respaced chain, with beta = 1 - ab_t / ab_s (Nichol and
    Dhariwal 2021, section 4). The noise is the posterior's: ``eta`` must stay 0.
    """

    def update(x_t: Tensor, x0: Tensor, t: int, s: int) -> Tensor:
        ab_t, ab_s = diffusion.alpha_bar_at(t), diffusion.alpha_bar_at(s)
        beta = 1 - ab_t / ab_s
        # beta of the respaced chain, whose steps span several of the schedule
        mean = (math.sqrt(ab_s) * beta * x0 + math.sqrt(ab_t / ab_s) * (1 - ab_s) * x_t) / (1 - ab_t)
        noise = draw_noise(x_t.shape, generator, x_t.device, x_t.dtype)
        return mean + math.sqrt(beta * (1 - ab_s) / (1 - ab_t)) * noise

    return update


@SamplingAlgorithm
def ddim(diffusion: GaussianDiffusion, eta: float, generator: Generators) -> Update:
    """Denoising diffusion implicit models, Eq. 12 and 16 of Song et al. 2021.

    ``eta`` 0 is deterministic, 1 has the variance of :func:`ddpm`. With ``clip`` the noise estimate is taken
    from the clipped x0, so that state and prediction stay consistent.
    """

    def update(x_t: Tensor, x0: Tensor, t: int, s: int) -> Tensor:
        ab_t, ab_s = diffusion.alpha_bar_at(t), diffusion.alpha_bar_at(s)
        # of the clipped x0, so that both stay consistent
        eps = (x_t - math.sqrt(ab_t) * x0) / math.sqrt(1 - ab_t)
        variance = eta**2 * (1 - ab_s) / (1 - ab_t) * (1 - ab_t / ab_s)
        x_s = math.sqrt(ab_s) * x0 + math.sqrt(1 - ab_s - variance) * eps
        if eta > 0:
            x_s = x_s + math.sqrt(variance) * draw_noise(x_t.shape, generator, x_t.device, x_t.dtype)
        return x_s

    return update


@SamplingAlgorithm
def dpm_solver_pp(diffusion: GaussianDiffusion, eta: float, generator: Generators) -> Update:
    """DPM-Solver++(2M) on predictions of x0, Algorithm 2 of Lu et al. 2022 (arXiv 2211.01095).

    Second order: each transition extrapolates from the last two predictions along lambda = log(alpha /
    sigma). The first transition has only one prediction and the last ends at infinite lambda, so both are
    first order. The solver is deterministic: ``eta`` must stay 0 and ``generator`` is not read.
    """
    previous: tuple[Tensor, float] | None = None  # last x0 and the width of the transition that followed it

    def update(x_t: Tensor, x0: Tensor, t: int, s: int) -> Tensor:
        nonlocal previous
        ab_t, ab_s = diffusion.alpha_bar_at(t), diffusion.alpha_bar_at(s)
        # h = lambda_s - lambda_t, where lambda = log(sqrt(ab) / sqrt(1 - ab))
        h = 0.5 * (math.log(ab_s / (1 - ab_s)) - math.log(ab_t / (1 - ab_t)))
        slope = x0
        if previous is not None:
            last_x0, last_h = previous
            slope = x0 + 0.5 * h / last_h * (x0 - last_x0)
        previous = (x0, h)
        return math.sqrt((1 - ab_s) / (1 - ab_t)) * x_t - math.sqrt(ab_s) * math.expm1(-h) * slope

    return update


SAMPLERS: dict[SamplerName, SamplingAlgorithm] = {"ddpm": ddpm, "ddim": ddim, "dpm_solver_pp": dpm_solver_pp}
"""Samplers by name."""


def _check(x_T: Tensor, timesteps: Sequence[int], diffusion: GaussianDiffusion, clip: Range | None) -> None:
    if not x_T.is_floating_point():
        raise InputError(f"sampling starts from floating-point noise, got {x_T.dtype}")
    if not timesteps:
        raise InputError("no diffusion steps to visit; give at least one")
    # a step visited twice would have dpm_solver_pp divide by zero, the width of its transition
    if any(t <= s for t, s in pairwise(timesteps)):
        raise InputError(
            f"diffusion steps must be strictly descending, from noisy to clean; got {list(timesteps)}"
        )
    if timesteps[0] >= diffusion.num_steps or timesteps[-1] < 0:
        raise InputError(
            f"diffusion steps {timesteps[0]}..{timesteps[-1]} leave the range 0..{diffusion.num_steps - 1}; "
            "the final -1 is added by the sampler"
        )
    if clip is not None and not clip[0] < clip[1]:
        raise InputError(f"clip needs low < high, got {clip}")


def check_eta(algorithm: str, eta: float) -> None:
    """Refuse a share of fresh noise that an algorithm cannot use.

    Raises:
        InputError: If it is out of range, or set for another algorithm than DDIM.
    """
    require_range(0, 1, eta=eta)
    if eta > 0 and algorithm != "ddim":
        raise InputError(f"eta={eta} has no meaning for {algorithm}, whose noise is fixed: choose ddim, or 0")
