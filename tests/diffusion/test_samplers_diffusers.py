"""Samplers against Hugging Face diffusers, given the same schedule, steps and noise.

Where its conventions differ: its tables are float32 (so agreement is to float32, and its cosine table is
passed in); DDIM and DDPM find the previous step as t - T // N, equal to ours only for even spacings where
N divides T; DDPM adds noise of variance 1e-20 in its last transition; DDIM recomputes the noise from a
clipped x0 only with ``use_clipped_model_output``; DPM-Solver++(2M) falls back to first order at the end
only for fewer than 15 steps or ``final_sigmas_type="zero"`` (its default), which is what ends at a clean
sample.
"""

from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_avsp.diffusion import GaussianDiffusion, ddim, ddpm, dpm_solver_pp, schedule_betas
from lightning_avsp.diffusion.steps import space_timesteps

diffusers = pytest.importorskip("diffusers")

# diffusers 0.42 turns a tensor into an array in a way that numpy 2 wants written otherwise
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SETTINGS = [(spacing, steps) for spacing in ("linspace", "leading") for steps in (1, 4, 20, 50)]
SPACING_NAMES = {"linspace": "trailing", "leading": "leading"}


CLOSE = {"rtol": 1e-4, "atol": 1e-4}
"""50 steps of a dozen float32 operations each, off by 6e-8, which division by sqrt(1 - ab_0) enlarges 150 times."""


def wavy(x_t: Tensor, t: Tensor) -> Tensor:
    """A denoiser without symmetry: not linear, depends on t, mixes pixels."""
    phase = (t.to(x_t.dtype) / 300).view(-1, 1, 1, 1)
    return 0.5 + 0.4 * torch.sin(1.3 * x_t + phase) + 0.1 * x_t.roll(1, dims=-1)


def start() -> Tensor:
    return torch.randn(2, 1, 6, 5, generator=torch.Generator().manual_seed(11))


def scheduler_of(name: str, schedule: str, **options: Any) -> Any:
    betas = schedule_betas(schedule, 1000).numpy()
    kind = getattr(diffusers, f"{name}Scheduler")
    return kind(trained_betas=betas, prediction_type="sample", **options)


def theirs(scheduler: Any, expected_steps: list[int], **options: Any) -> Tensor:
    assert scheduler.timesteps.tolist() == expected_steps
    x_t = start() * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        x0 = wavy(scheduler.scale_model_input(x_t, t), t.expand(2))
        x_t = scheduler.step(x0, t, x_t, **options).prev_sample
    return x_t


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize(("spacing", "steps"), SETTINGS)
@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0, None], ids=["ddim", "ddim 0.6", "ddim 1", "ddpm"])
def test_ddim_and_ddpm(schedule: str, spacing: str, steps: int, eta: float | None) -> None:
    name, own = ("DDPM", {"variance_type": "fixed_small"}) if eta is None else ("DDIM", {})
    scheduler = scheduler_of(
        name, schedule, timestep_spacing=SPACING_NAMES[spacing], clip_sample=False, **own
    )
    scheduler.set_timesteps(steps)
    visited, noise = space_timesteps(1000, steps, spacing), {"eta": eta} if eta is not None else {}
    one, two = (torch.Generator().manual_seed(2) for _ in range(2))
    sampler = ddpm if eta is None else ddim
    ours = sampler(wavy, start(), visited, GaussianDiffusion(1000, schedule), generator=one, **noise)
    torch.testing.assert_close(ours, theirs(scheduler, visited, generator=two, **noise), **CLOSE)


def test_ddim_with_clipping() -> None:
    clipping = {"clip_sample": True, "clip_sample_range": 0.6}
    scheduler = scheduler_of("DDIM", "cosine", timestep_spacing="leading", **clipping)
    scheduler.set_timesteps(10)
    visited = space_timesteps(1000, 10, "leading")
    ours = ddim(wavy, start(), visited, GaussianDiffusion(), clip=(-0.6, 0.6))
    expected = theirs(scheduler, visited, use_clipped_model_output=True)
    torch.testing.assert_close(ours, expected, **CLOSE)
    assert not torch.allclose(ours, ddim(wavy, start(), visited, GaussianDiffusion()), atol=1e-2)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize(
    ("spacing", "steps"), [*SETTINGS, ("linspace", 7), ("logsnr", 2), ("logsnr", 6), ("logsnr", 24)]
)
def test_dpm_solver_pp(schedule: str, spacing: str, steps: int) -> None:
    solver = {"algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint"}
    scheduler = scheduler_of("DPMSolverMultistep", schedule, final_sigmas_type="zero", **solver)
    diffusion = GaussianDiffusion(1000, schedule)
    visited = space_timesteps(1000, steps, spacing, diffusion.log_snr())
    scheduler.set_timesteps(timesteps=visited)
    ours = dpm_solver_pp(wavy, start(), visited, diffusion)
    torch.testing.assert_close(ours, theirs(scheduler, visited), **CLOSE)
