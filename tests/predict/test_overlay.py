from __future__ import annotations

import numpy as np
import pytest

from lightning_avsp.errors import InputError
from lightning_avsp.predict.overlay import Look, colour_table


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)


@pytest.mark.parametrize("style", ["heat", "contour"])
def test_nothing_changes_where_saliency_is_zero(picture, style) -> None:
    assert np.array_equal(Look(style).draw(picture, np.zeros((40, 50), np.uint8)), picture)


@pytest.mark.parametrize("opacity", [0.0, 0.3, 0.7, 1.0])
def test_blend_is_that_of_real_numbers(picture, opacity) -> None:
    levels = np.random.default_rng(1).integers(0, 256, (40, 50)).astype(np.uint8)
    weight = opacity * levels[..., None] / 255
    wanted = (1 - weight) * picture + weight * colour_table("turbo")[levels]
    assert np.abs(Look("heat", "turbo", opacity).draw(picture, levels) - wanted).max() <= 1.1


def test_contours_run_where_a_map_crosses_shares_of_its_peak(picture) -> None:
    ramp = np.tile(np.linspace(0, 99, 50).round().astype(np.uint8), (40, 1))
    drawn = Look("contour").draw(picture, ramp)
    changed = (drawn != picture).any(axis=(0, 2))
    for share in (0.25, 0.5, 0.75):
        (column,) = np.flatnonzero(np.diff(ramp[0] >= 99 * share))
        assert changed[column : column + 2].all()
        changed[column - 2 : column + 4] = False
    assert not changed.any()


def test_beside_shows_the_frame_and_its_heat_map(picture) -> None:
    levels = np.random.default_rng(1).integers(0, 256, (40, 50)).astype(np.uint8)
    drawn = Look("beside").draw(picture, levels)
    assert np.array_equal(drawn[:, :50], picture)
    assert np.array_equal(drawn[:, 50:], Look().draw(picture, levels))


@pytest.mark.parametrize("settings", [{"colours": "rainbowish"}, {"opacity": 2.0}])
def test_settings_out_of_range(settings) -> None:
    with pytest.raises(InputError, match=r"'rainbowish'|opacity is 2\.0"):
        Look(**settings)
