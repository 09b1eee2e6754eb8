"""Draws of training steps: range, distribution, reproducibility."""

import pytest
import torch

from lightning_avsp.diffusion import draw_timesteps
from lightning_avsp.errors import InputError

HOW = ["per_sample", "per_batch", "high_noise"]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("num_steps", [1, 2, 7, 1000])
def test_range_shape_dtype(how: str, num_steps: int) -> None:
    t = draw_timesteps(500, num_steps, how)  # type: ignore[arg-type]
    assert t.shape == (500,)
    assert t.dtype == torch.int64
    assert t.min() >= 0
    assert t.max() < num_steps


def test_per_sample_is_uniform_and_reaches_both_ends() -> None:
    counts = torch.bincount(draw_timesteps(100_000, 10), minlength=10)
    # binomial standard deviation 95; five of them
    assert (counts - 10_000).abs().max() < 475


def test_per_batch_is_one_step_for_all_and_uniform_over_batches() -> None:
    t = draw_timesteps(64, 1000, "per_batch")
    assert (t == t[0]).all()
    t[0] += 1  # its own memory, not one number seen 64 times
    assert t[0] != t[1]
    firsts = torch.stack([draw_timesteps(2, 4, "per_batch")[0] for _ in range(2000)])
    assert (torch.bincount(firsts, minlength=4) - 500).abs().max() < 100


def test_high_noise_prefers_the_noisiest_two_fifths() -> None:
    t = draw_timesteps(100_000, 1000, "high_noise")
    # half of the draws, and the share of 0.4 of the other half
    assert (t >= 600).float().mean().item() == pytest.approx(0.7, abs=0.008)
    low, high = t[t < 600].double(), t[t >= 600].double()
    assert low.mean().item() == pytest.approx(299.5, abs=5)
    assert high.mean().item() == pytest.approx(799.5, abs=2.5)
    assert (low.min().item(), high.max().item()) == (0, 999)


@pytest.mark.parametrize("how", HOW)
def test_generator_decides_alone(how: str) -> None:
    def drawn(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return draw_timesteps(32, 1000, how, generator)  # type: ignore[arg-type]

    first = drawn(1)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert torch.equal(drawn(1), first)
    assert not torch.equal(drawn(2), first)
    assert torch.equal(torch.get_rng_state(), state)


def test_result_goes_where_asked() -> None:
    generator = torch.Generator().manual_seed(0)
    assert draw_timesteps(3, 10, "high_noise", generator, device="meta").device.type == "meta"
    assert draw_timesteps(3, 10).device.type == "cpu"


def test_mistakes_are_named() -> None:
    with pytest.raises(InputError, match="batch=0, num_steps=10"):
        draw_timesteps(0, 10)
    with pytest.raises(InputError, match="batch=2, num_steps=0"):
        draw_timesteps(2, 0)
    with pytest.raises(InputError, match=r"'low_noise'.*per_sample, per_batch, high_noise"):
        draw_timesteps(2, 10, "low_noise")  # type: ignore[arg-type]
