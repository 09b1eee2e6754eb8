"""Random diffusion steps of training samples."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from lightning_avsp.errors import InputError

TimestepDraw = Literal["per_sample", "per_batch", "high_noise"]
"""``per_sample``: uniform, one per sample; ``per_batch``: uniform, one for all; ``high_noise``: see below."""

HIGH_NOISE_SHARE = 0.4
"""``high_noise`` prefers the noisiest steps: this share of them, 600..999 of 1000."""


def draw_timesteps(
    batch: int,
    num_steps: int,
    how: TimestepDraw = "per_sample",
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
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
        generator: Random generator; by default the device's global one. The draw happens on its device.
        device: Device of the result; by default that of the generator, else the CPU.

    Returns:
        Steps in 0..T-1: int64 (B,).

    Raises:
        InputError: If ``batch`` or ``num_steps`` is below 1, or ``how`` is unknown.
    """
    if batch < 1 or num_steps < 1:
        raise InputError(
            f"needs at least 1 sample and 1 diffusion step, got batch={batch}, num_steps={num_steps}"
        )
    # a generator can only fill tensors of its own device
    drawn_on = torch.device(device or "cpu") if generator is None else generator.device

    def uniform(lowest: int, size: int) -> Tensor:
        return torch.randint(
            lowest, num_steps, (size,), generator=generator, device=drawn_on, dtype=torch.int64
        )

    if how == "per_sample":
        t = uniform(0, batch)
    elif how == "per_batch":
        t = uniform(0, 1).expand(batch).contiguous()
    elif how == "high_noise":
        noisiest = max(1, round(HIGH_NOISE_SHARE * num_steps))
        noisy = torch.rand(batch, generator=generator, device=drawn_on, dtype=torch.float32) < 0.5
        t = torch.where(noisy, uniform(num_steps - noisiest, batch), uniform(0, batch))
    else:
        raise InputError(
            f"unknown draw of timesteps {how!r}; choose one of {', '.join(get_args(TimestepDraw))}"
        )
    return t if device is None else t.to(device)
