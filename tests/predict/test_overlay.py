from __future__ import annotations

import numpy as np
import pytest

from lightning_avsp.errors import InputError
from lightning_avsp.predict.overlay import colour_table, overlay


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)


def test_nothing_changes_where_saliency_is_zero(picture) -> None:
    assert np.array_equal(overlay(picture, np.zeros((40, 50), np.uint8)), picture)


def test_opaque_saliency_is_the_colour_itself(picture) -> None:
    mixed = overlay(picture, np.full((40, 50), 255, np.uint8), "inferno", 1.0)
    assert (mixed == colour_table("inferno")[255]).all()


@pytest.mark.parametrize("opacity", [0.0, 0.3, 0.7, 1.0])
def test_blend_is_that_of_real_numbers(picture, opacity) -> None:
    levels = np.random.default_rng(1).integers(0, 256, (40, 50)).astype(np.uint8)
    weight = opacity * levels[..., None] / 255
    wanted = (1 - weight) * picture + weight * colour_table("turbo")[levels]
    assert np.abs(overlay(picture, levels, "turbo", opacity) - wanted).max() <= 1.1


def test_unknown_colour_map() -> None:
    with pytest.raises(InputError, match="'rainbowish'"):
        colour_table("rainbowish")
