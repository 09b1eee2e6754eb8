"""Data whose best denoiser is known in closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from torch import Tensor

    from lightning_avsp.diffusion import GaussianDiffusion


class GaussianData:
    """Independent Gaussian pixels of mean m and standard deviation s."""

    mean, std = 0.4, 0.5

    def denoiser(self, diffusion: GaussianDiffusion) -> Callable[[Tensor, Tensor], Tensor]:
        """E[x0 | x_t] = m + sqrt(ab) s^2 (x_t - sqrt(ab) m) / (ab s^2 + 1 - ab)."""

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            alpha_bar = diffusion.alpha_bar(t).view(-1, *[1] * (x_t.dim() - 1)).to(x_t.dtype)
            gain = alpha_bar.sqrt() * self.std**2 / (alpha_bar * self.std**2 + 1 - alpha_bar)
            return self.mean + gain * (x_t - alpha_bar.sqrt() * self.mean)

        return denoise

    def flow_end(self, diffusion: GaussianDiffusion, x_T: Tensor, start: int) -> Tensor:
        """Where the probability-flow ODE takes ``x_T``: its standardised value stays as it is."""
        alpha_bar = diffusion.alpha_bar_at(start)
        std = (alpha_bar * self.std**2 + 1 - alpha_bar) ** 0.5
        return self.mean + self.std * (x_T - alpha_bar**0.5 * self.mean) / std


@pytest.fixture
def data() -> GaussianData:
    return GaussianData()


@pytest.fixture
def diffusion() -> GaussianDiffusion:
    from lightning_avsp.diffusion import GaussianDiffusion

    return GaussianDiffusion()
