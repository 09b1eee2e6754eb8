"""Sampling as one setting: algorithm, number of steps and their spacing, samples to average."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import torch
from torch import Tensor

from lightning_avsp.diffusion.noise import draw_noise, stable_seed
from lightning_avsp.diffusion.process import GaussianDiffusion
from lightning_avsp.diffusion.samplers import SAMPLERS, Denoise, SamplerName, SamplerStep, check_eta
from lightning_avsp.diffusion.steps import SpacingName, space_timesteps
from lightning_avsp.errors import InputError, require_choice, require_range


@dataclass(frozen=True)
class Sampling:
    """Settings of a sampler, as configuration files hold them.

    Raises:
        InputError: If a number is out of range or ``eta`` is set for an algorithm without it.
    """

    algorithm: SamplerName = "ddim"
    """Sampler: ``ddim``, ``ddpm`` or ``dpm_solver_pp``."""
    steps: int = 4
    """Calls of the denoiser per sample, 1..T."""
    spacing: SpacingName = "linspace"
    """Steps visited: ``linspace`` (DiffSal's Algorithm 2), ``leading`` (its released code) or ``logsnr``."""
    eta: float = 0.0
    """Share of fresh noise at each DDIM step: 0 deterministic, 1 as noisy as DDPM."""
    samples: int = 1
    """Samples per clip; the result is their mean."""
    clip: tuple[float, float] | None = None
    """Range to which every predicted map is clipped before the next step."""
    clamp: tuple[float, float] | None = None
    """Range to which only each finished sample is clipped."""

    def __post_init__(self) -> None:
        # when the file is read, not after a training
        require_choice("algorithm", self.algorithm, SAMPLERS)
        require_choice("spacing", self.spacing, get_args(SpacingName))
        require_range(1, steps=self.steps, samples=self.samples)
        check_eta(self.algorithm, self.eta)
        for name in ("clip", "clamp"):
            limits = getattr(self, name)
            if limits is not None and not limits[0] < limits[1]:
                raise InputError(f"{name} needs low < high, got {limits}")

    def timesteps(self, diffusion: GaussianDiffusion) -> list[int]:
        """Steps visited on the given process, from noisy to clean, without the final -1.

        Raises:
            InputError: If there are more steps to visit than the process has.
        """
        log_snr = diffusion.log_snr() if self.spacing == "logsnr" else None
        return space_timesteps(diffusion.num_steps, self.steps, self.spacing, log_snr)

    def sample(
        self,
        denoise: Denoise,
        shape: Sequence[int],
        diffusion: GaussianDiffusion,
        *,
        device: torch.device | str,
        seeds: Sequence[int],
        callback: Callable[[SamplerStep], None] | None = None,
        average: bool = True,
    ) -> Tensor:
        """Sample from noise, ``samples`` times per clip, and average.

        The samples of a clip lie side by side in the batch: row ``i * samples + j`` of the denoiser's input is
        sample j of clip i. A condition is therefore encoded once per clip and repeated with
        ``repeat_interleave(samples)``, not encoded again. No gradients are recorded.

        Args:
            denoise: Predicts clean maps (B * samples, ...) from ``(x_t, t)`` of that batch size; maps are what
                ``diffusion.map_range`` makes a clean sample of, by default the clean sample itself.
            shape: Shape (B, ...) of the result, B clips.
            diffusion: The process whose schedule is followed; may lie on any device.
            device: Device to sample on.
            seeds: One seed per clip. All noise of a clip is then a function of its seed alone, whatever the
                batch, the device and the number of samples (sample j is the same for every ``samples`` > j).
            callback: Called after each prediction, with all B * samples rows; its ``x0`` are maps.
            average: Return the mean over the samples of each clip, or each of them.

        Returns:
            Mean over the samples, maps: shape ``shape``, at least float32; without ``average`` (B, samples, ...).

        Raises:
            InputError: If the number of seeds is not B, or a setting does not fit the process.
        """
        batch, *sample_shape = shape
        if len(seeds) != batch:
            raise InputError(f"got {len(seeds)} seeds for {batch} clips; give one per clip")
        # on the CPU: the same noise on every device
        source = [
            torch.Generator("cpu").manual_seed(stable_seed(seed, index))
            for seed in seeds
            for index in range(self.samples)
        ]
        with torch.no_grad():
            # settings speak of maps, samplers of the clean sample
            limits = torch.tensor(self.clip or (0.0, 1.0), dtype=torch.float64)
            low, high = diffusion.to_signal(limits).tolist()
            x_T = draw_noise((batch * self.samples, *sample_shape), source, device)
            x0 = SAMPLERS[self.algorithm](
                lambda x, t: diffusion.to_signal(denoise(x, t)),
                x_T,
                self.timesteps(diffusion),
                diffusion,
                eta=self.eta,
                generator=source,
                clip=None if self.clip is None else (low, high),
                callback=None
                if callback is None
                else lambda step: callback(replace(step, x0=diffusion.to_maps(step.x0))),
            )
            x0 = diffusion.to_maps(x0)
            if self.clamp is not None:
                x0 = x0.clamp(*self.clamp)
            # as repeat_interleave orders a condition
            samples = x0.unflatten(0, (batch, self.samples))  # (B, samples, ...)
            return samples.mean(dim=1) if average else samples
