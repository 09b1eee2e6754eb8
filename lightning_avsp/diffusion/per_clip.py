"""Sampling with a number of steps of its own for each clip (MUBiC, Algorithm 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lightning_avsp.diffusion.process import GaussianDiffusion
from lightning_avsp.diffusion.samplers import Denoise
from lightning_avsp.diffusion.sampling import Sampling
from lightning_avsp.errors import InputError


def draw_per_clip(
    sampling: Sampling,
    steps: Sequence[int],
    denoise_clips: Callable[[list[int]], Denoise],
    shape: Sequence[int],
    diffusion: GaussianDiffusion,
    *,
    device: torch.device | str,
    seeds: Sequence[int],
    average: bool = True,
) -> Tensor:
    """Draw each clip with its own number of steps: clips that want equally many are drawn together.

    A clip's noise is a function of its seed alone, so its result is that of :meth:`Sampling.draw` with its number of
    steps, whatever the other clips want.

    Args:
        sampling: All but the number of steps.
        steps: Calls of the denoiser per draw, for each of the B clips.
        denoise_clips: Given the numbers of some clips (rows of the batch), their denoiser; its input holds
            ``sampling.samples`` rows per clip, side by side.
        shape: Shape (B, ...) of the result.
        diffusion: The process whose schedule is followed.
        device: Device to sample on.
        seeds: One seed per clip.
        average: Return the mean over the samples of each clip, or each of them.

    Returns:
        As :meth:`Sampling.draw`.

    Raises:
        InputError: If steps or seeds are not one per clip, or a number of steps does not fit the process.
    """
    if not len(steps) == len(seeds) == shape[0]:
        raise InputError(
            f"got {len(steps)} numbers of steps and {len(seeds)} seeds for {shape[0]} clips; give one per clip"
        )
    results: list[Tensor | None] = [None] * shape[0]
    for count in sorted(set(steps)):
        rows = [row for row, wanted in enumerate(steps) if wanted == count]
        drawn = replace(sampling, steps=count).draw(
            denoise_clips(rows),
            (len(rows), *shape[1:]),
            diffusion,
            device=device,
            seeds=[seeds[row] for row in rows],
            average=average,
        )
        for row, result in zip(rows, drawn, strict=True):
            results[row] = result
    return torch.stack([result for result in results if result is not None])
