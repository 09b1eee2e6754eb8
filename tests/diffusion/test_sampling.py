"""The sampling setting: means over draws, seeds per clip, configuration files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from lightning_avsp.diffusion import GaussianDiffusion, SamplerStep, Sampling, ddim, stable_seed
from lightning_avsp.diffusion.steps import space_timesteps
from lightning_avsp.errors import InputError

if TYPE_CHECKING:
    from conftest import GaussianData

ALGORITHMS = ["ddim", "ddpm", "dpm_solver_pp"]


@pytest.fixture
def diffusion() -> GaussianDiffusion:
    return GaussianDiffusion()


def test_default_is_ddim_over_algorithm_2s_four_steps(
    diffusion: GaussianDiffusion, data: GaussianData
) -> None:
    seen: list[SamplerStep] = []
    denoise = data.denoiser(diffusion)
    drawn = Sampling().sample(
        denoise, (2, 1, 3, 4), diffusion, device="cpu", seeds=[0, 1], callback=seen.append
    )
    assert [step.t for step in seen] == [999, 749, 499, 249]
    x_T = seen[0].x_t
    assert torch.equal(drawn, ddim(denoise, x_T, space_timesteps(1000, 4), diffusion))


def test_released_setting_is_one_pass_at_zero_on_pure_noise(
    diffusion: GaussianDiffusion, data: GaussianData
) -> None:
    seen: list[SamplerStep] = []
    Sampling(steps=1, spacing="leading").sample(
        data.denoiser(diffusion), (1, 500), diffusion, device="cpu", seeds=[0], callback=seen.append
    )
    assert [step.t for step in seen] == [0]
    assert seen[0].x_t.std().item() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_seeded_clips_do_not_depend_on_their_batch(
    algorithm: str, diffusion: GaussianDiffusion, data: GaussianData
) -> None:
    sampling = Sampling(algorithm=algorithm, samples=2)

    def drawn(seeds: list[int]) -> Tensor:
        shape = (len(seeds), 1, 3, 5)
        return sampling.sample(data.denoiser(diffusion), shape, diffusion, device="cpu", seeds=seeds)

    together = drawn([7, 8, 9])
    torch.manual_seed(1)
    assert torch.equal(drawn([9, 7]), together[[2, 0]])
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_samples_are_nested_and_averaged(
    algorithm: str, diffusion: GaussianDiffusion, data: GaussianData
) -> None:
    """Draw j of a clip is the same whatever the number of draws, and the result is their mean."""

    def last(samples: int) -> tuple[Tensor, Tensor]:
        seen: list[SamplerStep] = []
        sampling = Sampling(algorithm=algorithm, samples=samples)
        result = sampling.sample(
            data.denoiser(diffusion),
            (2, 1, 3, 5),
            diffusion,
            device="cpu",
            seeds=[1, 2],
            callback=seen.append,
        )
        return result, seen[-1].x0.unflatten(0, (2, samples))

    one, _ = last(1)
    three, rows = last(3)
    assert torch.equal(rows[:, 0], one)
    assert torch.equal(three, rows.mean(1))
    assert not torch.equal(rows[:, 1], rows[:, 2])


def test_rows_of_a_clip_lie_side_by_side(diffusion: GaussianDiffusion) -> None:
    """Row i * samples + j of the input belongs to clip i, as ``repeat_interleave`` orders a condition."""
    calls: list[int] = []
    condition = torch.tensor([10.0, 20.0]).repeat_interleave(3, dim=0)

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        calls.append(len(x_t))
        return condition.view(-1, 1, 1, 1).expand_as(x_t)

    result = Sampling(steps=5, samples=3).sample(denoise, (2, 1, 2, 2), diffusion, device="cpu", seeds=[0, 1])
    assert calls == [6] * 5
    assert torch.equal(result[:, 0, 0, 0], torch.tensor([10.0, 20.0]))


def test_eta_reaches_the_sampler(diffusion: GaussianDiffusion, data: GaussianData) -> None:
    def drawn(sampling: Sampling) -> Tensor:
        return sampling.sample(data.denoiser(diffusion), (2, 30), diffusion, device="cpu", seeds=[1, 2])

    # four steps of a dozen float32 operations on values of about 1, by two formulae: 50 roundings and a little more
    torch.testing.assert_close(drawn(Sampling(eta=1.0)), drawn(Sampling("ddpm")), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(drawn(Sampling(eta=1.0)), drawn(Sampling()), atol=0.01)


def test_clip_and_clamp(diffusion: GaussianDiffusion) -> None:
    def extremes(sampling: Sampling) -> tuple[list[float], float]:
        seen: list[SamplerStep] = []
        result = sampling.sample(
            lambda x_t, t: 3 * x_t, (1, 300), diffusion, device="cpu", seeds=[0], callback=seen.append
        )
        return [step.x0.max().item() for step in seen], result.max().item()

    assert extremes(Sampling(clip=(0.0, 1.0))) == ([1.0] * 4, 1.0)
    predicted, final = extremes(Sampling(clamp=(0.0, 1.0)))
    assert final == 1.0
    assert min(predicted) > 1.5
    assert extremes(Sampling())[1] > 1.5


def test_no_gradients(diffusion: GaussianDiffusion) -> None:
    weight = torch.tensor(0.5, requires_grad=True)
    result = Sampling().sample(lambda x, t: weight * x, (1, 2), diffusion, device="cpu", seeds=[0])
    assert not result.requires_grad


def test_seed_alone_fixes_the_noise(diffusion: GaussianDiffusion, data: GaussianData) -> None:
    seen: list[SamplerStep] = []
    Sampling(samples=2).sample(
        data.denoiser(diffusion), (1, 6), diffusion, device="cpu", seeds=[42], callback=seen.append
    )
    for draw in range(2):
        generator = torch.Generator().manual_seed(stable_seed(42, draw))
        assert torch.equal(seen[0].x_t[draw], torch.randn(6, generator=generator))


def test_mistakes_are_named(diffusion: GaussianDiffusion, data: GaussianData) -> None:
    for options, message in (
        ({"algorithm": "euler"}, r"algorithm=euler.*ddpm, ddim, dpm_solver_pp"),
        ({"spacing": "even"}, r"spacing=even.*linspace, leading, logsnr"),
        ({"steps": 0}, "steps=0 is out of range: give a number at least 1"),
        ({"samples": 0}, "samples=0"),
        ({"eta": 2.0}, "eta=2.0 .* from 0 to 1"),
        ({"algorithm": "ddpm", "eta": 0.5}, r"eta=0\.5 has no meaning for ddpm"),
        ({"clamp": (1.0, 1.0)}, r"clamp needs low < high, got \(1\.0, 1\.0\)"),
    ):
        with pytest.raises(InputError, match=message):
            Sampling(**options)
    denoise = data.denoiser(diffusion)
    with pytest.raises(InputError, match="2 seeds for 3 clips"):
        Sampling().sample(denoise, (3, 2), diffusion, device="cpu", seeds=[1, 2])
    with pytest.raises(InputError, match="cannot visit 4 of 3"):
        Sampling().sample(denoise, (1, 2), GaussianDiffusion(3), device="cpu", seeds=[1])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_symmetric_range_noises_other_values_and_gives_maps_all_the_same(algorithm: str) -> None:
    symmetric = GaussianDiffusion(map_range="symmetric")
    truth = torch.rand(3, 1, 4, 5)
    seen: list[SamplerStep] = []
    drawn = Sampling(algorithm=algorithm, samples=2).sample(
        lambda x, t: truth.repeat_interleave(2, 0),
        truth.shape,
        symmetric,
        device="cpu",
        seeds=[0, 1, 2],
        callback=seen.append,
    )
    # to a signal and back, and a mean of two: six roundings of values below 1
    torch.testing.assert_close(drawn, truth, atol=1e-6, rtol=0)
    for step in seen:
        torch.testing.assert_close(step.x0, truth.repeat_interleave(2, 0), atol=1e-6, rtol=0)
    if algorithm == "ddim":  # what is left of noise at the second step lies around 2 y - 1
        ab = [symmetric.alpha_bar_at(step.t) for step in seen]
        noise = (seen[0].x_t - ab[0] ** 0.5 * (2 * seen[0].x0 - 1)) / (1 - ab[0]) ** 0.5
        expected = ab[1] ** 0.5 * (2 * truth.repeat_interleave(2, 0) - 1) + (1 - ab[1]) ** 0.5 * noise
        # a dozen operations on values of up to 4
        torch.testing.assert_close(seen[1].x_t, expected, atol=1e-5, rtol=0)


def test_limits_are_those_of_maps_in_either_range() -> None:
    for map_range in ("unit", "symmetric"):
        diffusion = GaussianDiffusion(map_range=map_range)
        seen: list[SamplerStep] = []
        drawn = Sampling(clip=(0.25, 0.75)).sample(
            lambda x, t: torch.linspace(-1, 2, 6).expand(1, 6),
            (1, 6),
            diffusion,
            device="cpu",
            seeds=[0],
            callback=seen.append,
        )
        for maps in (drawn, seen[0].x0):
            torch.testing.assert_close(maps[0], torch.linspace(-1, 2, 6).clamp(0.25, 0.75), atol=1e-6, rtol=0)


def test_ranges_are_inverse_and_an_unknown_one_is_refused() -> None:
    maps = torch.tensor([0.0, 0.25, 1.0])
    symmetric = GaussianDiffusion(map_range="symmetric")
    assert symmetric.to_signal(maps).tolist() == [-1.0, -0.5, 1.0]
    assert torch.equal(symmetric.to_maps(symmetric.to_signal(maps)), maps)
    assert GaussianDiffusion().to_signal(maps) is maps
    assert "symmetric" in repr(symmetric)
    with pytest.raises(InputError, match="unit, symmetric"):
        GaussianDiffusion(map_range="half")
