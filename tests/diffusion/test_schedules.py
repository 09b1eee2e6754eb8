"""Schedules against published definitions and stored reference values."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_avsp.diffusion import GaussianDiffusion, schedule_betas
from lightning_avsp.errors import InputError


@pytest.mark.shared
def test_cosine_matches_released_values(shared: Path) -> None:
    golden = np.load(shared / "golden" / "diffsal_released_av.npz")
    t = torch.from_numpy(golden["cosine/t"])
    diffusion = GaussianDiffusion(1000, "cosine")
    alpha_bar = np.array([diffusion.alpha_bar_at(int(step)) for step in t])
    # 1 - f(i + 1) / f(i) of 4e-5 loses five of double's sixteen digits
    np.testing.assert_allclose(
        schedule_betas("cosine", 1000)[t].numpy(), golden["cosine/betas_f64"], rtol=1e-11
    )
    np.testing.assert_allclose(alpha_bar, golden["cosine/alphas_cumprod_f64"], rtol=1e-11)
    # The released network rounds betas and their product to float32: 1.3e-5 away at the last step.
    np.testing.assert_allclose(alpha_bar, golden["cosine/alphas_cumprod_f32"], rtol=2e-5)


def test_cosine_closed_form() -> None:
    # Until the clipped last step the product telescopes to f(t + 1) / f(0).
    def f(i: int) -> float:
        return math.cos((i / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2

    alpha_bar = torch.cumprod(1 - schedule_betas("cosine", 1000), dim=0)
    for t in (0, 1, 17, 500, 998):
        assert alpha_bar[t].item() == pytest.approx(f(t + 1) / f(0), rel=1e-10)  # a product of 1,000 factors
    assert schedule_betas("cosine", 1000)[-1].item() == 0.999


def test_linear_is_published_one_at_1000_steps() -> None:
    betas = schedule_betas("linear", 1000)
    torch.testing.assert_close(betas, torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64))


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize("num_steps", [10, 50, 250, 1000, 4000])
def test_every_chain_ends_in_noise_and_starts_clean(schedule: str, num_steps: int) -> None:
    betas = schedule_betas(schedule, num_steps)
    assert betas.dtype == torch.float64
    assert betas.shape == (num_steps,)
    assert ((betas > 0) & (betas <= 0.999)).all()
    alpha_bar = torch.cumprod(1 - betas, dim=0)
    assert (alpha_bar.diff() < 0).all()
    assert alpha_bar[-1] < 1e-4
    assert alpha_bar[0] > 0.95


def test_default_dtype_and_device_do_not_reach_the_schedule() -> None:
    expected = schedule_betas("cosine", 1000), schedule_betas("linear", 1000)
    torch.set_default_dtype(torch.float16)
    try:
        with torch.device("meta"):
            assert torch.equal(schedule_betas("cosine", 1000), expected[0])
            assert torch.equal(schedule_betas("linear", 1000), expected[1])
            assert next(GaussianDiffusion().buffers()).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_mistakes_are_named() -> None:
    for schedule in ("cosine", "linear"):
        with pytest.raises(InputError, match="num_steps=0"):
            schedule_betas(schedule, 0)
    with pytest.raises(InputError, match=r"schedule=quadratic.*cosine, linear"):
        schedule_betas("quadratic", 10)
