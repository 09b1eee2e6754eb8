"""Samplers on data with a known answer: order of convergence, moments, calls, clipping, mistakes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from lightning_avsp.diffusion import SAMPLERS, GaussianDiffusion, SamplerStep, ddim, ddpm, dpm_solver_pp
from lightning_avsp.diffusion.steps import space_timesteps
from lightning_avsp.errors import InputError

if TYPE_CHECKING:
    from conftest import GaussianData

every_sampler = pytest.mark.parametrize("name", sorted(SAMPLERS))


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=dtype)


@every_sampler
def test_recovers_mean_and_variance_of_gaussian_data(name: str, data: GaussianData) -> None:
    steps, generator = space_timesteps(1000, 250, "linspace"), torch.Generator().manual_seed(1)
    x0 = SAMPLERS[name](data.denoise, noise(2, 40_000), steps, data.diffusion, generator=generator)
    # 4.5 standard errors, plus what the spread lacks over 250 steps: up to 3.2 % of the variance, for DDPM
    tolerance = 4.5 / 80_000**0.5
    assert abs(x0.mean().item() - data.mean) < tolerance * data.std
    assert abs(x0.var().item() / data.std**2 - 1) < tolerance * 2**0.5 + 0.032


@pytest.mark.parametrize(("sampler", "order"), [(ddim, 1), (dpm_solver_pp, 2)])
def test_order_of_convergence_to_the_exact_flow(
    sampler: Callable[..., Tensor], order: int, data: GaussianData
) -> None:
    # Many steps in the process, so that rounding steps to integers does not hide the solver's own error.
    data, x_T = replace(data, diffusion=GaussianDiffusion(100_000, "linear")), noise(1, 64)
    exact = data.flow_end(x_T, 99_999)
    errors = []
    for steps in (16, 32, 64):
        visited = space_timesteps(100_000, steps, "logsnr", data.diffusion.log_snr())
        errors.append((sampler(data.denoise, x_T, visited, data.diffusion) - exact).abs().max().item())
    rates = [errors[0] / errors[1], errors[1] / errors[2]]
    # Halving the step divides the error by 2 (first order) or 4 (second order).
    assert all(0.75 * 2**order < rate < 1.5 * 2**order for rate in rates), (errors, rates)


@every_sampler
@pytest.mark.parametrize(
    ("spacing", "steps"), [("linspace", 4), ("leading", 1), ("leading", 4), ("logsnr", 7)]
)
def test_one_call_per_step_and_the_last_prediction_is_the_result(name: str, spacing: str, steps: int) -> None:
    diffusion = GaussianDiffusion()
    visited = space_timesteps(1000, steps, spacing, diffusion.log_snr())
    calls: list[Tensor] = []
    predictions: list[Tensor] = []

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        calls.append(t)
        predictions.append(torch.tanh(x_t))
        return predictions[-1]

    result = SAMPLERS[name](denoise, noise(3, 1, 4, 4), visited, diffusion)
    assert [t.tolist() for t in calls] == [[t] * 3 for t in visited]
    assert all(t.dtype == torch.int64 for t in calls)
    assert torch.equal(result, predictions[-1])


@every_sampler
def test_callback_sees_every_step_and_clip_bounds_every_prediction(name: str) -> None:
    seen: list[SamplerStep] = []
    x_T, options = noise(2, 500), {"clip": (0.0, 1.0), "callback": seen.append}
    result = SAMPLERS[name](lambda x_t, t: 5 * x_t, x_T, [900, 400, 10], GaussianDiffusion(), **options)
    assert [(step.index, step.t) for step in seen] == [(0, 900), (1, 400), (2, 10)]
    assert torch.equal(seen[0].x_t, x_T)
    assert not torch.equal(seen[1].x_t, x_T)
    assert torch.equal(seen[-1].x0, result)
    assert {(step.x0.min().item(), step.x0.max().item()) for step in seen} == {(0.0, 1.0)}


def test_generator_decides_the_noise_and_ddim_with_eta_one_is_ddpm(data: GaussianData) -> None:
    """Song et al. 2021, section 4.1: same mean, same variance, so the same result from the same noise."""

    def sample(sampler: Callable[..., Tensor], eta: float = 0.0, seed: int = 4) -> Tensor:
        options: dict[str, Any] = {"eta": eta, "generator": torch.Generator().manual_seed(seed)}
        return sampler(data.denoise, noise(2, 50), space_timesteps(1000, 20), data.diffusion, **options)

    first = sample(ddpm)
    torch.manual_seed(123)
    assert torch.equal(sample(ddpm), first)
    assert not torch.equal(sample(ddpm, seed=2), first)
    # 20 steps of a dozen float64 operations, by two formulae
    torch.testing.assert_close(sample(ddim, 1.0), first)
    assert not torch.allclose(sample(ddim, 0.5), first, rtol=1e-2)


@every_sampler
def test_bfloat16_network_keeps_a_float32_state(name: str, data: GaussianData) -> None:
    given: list[torch.dtype] = []

    def sample(start: Tensor) -> Tensor:
        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            given.append(x_t.dtype)
            return data.denoise(x_t, t)

        generator = torch.Generator().manual_seed(1)
        return SAMPLERS[name](denoise, start, space_timesteps(1000, 50), data.diffusion, generator=generator)

    x_T = noise(1, 200, dtype=torch.bfloat16)
    low = sample(x_T)
    assert low.dtype == torch.float32
    assert set(given) == {torch.bfloat16}
    # bfloat16 has 8 bits; a state kept in it over 50 steps would drift by several times this.
    assert (low - sample(x_T.float())).abs().max() < 0.03


@every_sampler
def test_gradients_and_shapes(name: str) -> None:
    diffusion = GaussianDiffusion()
    with pytest.raises(InputError, match=r"\(2, 1\).*\(2, 3\)"):
        SAMPLERS[name](lambda x_t, t: x_t[:, :1], noise(2, 3), [5], diffusion)
    weight = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    SAMPLERS[name](lambda x_t, t: weight * x_t, noise(2, 3), [900, 5], diffusion).sum().backward()
    assert weight.grad is not None


@every_sampler
def test_mistakes_are_named(name: str, data: GaussianData) -> None:
    def sample(steps: list[int], x_T: Tensor, **options: object) -> None:
        SAMPLERS[name](data.denoise, x_T, steps, data.diffusion, **options)

    for steps, message in (
        ([], "at least one"),
        ([0, 250], r"strictly descending.*\[0, 250\]"),
        ([5, 5], "strictly descending"),
        ([1000, 0], r"1000\.\.0 leave the range 0\.\.999"),
        ([5, -1], r"-1 is added by the sampler"),
    ):
        with pytest.raises(InputError, match=message):
            sample(steps, noise(1, 2))
    with pytest.raises(InputError, match=r"low < high, got \(1\.0, 0\.0\)"):
        sample([5], noise(1, 2), clip=(1.0, 0.0))
    with pytest.raises(InputError, match="floating"):
        sample([5], torch.zeros(1, 2).long())


@pytest.mark.parametrize(("sampler", "eta"), [(ddpm, 0.5), (dpm_solver_pp, 0.5), (ddim, -0.1), (ddim, 1.1)])
def test_eta_is_refused_where_it_has_no_meaning(
    sampler: Callable[..., Tensor], eta: float, data: GaussianData
) -> None:
    with pytest.raises(InputError, match=f"eta={eta}"):
        sampler(data.denoise, noise(1, 2), [5], data.diffusion, eta=eta)
