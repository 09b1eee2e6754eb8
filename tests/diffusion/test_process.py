"""The Gaussian process: moments, types, and a schedule that no cast can spoil."""

import copy
import io
from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor, nn

from lightning_avsp.diffusion import GaussianDiffusion
from lightning_avsp.errors import InputError

STEPS = torch.tensor([0, 1, 250, 700, 998, 999])


def pair(batch: int = len(STEPS), dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    x0, noise = torch.randn(2, batch, 1, 4, 6, generator=generator, dtype=torch.float64).to(dtype)
    return x0, noise


def alpha_bars(diffusion: GaussianDiffusion, steps: Iterable[int]) -> Tensor:
    return torch.tensor([diffusion.alpha_bar_at(int(step)) for step in steps], dtype=torch.float64)


def test_alpha_bar_reaches_from_clean_to_noise() -> None:
    values = alpha_bars(GaussianDiffusion(), range(-1, 1000))
    assert values[0].item() == 1.0
    assert (values.diff() < 0).all()


def test_log_snr_is_that_of_alpha_bar() -> None:
    diffusion = GaussianDiffusion(100, "linear")
    alpha_bar = alpha_bars(diffusion, range(100))
    torch.testing.assert_close(diffusion.log_snr(), (alpha_bar / (1 - alpha_bar)).log())


def test_q_sample_moments() -> None:
    diffusion = GaussianDiffusion()
    t = torch.tensor([0, 400, 999])
    x0 = torch.full((3, 200_000), 0.7, dtype=torch.float64)
    noise = torch.randn(x0.shape, dtype=torch.float64)
    x_t = diffusion.q_sample(x0, t, noise)
    alpha_bar = alpha_bars(diffusion, t)
    # 4.5 standard errors of mean and variance
    tolerance = 4.5 / 200_000**0.5
    assert ((x_t.mean(1) - 0.7 * alpha_bar.sqrt()).abs() <= tolerance * (1 - alpha_bar).sqrt()).all()
    assert ((x_t.var(1) - (1 - alpha_bar)).abs() <= tolerance * 2**0.5 * (1 - alpha_bar)).all()
    # subtracted noise has the same moments
    assert ((x_t - 0.7 * alpha_bar.sqrt()[:, None]) * noise >= 0).all()


@pytest.mark.parametrize(
    ("given", "result"), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)]
)
def test_results_are_at_least_float32_and_no_value_is_read(given: torch.dtype, result: torch.dtype) -> None:
    """Meta tensors have no values: whatever would make a host wait for its device fails on them."""
    diffusion = GaussianDiffusion().to("meta")
    x0, noise, t = (tensor.to("meta") for tensor in (*pair(dtype=given), STEPS))
    x_t = diffusion.q_sample(x0, t, noise)
    assert (x_t.dtype, x_t.shape) == (result, x0.shape)


def test_bfloat16_data_lose_only_their_own_rounding() -> None:
    diffusion = GaussianDiffusion()
    x0, noise = pair(dtype=torch.bfloat16)
    exact = diffusion.q_sample(x0.double(), STEPS, noise.double())
    # three float32 operations on values of up to 4
    torch.testing.assert_close(
        diffusion.q_sample(x0, STEPS, noise).double(), exact, rtol=0, atol=3 * 6e-8 * 8
    )


def test_autocast_does_not_touch_the_coefficients() -> None:
    diffusion = GaussianDiffusion()
    x0, noise = pair(dtype=torch.float32)
    expected = diffusion.q_sample(x0, STEPS, noise)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(diffusion.q_sample(x0, STEPS, noise), expected)


CASTS: list[Callable[[nn.Module], nn.Module]] = [
    lambda module: module.bfloat16(),
    lambda module: module.to(device="cpu", dtype=torch.float16),
    lambda module: module.to("meta").to_empty(device="cpu"),
    lambda module: module.bfloat16().double(),
    copy.deepcopy,
]


@pytest.mark.parametrize("cast", CASTS)
def test_no_cast_spoils_the_schedule(cast: Callable[[nn.Module], nn.Module]) -> None:
    (expected,) = GaussianDiffusion().buffers()
    alone = cast(GaussianDiffusion())
    assert isinstance(alone, GaussianDiffusion)
    inside = cast(nn.ModuleDict({"diffusion": GaussianDiffusion(), "network": nn.Linear(2, 2)}))
    for diffusion in (alone, inside["diffusion"]):
        (found,) = diffusion.buffers()
        assert found.dtype == torch.float64
        assert torch.equal(found, expected)


def test_schedule_is_not_in_the_checkpoint_but_survives_pickling() -> None:
    diffusion = GaussianDiffusion(50, "linear")
    assert diffusion.state_dict() == {}
    file = io.BytesIO()
    torch.save(diffusion, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    assert torch.equal(*loaded.buffers(), *diffusion.buffers())
    assert repr(loaded) == "GaussianDiffusion(num_steps=50, schedule='linear')"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_follows_cpu_without_synchronising() -> None:
    x0, noise = pair(dtype=torch.float32)
    expected = GaussianDiffusion().q_sample(x0, STEPS, noise)
    diffusion = GaussianDiffusion().bfloat16().cuda()
    on_device = [tensor.cuda() for tensor in (x0, STEPS, noise)]
    torch.cuda.set_sync_debug_mode("error")
    try:
        x_t = diffusion.q_sample(*on_device)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(x_t.cpu(), expected)  # three operations, which a GPU may fuse


def test_range_mistakes_name_both_values() -> None:
    diffusion = GaussianDiffusion(100)
    x0, noise = pair(2)
    for steps, message in (([100, 5], r"5\.\.100 .* 0\.\.99.*100 steps"), ([-1, 5], r"-1\.\.5 .* 0\.\.99")):
        with pytest.raises(InputError, match=message):
            diffusion.q_sample(x0, torch.tensor(steps), noise)
    with pytest.raises(InputError, match=r"100 is outside -1\.\.99"):
        diffusion.alpha_bar_at(100)


def test_shape_and_type_mistakes_are_named() -> None:
    diffusion = GaussianDiffusion()
    x0, noise = pair(2)
    t = torch.tensor([1, 2])
    for steps, drawn, message in (
        (t[:1], noise, r"got shape \(1,\) for data of shape \(2, 1, 4, 6\)"),
        (t[0], noise, r"got shape \(\)"),
        (t, noise[:1], r"noise has shape \(1, 1, 4, 6\), but x0 has \(2, 1, 4, 6\)"),
        (t.float(), noise, "float32"),
        (t.to("meta"), noise, r"meta.*cpu"),
    ):
        with pytest.raises(InputError, match=message):
            diffusion.q_sample(x0, steps, drawn)
