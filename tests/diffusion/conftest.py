"""Data whose best denoiser is known in closed form."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from lightning_avsp.diffusion import GaussianDiffusion


@dataclass
class GaussianData:
    """Independent Gaussian pixels, noised by a process."""

    diffusion: GaussianDiffusion = field(default_factory=GaussianDiffusion)
    mean: float = 0.4
    std: float = 0.5

    def denoise(self, x_t: Tensor, t: Tensor) -> Tensor:
        """E[x0 | x_t] = m + sqrt(ab) s^2 (x_t - sqrt(ab) m) / (ab s^2 + 1 - ab)."""
        shares = [self.diffusion.alpha_bar_at(int(step)) for step in t]
        alpha_bar = torch.tensor(shares, dtype=x_t.dtype).view(-1, *[1] * (x_t.dim() - 1))
        gain = alpha_bar.sqrt() * self.std**2 / (alpha_bar * self.std**2 + 1 - alpha_bar)
        return self.mean + gain * (x_t - alpha_bar.sqrt() * self.mean)

    def flow_end(self, x_T: Tensor, start: int) -> Tensor:
        """Where the probability-flow ODE takes ``x_T``: its standardised value stays as it is."""
        alpha_bar = self.diffusion.alpha_bar_at(start)
        std = (alpha_bar * self.std**2 + 1 - alpha_bar) ** 0.5
        return self.mean + self.std * (x_T - alpha_bar**0.5 * self.mean) / std


@pytest.fixture
def data() -> GaussianData:
    return GaussianData()
