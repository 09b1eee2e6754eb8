"""Frames on which a metric says nothing: constant, blank, without or full of fixations, not finite."""

from __future__ import annotations

import math

import pytest
import torch
from rounding import METRIC
from torch import Tensor

from lightning_avsp.metrics import functional as F
from lightning_avsp.metrics.degenerate import judge
from lightning_avsp.metrics.saliency_metrics import SaliencyMetrics

H, W = 6, 8
NAN = math.nan
ALL = ("cc", "sim", "nss", "auc_judd", "kld", "auc_shuffled", "auc_shuffled_exact", "information_gain")


def ramp() -> Tensor:
    return torch.arange(H * W, dtype=torch.float64).reshape(1, H, W) ** 1.5


def some_points(count: int) -> Tensor:
    points = torch.zeros(1, H * W, dtype=torch.uint8)
    points[0, torch.linspace(3, H * W - 5, count).long()] = 1
    return points.reshape(1, H, W)


def scores(
    prediction: Tensor, target: Tensor | None = None, fixations: Tensor | None = None
) -> dict[str, float]:
    values = F.saliency_scores(
        prediction,
        names=ALL,
        target=ramp().flip(2) if target is None else target,
        fixations=some_points(4) if fixations is None else fixations,
        other=some_points(7),
        baseline=ramp().flip(1),
    )
    return {name: value.item() for name, value in values.items()}


def check(values: dict[str, float], expected: dict[str, float]) -> None:
    """The expected values, NaN included; every metric not named is defined."""
    for name, value in values.items():
        if name in expected:
            assert value == pytest.approx(expected[name], abs=METRIC, nan_ok=True), name
        else:
            assert math.isfinite(value), name


@pytest.mark.parametrize("level", [0.5, 1 / 3, -7.0, 1e300])
def test_constant_prediction(level: float) -> None:
    undefined = {"cc": NAN, "sim": NAN, "nss": NAN, "auc_shuffled": NAN, "information_gain": NAN}
    chance = {"auc_judd": 0.5 + 0.5 / (4 + 1), "auc_shuffled_exact": 0.5}
    values = scores(torch.full((1, H, W), level, dtype=torch.float64))
    values.pop("kld")
    check(values, undefined | chance)


@pytest.mark.parametrize(("dtype", "noise"), [(torch.float64, 1e-15), (torch.float32, 1e-7)])
def test_noise_of_rounding_on_a_constant_prediction_is_not_a_prediction(
    dtype: torch.dtype, noise: float
) -> None:
    noisy = (0.5 * (1 + noise * torch.randn(1, H, W, dtype=torch.float64)).clamp(1 - noise, 1 + noise)).to(
        dtype
    )
    assert noisy.max() > noisy.min()
    constant = scores(torch.full((1, H, W), 0.5, dtype=dtype))
    for name, value in scores(noisy).items():  # of KLD, noise of 1e-7 changes as much
        assert value == pytest.approx(constant[name], abs=1e-6, nan_ok=True), name


def test_a_tiny_range_is_a_prediction() -> None:
    # rounding to 1e-16 is 1e-7 of its range
    expected = {name: pytest.approx(value, abs=1e-5) for name, value in scores(ramp()).items()}
    check(scores(0.5 + 1e-9 * ramp()), {name: value for name, value in expected.items() if name != "kld"})


POINTS = ("nss", "auc_judd", "auc_shuffled", "auc_shuffled_exact", "information_gain")
BLANK = torch.zeros(1, H, W)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"fixations": BLANK}, dict.fromkeys(POINTS, NAN)),
        ({"fixations": torch.ones(1, H, W)}, {"auc_judd": NAN, "nss": 0.0}),
        ({"target": BLANK, "fixations": BLANK}, dict.fromkeys((*POINTS, "cc"), NAN) | {"sim": 0, "kld": 0}),
        ({"target": torch.full((1, H, W), 3)}, {"cc": NAN, "sim": NAN}),
        # pixel 21 of 48, 26 above it, 21 below
        (
            {"fixations": (torch.arange(H * W) == 21).reshape(1, H, W)},
            {"auc_judd": 21 / 47 + 26 / 47 / 2},
        ),
    ],
    ids=["no fixation", "every pixel fixated", "blank frame", "constant target", "one fixation"],
)
def test_ground_truth_without_a_meaning(given: dict[str, Tensor], expected: dict[str, float]) -> None:
    check(scores(ramp(), **given), expected)


