"""Diffusion steps: those that a sampler visits, and those that training draws."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from lightning_avsp.errors import InputError, require_choice

SpacingName = Literal["linspace", "leading", "logsnr"]
"""``linspace``: evenly from T-1 to -1; ``leading``: multiples of T // N; ``logsnr``: even in log-SNR."""

TimestepDraw = Literal["per_sample", "per_batch", "high_noise"]
"""``per_sample``: uniform, one per sample; ``per_batch``: uniform, one for all; ``high_noise``: see below."""

HIGH_NOISE_SHARE = 0.4
"""``high_noise`` prefers the noisiest steps: this share of them, 600..999 of 1000."""


def space_timesteps(
    num_steps: int, steps: int, spacing: SpacingName = "linspace", log_snr: Tensor | None = None
) -> list[int]:
    """Space the steps that a sampler visits, from noisy to clean, without the final -1.

    The transition after the last one goes to -1, the clean sample, so N steps are N calls of the denoiser.

    * ``linspace``: line 4 of DiffSal's Algorithm 2, ``Reversed(Linspace(-1, T, ...))``, in steps counted from
      0: N + 1 even points from T-1 down to -1, of which the first N are visited, rounded down. 999, 749, 499,
      249 for T = 1000 and N = 4.
    * ``leading``: what DiffSal's released code visits: 750, 500, 250, 0 for N = 4, and 0 alone for N = 1 (its
      shipped setting: one pass at t = 0 over pure noise). Where N does not divide T that code takes extra
      steps; here it is always N.
    * ``logsnr``: even in log signal-to-noise ratio from T-1 to 0, as DPM-Solver does (Lu et al. 2022).
      Neighbours that fall on the same step are moved to the next free one towards the clean end. The cosine
      schedule loses most of its signal in its last steps, so there a third of the points lies above 990.

    Args:
        num_steps: Number of steps T of the process.
        steps: Number of steps N to visit, 1..T.
        spacing: How they are spaced.
        log_snr: For ``logsnr``: :meth:`GaussianDiffusion.log_snr`, decreasing float64 (T,).

    Returns:
        N steps in 0..T-1, strictly descending.

    Raises:
        InputError: If N is not in 1..T, the spacing is unknown, or ``log_snr`` is missing or of another
            length.
    """
    if not 1 <= steps <= num_steps:
        raise InputError(
            f"cannot visit {steps} of {num_steps} diffusion steps; choose a number from 1 to {num_steps}"
        )
    require_choice("spacing", spacing, get_args(SpacingName))
    if spacing == "linspace":
        # T-1 - i T / N, rounded down in integers: floating point would sometimes miss by one.
        return [num_steps - 1 - -(-i * num_steps // steps) for i in range(steps)]
    if spacing == "leading":
        stride = num_steps // steps
        return [i * stride for i in reversed(range(steps))]
    if log_snr is None or log_snr.shape != (num_steps,):
        given = "none" if log_snr is None else f"shape {tuple(log_snr.shape)}"
        raise InputError(
            f"spacing 'logsnr' needs log_snr of all {num_steps} steps, got {given}; pass GaussianDiffusion.log_snr()"
        )
    return _log_snr_timesteps(log_snr.to("cpu", torch.float64), steps)


def draw_timesteps(
    batch: int,
    num_steps: int,
    how: TimestepDraw = "per_sample",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw the diffusion step of each training sample.

    * ``per_sample``: uniform over 0..T-1, independently (line 4 of DiffSal's Algorithm 1).
    * ``per_batch``: one uniform step for the whole batch, as DiffSal's released code draws it.
    * ``high_noise``: each sample with probability 1/2 uniform over the noisiest 40 %, else uniform over all.
      There the noisy input does not already show the answer, so a condition is learnt sooner.

    Args:
        batch: Number of samples B, at least 1.
        num_steps: Number of steps T of the process, at least 1.
        how: Way of drawing.
        generator: Random generator, on whose device the steps lie; the CPU's global one by default.

    Returns:
        Steps in 0..T-1: int64 (B,).

    Raises:
        InputError: If ``how`` is unknown.
    """
    require_choice("how", how, get_args(TimestepDraw))
    # a generator can only fill tensors of its own device
    device = "cpu" if generator is None else generator.device

    def uniform(lowest: int, size: int) -> Tensor:
        return torch.randint(
            lowest, num_steps, (size,), generator=generator, device=device, dtype=torch.int64
        )

    if how == "per_sample":
        return uniform(0, batch)
    if how == "per_batch":
        return uniform(0, 1).expand(batch).contiguous()  # expanded memory must not be written to
    noisiest = max(1, round(HIGH_NOISE_SHARE * num_steps))
    noisy = torch.rand(batch, generator=generator, device=device, dtype=torch.float32) < 0.5
    return torch.where(noisy, uniform(num_steps - noisiest, batch), uniform(0, batch))


def _log_snr_timesteps(log_snr: Tensor, steps: int) -> list[int]:
    num_steps = log_snr.numel()
    # A single step has to start at the noise.
    wanted = torch.linspace(log_snr[-1].item(), log_snr[0].item(), steps, dtype=torch.float64, device="cpu")
    nearest = (wanted[:, None] - log_snr[None, :]).abs().argmin(dim=1).tolist()
    chosen: list[int] = []
    for i, t in enumerate(nearest):
        below_previous = min(t, chosen[-1] - 1) if chosen else num_steps - 1
        # Leave one step for each of those still to come.
        chosen.append(max(below_previous, steps - 1 - i))
    return chosen
