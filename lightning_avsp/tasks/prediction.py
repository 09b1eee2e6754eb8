"""Maps from what a conditional denoiser encoded: the same for tests, films and anything else that predicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_avsp.diffusion import GaussianDiffusion, SamplerStep, Sampling
from lightning_avsp.diffusion.per_clip import draw_per_clip
from lightning_avsp.diffusion.samplers import Denoise
from lightning_avsp.structures import Condition, DiffusionNetwork


def draw_maps(
    network: DiffusionNetwork,
    condition: Condition,
    sampling: Sampling,
    diffusion: GaussianDiffusion,
    shape: Sequence[int],
    seeds: Sequence[int],
    device: torch.device | str,
    callback: Callable[[SamplerStep], Any] | None = None,
) -> Tensor:
    """Denoise the maps of a batch, each clip from its own noise and, if the network asks, in its own number of steps.

    Args:
        network: Encoded the clips.
        condition: What it encoded; clips are not encoded again, however many samples are drawn.
        sampling: Algorithm, steps, samples.
        diffusion: The noise schedule.
        shape: (B, 1, H, W) of the maps.
        seeds: Start of each clip's noise.
        device: Where the maps are drawn.
        callback: Called at every denoising step; then every clip takes as many steps as ``sampling`` says.

    Returns:
        Maps (B, 1, H, W), float32 in [0, 1].
    """
    wanted = None if callback is not None else network.denoising_steps(condition)

    def denoiser(clips: list[int] | None = None) -> Denoise:
        part = condition if clips is None else condition.select(clips)
        repeated = part.repeat_interleave(sampling.samples) if sampling.samples > 1 else part
        return lambda x, t: network.denoise(x, t, repeated).float()

    if wanted is None:
        maps = sampling.draw(
            denoiser(), tuple(shape), diffusion, device=device, seeds=list(seeds), callback=callback
        )
    else:
        maps = draw_per_clip(
            sampling, wanted.tolist(), denoiser, tuple(shape), diffusion, device=device, seeds=list(seeds)
        )
    return maps.clamp(0, 1).float()
