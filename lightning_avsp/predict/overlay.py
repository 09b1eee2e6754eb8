"""Saliency drawn over a frame, with lookup tables for whole arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np

from lightning_avsp.errors import InputError
from lightning_avsp.media.video import VideoInfo

Style = Literal["heat", "contour", "beside"]
CONTOURS = (0.25, 0.5, 0.75)
"""Shares of a map's peak at which contours run."""


@dataclass(frozen=True)
class Look:
    """Settings of the overlay.

    Raises:
        InputError: If the opacity is out of range, or there is no such colour map.
    """

    style: Style = "heat"
    """Heat map over the frame, contours over it, or the frame and, beside it, the frame with the heat map."""
    colours: str = "inferno"
    """Name of a matplotlib colour map. In ``inferno``, ``viridis`` and ``cividis`` more is lighter, so that
    colour-blind people read them too."""
    opacity: float = 0.7
    """Share of the heat map's colour at level 255, 0 to 1; proportionally less below."""

    def __post_init__(self) -> None:
        """Check what types cannot."""
        if not 0 <= self.opacity <= 1:
            raise InputError(f"opacity is {self.opacity}: give a number from 0 to 1")
        colour_table(self.colours)

    def resized(self, info: VideoInfo) -> VideoInfo:
        """Return a video's description with the width of its overlay."""
        return replace(info, width=2 * info.width) if self.style == "beside" else info

    def draw(self, frame: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """Draw saliency over a frame; where it is 0 the frame is unchanged.

        Args:
            frame: RGB, uint8 (H, W, 3).
            levels: Saliency, uint8 (H, W), 255 = most salient.

        Returns:
            RGB, uint8 (H, W, 3), or (H, 2 W, 3) for ``beside``.
        """
        if self.style == "contour":
            return self._contours(frame, levels)
        remaining, coloured = _blend_tables(self.colours, self.opacity)
        mixed = frame * remaining.take(levels)[..., None]  # at most 255 * 256: fits in 16 bits
        mixed += coloured.take(levels, axis=0)
        mixed += 128  # rounds to the nearest
        mixed >>= 8
        heat = mixed.astype(np.uint8)
        return heat if self.style == "heat" else np.concatenate([frame, heat], axis=1)

    def _contours(self, frame: np.ndarray, levels: np.ndarray) -> np.ndarray:
        from scipy.ndimage import maximum_filter, minimum_filter

        # as wide in a 4K frame as in a small one, to the eye
        width = 1 + 2 * max(1, frame.shape[0] // 300)  # pixels across a line
        # shares of this map's peak: a faint map has contours too
        bands = np.searchsorted(np.array(CONTOURS) * max(int(levels.max()), 1), np.arange(256), "right")
        band = bands.astype(np.uint8).take(levels)
        upper = maximum_filter(band, width)
        line = upper > minimum_filter(band, width)
        drawn = frame.copy()
        drawn[maximum_filter(line, 3)] = 0  # a dark edge, for bright frames
        # the lighter end of the colours: dark lines vanish in dark frames
        table = colour_table(self.colours)[np.linspace(96, 255, len(CONTOURS) + 1).astype(int)]
        drawn[line] = table[upper[line]]
        return drawn


@cache
def colour_table(name: str) -> np.ndarray:
    """Return the 256 colours of a matplotlib colour map, RGB, uint8 (256, 3)."""
    from matplotlib import colormaps

    # here, when options are read: a wrong name must not end a film's prediction at its overlay
    if name not in colormaps:
        raise InputError(
            f"no colour map is called {name!r}: take one of matplotlib's, e.g. inferno, viridis or turbo"
        )
    colours = colormaps[name](np.arange(256))[:, :3]
    return np.round(colours * 255).astype(np.uint8)


@cache
def _blend_tables(name: str, opacity: float) -> tuple[np.ndarray, np.ndarray]:
    """Return per level of saliency the frame's weight of 256, and the colour times its own weight; uint16."""
    # 256 levels decide everything, so each blend is computed once and looked up for every pixel
    weight = np.round(np.linspace(0, 256 * opacity, 256)).astype(np.uint16)
    return 256 - weight, colour_table(name).astype(np.uint16) * weight[:, None]
