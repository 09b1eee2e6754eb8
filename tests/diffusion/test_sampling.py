"""The sampling setting: means over draws, seeds per clip, ranges, configuration files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest
import torch
from rounding import assert_close
from torch import Tensor

from lightning_avsp.diffusion import SAMPLERS, GaussianDiffusion, SamplerStep, Sampling, ddim, stable_seed
from lightning_avsp.diffusion.samplers import Denoise
from lightning_avsp.diffusion.steps import space_timesteps
from lightning_avsp.errors import InputError

if TYPE_CHECKING:
    from conftest import GaussianData


def draw(
    sampling: Sampling,
    denoise: Denoise,
    shape: tuple[int, ...],
    seeds: Sequence[int] | None = None,
    diffusion: GaussianDiffusion | None = None,
) -> tuple[Tensor, list[SamplerStep]]:
    """Sample clips, seeded 0, 1, ... unless told otherwise; the result and what the callback saw."""
    seen: list[SamplerStep] = []
    diffusion, seeds = diffusion or GaussianDiffusion(), seeds or range(shape[0])
    return sampling.sample(denoise, shape, diffusion, device="cpu", seeds=seeds, callback=seen.append), seen


def test_default_is_ddim_over_algorithm_2s_four_steps(data: GaussianData) -> None:
    drawn, seen = draw(Sampling(), data.denoise, (2, 1, 3, 4))
    assert [step.t for step in seen] == [999, 749, 499, 249]
    assert torch.equal(drawn, ddim(data.denoise, seen[0].x_t, space_timesteps(1000, 4), data.diffusion))


@pytest.mark.parametrize("algorithm", SAMPLERS)
def test_seeded_clips_do_not_depend_on_their_batch(algorithm: str, data: GaussianData) -> None:
    """To the last bit: every operation is an addition or a multiplication of single elements."""
    sampling = Sampling(algorithm=algorithm, samples=2)
    together, _ = draw(sampling, data.denoise, (3, 1, 3, 5), [7, 8, 9])
    torch.manual_seed(1)
    alone, _ = draw(sampling, data.denoise, (2, 1, 3, 5), [9, 7])
    assert torch.equal(alone, together[[2, 0]])
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("algorithm", SAMPLERS)
def test_samples_are_nested_and_averaged(algorithm: str, data: GaussianData) -> None:
    """Draw j of a clip is the same whatever the number of draws, and the result is their mean."""
    one, _ = draw(Sampling(algorithm=algorithm), data.denoise, (2, 1, 3, 5))
    three, seen = draw(Sampling(algorithm=algorithm, samples=3), data.denoise, (2, 1, 3, 5))
    rows = seen[-1].x0.unflatten(0, (2, 3))
    assert torch.equal(rows[:, 0], one)
    assert torch.equal(three, rows.mean(1))
    assert not torch.equal(rows[:, 1], rows[:, 2])


def test_rows_of_a_clip_lie_side_by_side() -> None:
    """Row i * samples + j of the input belongs to clip i, as ``repeat_interleave`` orders a condition."""
    calls: list[int] = []
    condition = torch.tensor([10.0, 20.0]).repeat_interleave(3, dim=0)

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        calls.append(len(x_t))
        return condition.view(-1, 1, 1, 1).expand_as(x_t)

    result, _ = draw(Sampling(steps=5, samples=3), denoise, (2, 1, 2, 2))
    assert calls == [6] * 5
    assert torch.equal(result[:, 0, 0, 0], torch.tensor([10.0, 20.0]))


def test_eta_reaches_the_sampler(data: GaussianData) -> None:
    settings = Sampling(eta=1.0), Sampling("ddpm"), Sampling()
    noisy, ddpm, plain = (draw(s, data.denoise, (2, 30))[0] for s in settings)
    # four steps of a dozen float32 operations on values of about 1, by two formulae: 50 roundings and a little more
    torch.testing.assert_close(noisy, ddpm, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(noisy, plain, atol=0.01)


def test_clip_and_clamp() -> None:
    def extremes(sampling: Sampling) -> tuple[list[float], float]:
        result, seen = draw(sampling, lambda x_t, t: 3 * x_t, (1, 300))
        return [step.x0.max().item() for step in seen], result.max().item()

    assert extremes(Sampling(clip=(0.0, 1.0))) == ([1.0] * 4, 1.0)
    predicted, final = extremes(Sampling(clamp=(0.0, 1.0)))
    assert final == 1.0
    assert min(predicted) > 1.5
    assert extremes(Sampling())[1] > 1.5


def test_no_gradients() -> None:
    weight = torch.tensor(0.5, requires_grad=True)
    assert not draw(Sampling(), lambda x, t: weight * x, (1, 2))[0].requires_grad


def test_seed_alone_fixes_the_noise(data: GaussianData) -> None:
    _, seen = draw(Sampling(samples=2), data.denoise, (1, 6), [42])
    for sample in range(2):
        generator = torch.Generator().manual_seed(stable_seed(42, sample))
        assert torch.equal(seen[0].x_t[sample], torch.randn(6, generator=generator))


def test_mistakes_are_named(data: GaussianData) -> None:
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
    with pytest.raises(InputError, match="2 seeds for 3 clips"):
        draw(Sampling(), data.denoise, (3, 2), [1, 2])
    with pytest.raises(InputError, match="cannot visit 4 of 3"):
        draw(Sampling(), data.denoise, (1, 2), diffusion=GaussianDiffusion(3))


@pytest.mark.parametrize("algorithm", SAMPLERS)
def test_a_symmetric_range_noises_other_values_and_gives_maps_all_the_same(algorithm: str) -> None:
    symmetric = GaussianDiffusion(map_range="symmetric")
    truth = torch.rand(3, 1, 4, 5)
    maps = truth.repeat_interleave(2, 0)
    drawn, seen = draw(
        Sampling(algorithm=algorithm, samples=2), lambda x, t: maps, truth.shape, diffusion=symmetric
    )
    # to a signal and back, and a mean of two
    assert_close(drawn, truth, operations=6)
    for step in seen:
        assert_close(step.x0, maps, operations=6)
    if algorithm == "ddim":  # what is left of noise at the second step lies around 2 y - 1
        ab = [symmetric.alpha_bar_at(step.t) for step in seen]
        noise = (seen[0].x_t - ab[0] ** 0.5 * (2 * seen[0].x0 - 1)) / (1 - ab[0]) ** 0.5
        expected = ab[1] ** 0.5 * (2 * maps - 1) + (1 - ab[1]) ** 0.5 * noise
        assert_close(seen[1].x_t, expected, operations=16)


@pytest.mark.parametrize("map_range", ["unit", "symmetric"])
def test_limits_are_those_of_maps_in_either_range(map_range: str) -> None:
    diffusion, ramp = GaussianDiffusion(map_range=map_range), torch.linspace(-1, 2, 6)
    drawn, seen = draw(
        Sampling(clip=(0.25, 0.75)), lambda x, t: ramp.expand(1, 6), (1, 6), diffusion=diffusion
    )
    for maps in (drawn, seen[0].x0):
        assert_close(maps[0], ramp.clamp(0.25, 0.75), operations=6)


def test_ranges_are_inverse_and_an_unknown_one_is_refused() -> None:
    maps = torch.tensor([0.0, 0.25, 1.0])
    symmetric = GaussianDiffusion(map_range="symmetric")
    assert symmetric.to_signal(maps).tolist() == [-1.0, -0.5, 1.0]
    assert torch.equal(symmetric.to_maps(symmetric.to_signal(maps)), maps)
    assert GaussianDiffusion().to_signal(maps) is maps
    assert "symmetric" in repr(symmetric)
    with pytest.raises(InputError, match="unit, symmetric"):
        GaussianDiffusion(map_range="half")


def test_released_setting_is_one_pass_at_zero_on_pure_noise(data: GaussianData) -> None:
    _, seen = draw(Sampling(steps=1, spacing="leading"), data.denoise, (1, 500))
    assert [step.t for step in seen] == [0]
    assert seen[0].x_t.std().item() == pytest.approx(1, abs=5 / 1000**0.5)  # five standard errors
