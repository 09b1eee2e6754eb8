"""Step spacings: published examples, exactness, and properties that hold for every T and N."""

from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_avsp.diffusion import GaussianDiffusion
from lightning_avsp.diffusion.spacing import timesteps
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
    assert timesteps(1000, steps, spacing) == expected  # type: ignore[arg-type]


@given(num_steps=st.integers(1, 1200), share=st.floats(0, 1))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_linspace_is_exact(num_steps: int, share: float) -> None:
    steps = max(1, round(share * num_steps))
    points = [num_steps - 1 - Fraction(i * num_steps, steps) for i in range(steps + 1)]
    assert points[-1] == -1
    assert timesteps(num_steps, steps, "linspace") == [point.__floor__() for point in points[:-1]]


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
    log_snr = GaussianDiffusion(num_steps, schedule).log_snr()  # type: ignore[arg-type]
    visited = timesteps(num_steps, steps, spacing, log_snr)  # type: ignore[arg-type]
    assert len(visited) == steps
    assert visited[0] <= num_steps - 1
    assert visited[-1] >= 0
    assert all(a > b for a, b in pairwise(visited))
    if spacing != "leading":
        assert visited[0] == num_steps - 1


@pytest.mark.parametrize("spacing", ["linspace", "leading", "logsnr"])
@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_all_steps_are_all_steps(spacing: str, schedule: str) -> None:
    log_snr = GaussianDiffusion(1000, schedule).log_snr()  # type: ignore[arg-type]
    assert timesteps(1000, 1000, spacing, log_snr) == list(range(999, -1, -1))  # type: ignore[arg-type]


def test_log_snr_spacing_is_even_in_log_snr() -> None:
    log_snr = GaussianDiffusion(1000, "linear").log_snr()
    visited = timesteps(1000, 9, "logsnr", log_snr)
    assert (visited[0], visited[-1]) == (999, 0)
    gaps = log_snr[visited].diff()
    assert (gaps > 0).all()
    # Near the clean end neighbouring steps lie up to 0.8 apart, so a point can be off by half of that.
    assert (gaps - gaps.mean()).abs().max() < 0.8
    even_in_time = log_snr[timesteps(1000, 9, "linspace")].diff()
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
    ours = timesteps(1000, 12, "logsnr", diffusion.log_snr())
    # They round the interpolated step, we take the step of nearest log-SNR: at most one apart.
    assert (theirs.timesteps - torch.tensor(ours)).abs().max() <= 1


def test_mistakes_are_named() -> None:
    with pytest.raises(InputError, match="cannot visit 11 of 10 diffusion steps"):
        timesteps(10, 11)
    with pytest.raises(InputError, match="cannot visit 0 of 10"):
        timesteps(10, 0, "leading")
    with pytest.raises(InputError, match=r"all 10 steps, got none.*log_snr\(\)"):
        timesteps(10, 2, "logsnr")
    with pytest.raises(InputError, match=r"all 10 steps, got shape \(9,\)"):
        timesteps(10, 2, "logsnr", torch.zeros(9))
    with pytest.raises(InputError, match=r"'trailing'.*linspace, leading, logsnr"):
        timesteps(10, 2, "trailing")  # type: ignore[arg-type]