def test_zero_prediction() -> None:
    values = scores(BLANK)
    assert values.pop("kld") > 20
    undefined = dict.fromkeys(("cc", "nss", "auc_shuffled", "information_gain"), NAN)
    check(values, undefined | {"sim": 0, "auc_judd": 0.5 + 0.5 / (4 + 1), "auc_shuffled_exact": 0.5})


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_pixel_that_is_not_finite(bad: float) -> None:
    prediction = ramp()
    prediction[0, 0, 0] = bad
    check(scores(prediction), dict.fromkeys(ALL, NAN))
    check(scores(ramp(), target=prediction), dict.fromkeys(("cc", "sim", "kld"), NAN))


def test_no_other_points_and_a_constant_baseline() -> None:
    assert F.auc_shuffled(ramp(), some_points(3), BLANK).isnan().all()
    assert F.auc_shuffled_exact(ramp(), some_points(3), [torch.zeros(0, 2, dtype=torch.int64)]).isnan().all()
    assert F.information_gain(ramp(), some_points(3), BLANK).isnan().all()


def test_degenerate_frames_do_not_touch_their_neighbours() -> None:
    prediction = torch.cat([ramp(), torch.zeros(1, H, W), ramp(), ramp() * NAN])
    target = ramp().flip(2).expand(4, H, W)
    fixations = torch.cat([some_points(4), some_points(2), torch.zeros(1, H, W), some_points(4)])
    other = some_points(7).expand(4, H, W)
    together = F.saliency_scores(
        prediction,
        names=ALL,
        target=target,
        fixations=fixations,
        other=other,
        baseline=ramp().flip(1).expand(4, H, W),
    )
    for name, value in scores(ramp()).items():
        assert together[name][0].item() == pytest.approx(value, abs=METRIC)
        assert together[name][3].isnan()
    undefined = F.auc_judd(prediction, fixations, ties="mit_nojitter").isnan()
    assert undefined.tolist() == [False, True, True, True]


@pytest.mark.parametrize("ties", ["expected", "mit_nojitter"])
def test_batches_without_frames_or_fixations(ties: str) -> None:
    assert F.auc_judd(torch.rand(0, H, W), [], ties=ties).shape == (0,)
    nobody = [torch.zeros(0, 2, dtype=torch.int64)] * 2
    assert F.auc_judd(torch.rand(2, H, W), nobody, ties=ties).isnan().all()
    empty = torch.rand(0, H, W)
    for values in F.saliency_scores(
        empty, names=ALL, target=empty, fixations=empty, other=empty, baseline=empty
    ).values():
        assert values.shape == (0,)
        assert values.dtype == torch.float64


@pytest.mark.parametrize(
    ("name", "value", "present", "policy", "expected"),
    [
        ("cc", 0.5, set(), "field", (0.5, None)),
        ("cc", NAN, {"zero_target"}, "field", (NAN, "zero_target")),
        ("sim", 0.0, {"zero_target"}, "field", (0.0, "zero_target")),
        ("sim", 0.0, {"zero_target"}, "skip", (NAN, "zero_target")),
        ("nss", 1.5, {"zero_target"}, "skip", (1.5, None)),  # NSS does not read the continuous map
        ("auc_judd", 0.53, {"constant_prediction"}, "field", (0.53, None)),
        ("auc_judd", 0.53, {"constant_prediction"}, "skip", (NAN, "constant_prediction")),
        ("auc_judd", NAN, {"all_fixated"}, "field", (NAN, "all_fixated")),
        ("nss", NAN, {"no_fixations", "constant_prediction"}, "zero", (0.0, "no_fixations")),
        ("nss", NAN, set(), "field", (NAN, "undefined")),
        ("auc_shuffled", NAN, {"no_other_points"}, "field", (NAN, "no_other_points")),
        ("information_gain", NAN, {"unusable_baseline"}, "field", (NAN, "unusable_baseline")),
        ("kld", 0.0, {"zero_target"}, "field", (NAN, "zero_target")),  # no perfect value
        ("kld", 0.7, set(), "field", (0.7, None)),
    ],
)
def test_policies(name: str, value: float, present: set, policy: str, expected: tuple) -> None:
    found, reason = judge(name, value, frozenset(present), policy)
    assert found == pytest.approx(expected[0], nan_ok=True)
    assert reason == expected[1]


def test_a_frame_of_fixations_alone_is_counted_by_its_reason() -> None:
    metrics = SaliencyMetrics(("auc_judd",))
    everywhere = torch.cartesian_prod(torch.arange(H), torch.arange(W))
    for number, points in enumerate((everywhere, everywhere[1:])):
        metrics.update(ramp(), list(ramp()), [points], [("AVAD", "V1", number)])
    values = metrics.compute()
    assert values["skipped/auc_judd/all_fixated"] == 1
    assert math.isfinite(values["auc_judd"])
