import numpy as np
import pytest
import torch

from lightning_avsp.errors import InputError
from lightning_avsp.losses import TERMS, SaliencyLoss

ROUNDING = 1e-5
"""Sums of 35 positive terms in float32, two in a row: 70 roundings of 6e-8 at most, with a little to spare."""


def maps(seed: int) -> torch.Tensor:
    return torch.rand(3, 1, 5, 7, generator=torch.Generator().manual_seed(seed))


def test_mse_is_summed_over_pixels_and_averaged_over_the_batch() -> None:
    a, b = maps(0), maps(1)
    expected = float(((a - b) ** 2).sum() / 3)
    assert float(SaliencyLoss()(a, b)) == pytest.approx(expected, rel=ROUNDING)
    assert float(SaliencyLoss(reduction="mean")(a, b)) == pytest.approx(expected / 35, rel=ROUNDING)


def test_kl_equals_scipy() -> None:
    from scipy.stats import entropy

    a, b = maps(0), maps(1)
    expected = np.mean([entropy(q.flatten().numpy(), p.flatten().numpy()) for p, q in zip(a, b, strict=True)])
    # epsilon inside the logarithms shifts the value by about 1e-5
    for name in ("kl", "kl_ratio"):
        assert float(SaliencyLoss({name: 1.0})(a, b)) == pytest.approx(expected, abs=1e-4)


def test_size_of_the_comparison_is_apart_from_that_of_the_maps() -> None:
    """MUBiC's loss is summed over 224x224, its maps have 112x192 (X1)."""
    a, b = torch.full((2, 1, 6, 8), 0.5), torch.full((2, 1, 6, 8), 0.25)
    assert float(SaliencyLoss(size=(10, 10))(a, b)) == pytest.approx(100 / 16, rel=ROUNDING)


def test_ce_equals_torch() -> None:
    a, b = maps(0), maps(1)
    expected = torch.nn.functional.binary_cross_entropy(a, b, reduction="sum") / 3
    assert float(SaliencyLoss({"ce": 1.0})(a, b)) == pytest.approx(float(expected), rel=ROUNDING)


def test_cc_equals_numpy() -> None:
    a, b = maps(0), maps(1)
    pairs = zip(a.flatten(1).numpy(), b.flatten(1).numpy(), strict=True)
    expected = np.mean([np.corrcoef(p, q)[0, 1] for p, q in pairs])
    assert float(SaliencyLoss({"cc": 1.0})(a, b)) == pytest.approx(expected, abs=ROUNDING)


def test_sim_of_disjoint_maps_is_zero_and_of_equal_maps_one() -> None:
    left = torch.zeros(1, 1, 2, 2)
    right = torch.zeros(1, 1, 2, 2)
    left[..., 0], right[..., 1] = 1.0, 1.0
    loss = SaliencyLoss({"sim": 1.0})
    assert float(loss(left, right)) == 0.0
    assert float(loss(left, left)) == pytest.approx(1.0, abs=ROUNDING)


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
