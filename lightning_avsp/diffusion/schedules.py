"""Noise schedules: how much variance each diffusion step adds, in float64.

Computed on the CPU whatever the default dtype or device, because a schedule rounded to float32 or bfloat16
before its cumulative product is another schedule.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from lightning_avsp.errors import require_choice, require_range

ScheduleName = Literal["cosine", "linear"]
"""``cosine``: Nichol and Dhariwal 2021; ``linear``: Ho et al. 2020."""


OFFSET = 0.008
"""Keeps the first steps of the cosine schedule from being vanishingly small, as in its paper."""
FIRST, LAST = 1e-4, 0.02
"""Betas at the ends of the linear schedule at T = 1000, as in its paper."""
MAX_BETA = 0.999
"""Upper limit of a beta, as in the paper of the cosine schedule: with 1 a later step would divide by zero."""


def schedule_betas(schedule: ScheduleName, num_steps: int) -> Tensor:
    """Compute the betas of steps 0..T-1, T of ``num_steps``, with the constants of the schedule's paper.

    * ``cosine``, Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic Models", Eq. 17: with
      ``f(i) = cos^2(((i / T + s) / (1 + s)) * pi / 2)``, step ``i`` adds ``1 - f(i + 1) / f(i)``.
    * ``linear``, Ho et al., "Denoising Diffusion Probabilistic Models" (2020), section 4. The published end points
      belong to T = 1000; other lengths scale them by 1000 / T, so that a short chain also ends in noise, which every
      sampler here takes for granted.

    Returns:
        float64 (T,), in (0, 0.999].

    Raises:
        InputError: If the name is unknown or ``num_steps`` < 1.
    """
    require_choice("schedule", schedule, get_args(ScheduleName))
    require_range(1, num_steps=num_steps)
    if schedule == "cosine":
        # on the CPU in float64, whatever the defaults
        i = torch.arange(num_steps + 1, dtype=torch.float64, device="cpu")
        f = torch.cos((i / num_steps + OFFSET) / (1 + OFFSET) * (math.pi / 2)).square()
        betas = 1 - f[1:] / f[:-1]
    else:
        scale = 1000 / num_steps
        betas = torch.linspace(FIRST * scale, LAST * scale, num_steps, dtype=torch.float64, device="cpu")
    return betas.clamp(max=MAX_BETA)
