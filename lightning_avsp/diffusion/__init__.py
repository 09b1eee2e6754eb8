"""Diffusion core: schedules, the Gaussian process, step spacings and samplers; needs nothing but torch.

The parts never know of each other's choices: networks predict the clean sample x0, and a sampler sees only a function
``denoise(x_t, t) -> x0``. :class:`Sampling` ties sampler, spacing and number of steps together for configuration files.
"""

from lightning_avsp.diffusion.noise import draw_noise, stable_seed
from lightning_avsp.diffusion.process import GaussianDiffusion
from lightning_avsp.diffusion.samplers import SAMPLERS, SamplerStep, ddim, ddpm, dpm_solver_pp
from lightning_avsp.diffusion.sampling import Sampling
from lightning_avsp.diffusion.schedules import schedule_betas
from lightning_avsp.diffusion.steps import draw_timesteps

__all__ = [
    "SAMPLERS",
    "GaussianDiffusion",
    "SamplerStep",
    "Sampling",
    "ddim",
    "ddpm",
    "dpm_solver_pp",
    "draw_noise",
    "draw_timesteps",
    "schedule_betas",
    "stable_seed",
]
