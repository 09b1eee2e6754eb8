import numpy as np
import pytest
import torch
from scipy.stats import entropy

from lightning_avsp.errors import InputError
from lightning_avsp.losses import TERMS, SaliencyLoss

ROUNDING = 1e-5
"""Sums of 35 positive terms in float32, two in a row: 70 roundings of 6e-8 at most, with a little to spare."""


def maps(seed: int) -> torch.Tensor:
    return torch.rand(3, 1, 5, 7, generator=torch.Generator().manual_seed(seed))


def kl_of_scipy(p: np.ndarray, q: np.ndarray) -> float:
    return float(entropy(q, p))


def cross_entropy(p: np.ndarray, q: np.ndarray) -> float:
    return float(-(q * np.log(p) + (1 - q) * np.log1p(-p)).sum())


@pytest.mark.parametrize(
    ("name", "oracle", "tolerance"),
    [
        ("mse", lambda p, q: ((p - q) ** 2).sum(), ROUNDING * 35),
        ("kl", kl_of_scipy, 1e-4),  # epsilon inside the logarithms shifts the value by about 1e-5
        ("kl_ratio", kl_of_scipy, 1e-4),
        ("ce", cross_entropy, ROUNDING * 35),
        ("cc", lambda p, q: np.corrcoef(p, q)[0, 1], ROUNDING),
        ("sim", lambda p, q: np.minimum(p / p.sum(), q / q.sum()).sum(), ROUNDING),
    ],
)
def test_a_term_is_its_definition_averaged_over_the_batch(name: str, oracle, tolerance: float) -> None:
    a, b = maps(0), maps(1)
    pairs = zip(a.flatten(1).double().numpy(), b.flatten(1).double().numpy(), strict=True)
    expected = np.mean([oracle(p, q) for p, q in pairs])
    assert float(SaliencyLoss({name: 1.0})(a, b)) == pytest.approx(expected, abs=tolerance)
    if name in ("mse", "ce"):  # summed over the 35 pixels, or averaged
        mean = float(SaliencyLoss({name: 1.0}, reduction="mean")(a, b))
        assert mean == pytest.approx(expected / 35, abs=ROUNDING)


def test_size_of_the_comparison_is_apart_from_that_of_the_maps() -> None:
    """MUBiC's loss is summed over 224x224, its maps have 112x192 (X1)."""
    a, b = torch.full((2, 1, 6, 8), 0.5), torch.full((2, 1, 6, 8), 0.25)
    assert float(SaliencyLoss(size=(10, 10))(a, b)) == pytest.approx(100 / 16, rel=ROUNDING)


@pytest.mark.parametrize("name", sorted(TERMS))
def test_every_term_pulls_the_prediction_to_the_target(name: str) -> None:
    target = maps(1)
    prediction = maps(0).requires_grad_()
    loss = SaliencyLoss({name: -1.0 if name in ("cc", "sim") else 1.0})
    before = loss(prediction, target)
    before.backward()
    assert prediction.grad is not None
    step = 1e-3 / prediction.grad.abs().max()
    prediction = prediction.detach() - step * prediction.grad
    after = loss(prediction.clamp(0, 1), target)
    assert float(after) < float(before.detach())


@pytest.mark.parametrize("name", sorted(TERMS))
def test_loss_is_computed_in_float32_under_autocast(name: str) -> None:
    a, b = maps(0).bfloat16(), maps(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = SaliencyLoss({name: 1.0})(a, b)
    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(float(SaliencyLoss({name: 1.0})(a.float(), b)), rel=ROUNDING)


def test_finite_on_blank_and_saturated_maps() -> None:
    blank, full = torch.zeros(2, 1, 4, 4), torch.ones(2, 1, 4, 4)
    for name in TERMS:
        for a in (blank, full):
            for b in (blank, full):
                assert torch.isfinite(SaliencyLoss({name: 1.0})(a, b)), name


def test_unknown_terms_and_unequal_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="mae"):
        SaliencyLoss({"mae": 1.0})
    with pytest.raises(InputError, match="none"):
        SaliencyLoss({})
    with pytest.raises(InputError, match=r"\(3, 1, 5, 7\).*\(3, 1, 5, 6\)"):
        SaliencyLoss()(maps(0), maps(1)[..., :6])
