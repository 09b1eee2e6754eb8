"""How much a denoiser uses what it is given: the noisy map, the step t, and the sound."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_avsp.diffusion import GaussianDiffusion
from lightning_avsp.structures import DiffusionNetwork


@dataclass(frozen=True)
class Sensitivity:
    """Mean absolute change of the predicted map, in units of the map's range [0, 1]."""

    noise: float
    """Between two draws of noise on the same clean map at t = T/2."""
    t: float
    """Between t = T/4 and t = 3T/4 on the same noisy map."""
    largest: float
    """Largest change of any pixel in either comparison; exactly 0 for a network that ignores both."""


@torch.no_grad()
def denoiser_sensitivity(
    network: DiffusionNetwork,
    diffusion: GaussianDiffusion,
    video: Tensor | None,
    audio: Tensor | None,
    clean: Tensor,
    seed: int = 0,
) -> Sensitivity:
    """Change only the noise, then only t, and see how far the prediction moves.

    Args:
        network: In eval mode.
        diffusion: Its process.
        video: Normalised frames (B, 3, T, H, W), or None.
        audio: Log-mel slices (B, 1, S, Ha, Wa), or None.
        clean: Maps (B, 1, H, W) in [0, 1] that noise is added to.
        seed: Of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    condition = network.encode(video, audio)
    steps = diffusion.num_steps

    def at(step: int) -> Tensor:
        return torch.full((len(clean),), step, dtype=torch.int64, device=clean.device)

    first, second = (
        diffusion.q_sample(
            diffusion.to_signal(clean),
            at(steps // 2),
            torch.randn(clean.shape, generator=generator).to(clean),
        )
        for _ in range(2)
    )
    by_noise = network.denoise(first, at(steps // 2), condition) - network.denoise(
        second, at(steps // 2), condition
    )
    by_t = network.denoise(first, at(steps // 4), condition) - network.denoise(
        first, at(3 * steps // 4), condition
    )
    return Sensitivity(
        noise=float(by_noise.abs().mean()),
        t=float(by_t.abs().mean()),
        largest=float(torch.maximum(by_noise.abs().max(), by_t.abs().max())),
    )
