"""The challenge's formulas against a derivation that shares no code: loops over pixels and thresholds."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from rounding import METRIC

from lightning_avsp.evaluation.protocols import find_protocol
from lightning_avsp.evaluation.scoring import auc_judd_counting_repeats, ntire26_scores

EPS32 = float(np.finfo(np.float32).eps)


def expected(levels: np.ndarray, truth: np.ndarray, points: list[list[int]]) -> dict[str, float]:
    """All four from raw levels of the same size, in plain Python."""

    def scaled(values: np.ndarray) -> list[float]:
        flat = [float(v) for v in values.ravel()]
        return [(v - min(flat)) / (max(flat) - min(flat) + EPS32) for v in flat]

    p, g = scaled(levels), scaled(truth)
    count, width = len(p), levels.shape[1]

    def standard(values: list[float]) -> list[float]:
        mean = sum(values) / count
        deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / count)
        return [(v - mean) / (deviation + 1e-7) for v in values]

    a, b = standard(p), standard(g)
    fixated = [row * width + column for row, column in points]
    n, repeats = len(fixated), len(fixated) - len(set(fixated))
    curve = [(0.0, 0.0)]
    for order, threshold in enumerate(sorted((p[index] for index in fixated), reverse=True), start=1):
        above = sum(v >= threshold for v in p)
        curve.append(((above - order) / (count + repeats - n), order / n))
    curve.append((1.0, 1.0))
    return {
        "cc": sum(x * y for x, y in zip(a, b, strict=True))
        / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b) + 1e-7),
        "sim": sum(min(x / (sum(p) + 1e-7), y / (sum(g) + 1e-7)) for x, y in zip(p, g, strict=True)),
        "nss": sum(a[index] for index in fixated) / n,
        "auc_judd": sum((y0 + y1) / 2 * (x1 - x0) for (x0, y0), (x1, y1) in pairwise(curve)),
    }


@pytest.mark.parametrize("seed", range(2))
def test_against_the_definitions(seed: int) -> None:
    generator = np.random.default_rng(seed)
    levels = generator.integers(20, 200, (9, 14)).astype(np.uint8)
    truth = generator.integers(0, 255, (9, 14)).astype(np.uint8)
    points = np.stack([generator.integers(0, 9, 12), generator.integers(0, 14, 12)], axis=1)
    points = np.concatenate([points, points[:3]])  # three people looked twice at the same pixel
    prepared = find_protocol("ntire26").prepare(torch.from_numpy(levels)[None], (9, 14))
    ((values, reasons),) = ntire26_scores(prepared, torch.from_numpy(truth)[None], [torch.from_numpy(points)])
    assert not reasons
    for name, value in expected(levels, truth, points.tolist()).items():
        assert values[name] == pytest.approx(value, abs=METRIC), name


def test_the_population_deviation_and_every_repeat_count() -> None:
    prediction = torch.tensor([[[0.0, 0.0], [0.0, 1.0]]], dtype=torch.float64)
    points = torch.tensor([[1, 1], [1, 1], [0, 0]])
    ((values, _),) = ntire26_scores(prediction, prediction, [points])
    deviation = math.sqrt(3 / 16)
    assert values["nss"] == pytest.approx((2 * 0.75 - 0.25) / 3 / deviation, rel=1e-6)
    # thresholds 1, 1, 0: false positives (1-1)/2, (1-2)/2, (4-3)/2 of 4 + 1 - 3 = 2
    assert auc_judd_counting_repeats(prediction[0].numpy(), points.numpy()) == pytest.approx(
        0 + (-0.5) * (1 / 3 + 2 / 3) / 2 + 1.0 * (2 / 3 + 1) / 2 + 0.5 * 1
    )


def test_what_is_undefined_is_reported() -> None:
    broken = torch.full((1, 4, 5), torch.nan, dtype=torch.float64)
    whole = torch.rand(1, 4, 5, dtype=torch.float64)
    nobody = torch.zeros(0, 2, dtype=torch.int64)
    ((values, reasons),) = ntire26_scores(broken, whole, [torch.tensor([[1, 1]])])
    assert all(math.isnan(value) for value in values.values())
    assert set(reasons.values()) == {"non_finite_prediction"}
    ((values, reasons),) = ntire26_scores(whole, whole, [nobody])
    assert values["cc"] == pytest.approx(1, abs=1e-6)  # the challenge adds 1e-7 in three places
    assert reasons == {"nss": "no_fixations", "auc_judd": "no_fixations"}
    assert math.isnan(values["nss"])
    # a constant map gives 0, as the challenge has it
    constant = find_protocol("ntire26").prepare(torch.full((1, 6, 7), 9, dtype=torch.uint8), (6, 7))
    ((values, reasons),) = ntire26_scores(constant, torch.rand(1, 6, 7), [torch.tensor([[1, 1]])])
    assert values["cc"] == values["nss"] == values["sim"] == 0
    assert not reasons
