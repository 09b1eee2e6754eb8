"""The bicubic resize against a pixel-by-pixel evaluation of its definition, and against torch where they agree."""

from __future__ import annotations

import math

import pytest
import torch
from rounding import METRIC
from torch import Tensor

from lightning_avsp.metrics.functional import resize_bicubic
from lightning_avsp.metrics.functional.resize import resize_weights


def keys_cubic(x: float) -> float:
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def slow_resize(row: list[float], wanted: int) -> list[float]:
    """One axis by definition: for each new pixel, all old ones within reach, mirrored at the border."""
    length, scale = len(row), wanted / len(row)
    stretch = min(1.0, scale)
    result = []
    for new in range(wanted):
        centre = (new + 0.5) / scale - 0.5
        total = weight_sum = 0.0
        for old in range(math.floor(centre - 2 / stretch) - 1, math.ceil(centre + 2 / stretch) + 2):
            source = old % (2 * length)
            source = source if source < length else 2 * length - 1 - source
            weight = keys_cubic(stretch * (centre - old))
            total, weight_sum = total + weight * row[source], weight_sum + weight
        result.append(total / weight_sum)
    return result


@pytest.mark.parametrize("wanted", [1, 2, 3, 5, 7, 8, 14, 15, 40])
def test_one_axis_is_the_definition(wanted: int) -> None:
    row = torch.rand(7, dtype=torch.float64)
    expected = torch.tensor(slow_resize(row.tolist(), wanted), dtype=torch.float64)
    assert torch.allclose(resize_bicubic(row[None, None], (1, wanted))[0, 0], expected, rtol=0, atol=METRIC)
    assert torch.allclose(
        resize_bicubic(row[None, :, None], (wanted, 1))[0, :, 0], expected, rtol=0, atol=METRIC
    )


@pytest.mark.parametrize("size", [(30, 44), (9, 13), (30, 13)])
def test_interior_is_torchs_antialiased_bicubic(size: tuple[int, int]) -> None:
    maps = torch.rand(2, 18, 26, dtype=torch.float64)
    ours = resize_bicubic(maps, size)
    torchs = torch.nn.functional.interpolate(maps[None], size, mode="bicubic", antialias=True)[0]
    inner = (slice(None), slice(4, -4), slice(5, -5))
    assert torch.allclose(ours[inner], torchs[inner], rtol=0, atol=METRIC)
    assert not torch.allclose(ours, torchs, rtol=0, atol=1e-4)  # borders differ: ours mirrors


@pytest.mark.parametrize("cast", [Tensor.half, Tensor.bfloat16, lambda maps: maps > 0.5])
def test_any_type_gives_float64(cast) -> None:
    maps = cast(torch.rand(2, 4, 6))
    assert torch.equal(resize_bicubic(maps, (9, 11)), resize_bicubic(maps.double(), (9, 11)))


def test_the_same_size_changes_nothing() -> None:
    maps = torch.rand(2, 5, 7)
    assert torch.equal(resize_bicubic(maps, (5, 7)), maps.double())
    assert torch.equal(resize_weights(9, 9, torch.device("cpu")), torch.eye(9, dtype=torch.float64))
