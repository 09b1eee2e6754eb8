"""Step spacings (published examples, exactness, properties for every T and N) and draws of training steps."""

from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_avsp.diffusion import GaussianDiffusion, draw_timesteps
from lightning_avsp.diffusion.steps import space_timesteps
from lightning_avsp.errors import InputError


@pytest.mark.parametrize(
    ("spacing", "steps", "expected"),
    [
        ("linspace", 1, [999]),
        ("linspace", 3, [999, 665, 332]),
        ("linspace", 4, [999, 749, 499, 249]),
        ("leading", 1, [0]),
        ("leading", 4, [750, 500, 250, 0]),
        ("leading", 3, [666, 333, 0]),
    ],
)
def test_published_examples(spacing: str, steps: int, expected: list[int]) -> None:
    assert space_timesteps(1000, steps, spacing) == expected


@given(num_steps=st.integers(1, 1200), share=st.floats(0, 1))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_linspace_is_exact(num_steps: int, share: float) -> None:
    steps = max(1, round(share * num_steps))
    points = [num_steps - 1 - Fraction(i * num_steps, steps) for i in range(steps + 1)]
    assert points[-1] == -1
    assert space_timesteps(num_steps, steps, "linspace") == [point.__floor__() for point in points[:-1]]


@given(
    num_steps=st.integers(1, 300),
    share=st.floats(0, 1),
    spacing=st.sampled_from(["linspace", "leading", "logsnr"]),
    schedule=st.sampled_from(["cosine", "linear"]),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_always_n_steps_strictly_descending(
    num_steps: int, share: float, spacing: str, schedule: str
) -> None:
    steps = max(1, round(share * num_steps))
    log_snr = GaussianDiffusion(num_steps, schedule).log_snr()
    visited = space_timesteps(num_steps, steps, spacing, log_snr)
    assert len(visited) == steps
    assert visited[0] <= num_steps - 1
    assert visited[-1] >= 0
    assert all(a > b for a, b in pairwise(visited))
    if spacing != "leading":
        assert visited[0] == num_steps - 1


def test_log_snr_spacing_is_even_in_log_snr() -> None:
    log_snr = GaussianDiffusion(1000, "linear").log_snr()
    visited = space_timesteps(1000, 9, "logsnr", log_snr)
    assert (visited[0], visited[-1]) == (999, 0)
    gaps = log_snr[visited].diff()
    assert (gaps > 0).all()
    # Near the clean end neighbouring steps lie up to 0.8 apart, so a point can be off by half of that.
    assert (gaps - gaps.mean()).abs().max() < 0.8
    even_in_time = log_snr[space_timesteps(1000, 9, "linspace")].diff()
    assert gaps.std() < even_in_time.std() / 3


# diffusers 0.42 turns a tensor into an array in a way that numpy 2 wants written otherwise
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_log_snr_spacing_follows_diffusers() -> None:
    """``use_lu_lambdas`` takes the same even points, but keeps duplicates: compared where it has none."""
    diffusers = pytest.importorskip("diffusers")
    diffusion = GaussianDiffusion(1000, "linear")
    theirs = diffusers.DPMSolverMultistepScheduler(
        beta_schedule="linear", prediction_type="sample", use_lu_lambdas=True
    )
    theirs.set_timesteps(12)
    ours = space_timesteps(1000, 12, "logsnr", diffusion.log_snr())
    # They round the interpolated step, we take the step of nearest log-SNR: at most one apart.
    assert (theirs.timesteps - torch.tensor(ours)).abs().max() <= 1


def test_mistakes_of_a_spacing_are_named() -> None:
    for arguments, message in (
        ((11,), "cannot visit 11 of 10 diffusion steps"),
        ((0, "leading"), "cannot visit 0 of 10"),
        ((2, "logsnr"), r"log_snr of all 10 steps, got none.*log_snr\(\)"),
        ((2, "logsnr", torch.zeros(9)), r"all 10 steps, got shape \(9,\)"),
        ((2, "trailing"), r"spacing=trailing.*linspace, leading, logsnr"),
    ):
        with pytest.raises(InputError, match=message):
            space_timesteps(10, *arguments)


HOW = ["per_sample", "per_batch", "high_noise"]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("num_steps", [1, 2, 7, 1000])
def test_range_shape_dtype(how: str, num_steps: int) -> None:
    t = draw_timesteps(500, num_steps, how)
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
    assert (torch.bincount(firsts, minlength=4) - 500).abs().max() < 100  # five of 19


def test_high_noise_prefers_the_noisiest_two_fifths() -> None:
    t = draw_timesteps(100_000, 1000, "high_noise")
    # half of the draws, and the share of 0.4 of the other half; within five standard errors, as are the means
    assert (t >= 600).float().mean().item() == pytest.approx(0.7, abs=0.008)
    low, high = t[t < 600].double(), t[t >= 600].double()
    assert low.mean().item() == pytest.approx(299.5, abs=5)
    assert high.mean().item() == pytest.approx(799.5, abs=2.5)
    assert (low.min().item(), high.max().item()) == (0, 999)


@pytest.mark.parametrize("how", HOW)
def test_generator_decides_alone(how: str) -> None:
    def drawn(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return draw_timesteps(32, 1000, how, generator)

    first = drawn(1)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert torch.equal(drawn(1), first)
    assert not torch.equal(drawn(2), first)
    assert torch.equal(torch.get_rng_state(), state)


def test_mistakes_of_a_draw_are_named() -> None:
    with pytest.raises(InputError, match=r"how=low_noise.*per_sample, per_batch, high_noise"):
        draw_timesteps(2, 10, "low_noise")
