"""Saliency drawn over a frame, with lookup tables for whole arrays."""

from __future__ import annotations

from functools import cache

import numpy as np


@cache
def colour_table(name: str) -> np.ndarray:
    """Return the 256 colours of a matplotlib colour map, RGB, uint8 (256, 3)."""
    from matplotlib import colormaps

    from lightning_avsp.errors import InputError

    if name not in colormaps:
        raise InputError(
            f"no colour map is called {name!r}: take one of matplotlib's, e.g. turbo, inferno or viridis"
        )
    colours = colormaps[name](np.arange(256))[:, :3]
    return np.round(colours * 255).astype(np.uint8)


@cache
def _blend_tables(name: str, opacity: float) -> tuple[np.ndarray, np.ndarray]:
    """Return per level of saliency the frame's weight of 256, and the colour times its own weight; uint16."""
    weight = np.round(np.linspace(0, 256 * opacity, 256)).astype(np.uint16)
    return 256 - weight, colour_table(name).astype(np.uint16) * weight[:, None]


def overlay(
    frame: np.ndarray, levels: np.ndarray, colours: str = "turbo", opacity: float = 0.7
) -> np.ndarray:
    """Blend coloured saliency over a frame; where saliency is 0 the frame is unchanged.

    Args:
        frame: RGB, uint8 (H, W, 3).
        levels: Saliency, uint8 (H, W), 255 = most salient.
        colours: Name of a matplotlib colour map.
        opacity: Share of the colour at level 255, 0 to 1; proportionally less below.

    Returns:
        RGB, uint8 (H, W, 3).
    """
    remaining, coloured = _blend_tables(colours, opacity)
    mixed = frame * remaining.take(levels)[..., None]  # at most 255 * 256: fits in 16 bits
    mixed += coloured.take(levels, axis=0)
    mixed += 128  # rounds to the nearest
    mixed >>= 8
    return mixed.astype(np.uint8)
