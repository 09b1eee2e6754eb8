"""Agreement of gaze with what moves and stands out in its film, by which mirrored and late gaze is noticed."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from scipy.ndimage import gaussian_filter

from lightning_avsp.media.images import resize
from lightning_avsp.media.video import DecodedFrame

GRID = (24, 32)
"""Rows and columns at which frames are compared with gaze."""
SHIFTS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""Seconds by which gaze is tried earlier and later; viewers themselves are late by .2."""
BLOCK_S, FEWEST_BLOCKS = 1.0, 6
"""Neighbouring frames are alike: a second counts as one observation, and so many are needed."""
AGREES = 0.3
"""Gaze agrees with a film where it lies so many standard deviations above the mean of its conspicuous places."""
LESS = 0.6
"""As it was given it agrees by at most this part of that."""
CERTAIN = 4.0
"""Standard errors by which another reading of the gaze must agree better."""


class FilmSketch:
    """Salient places of each frame of a film, and some frames as they are, collected while it is decoded.

    Args:
        wanted: Indices of frames to keep, from 0.
    """

    def __init__(self, wanted: Collection[int]) -> None:
        self.wanted = wanted
        self.kept: dict[int, np.ndarray] = {}
        """Wanted frames, RGB, uint8 (H, W, 3)."""
        self.maps: list[np.ndarray] = []
        """Conspicuity of each frame: contrast and motion, standardised, float16 of the grid."""
        self._previous: np.ndarray | None = None

    def look(self, frame: DecodedFrame) -> None:
        """Take the next frame."""
        if frame.index in self.wanted:
            self.kept[frame.index] = frame.pixels
        step = max(1, min(frame.pixels.shape[0] // GRID[0], frame.pixels.shape[1] // GRID[1]) // 4)
        small = resize(np.ascontiguousarray(frame.pixels[::step, ::step]), GRID).astype(np.float32).mean(-1)
        contrast = np.abs(small - gaussian_filter(small, 3))
        motion = np.abs(small - (small if self._previous is None else self._previous))
        total = gaussian_filter(sum(each / (each.mean() + 1) for each in (contrast, motion)), 1)
        self.maps.append(((total - total.mean()) / (total.std() + 1e-3)).astype(np.float16))
        self._previous = small

    def judge(self, points: tuple[np.ndarray, ...], source: np.ndarray, fps: float) -> list[str]:
        """Remark on gaze that agrees with the film only upside down, or earlier or later.

        Args:
            points: For each frame of the corpus positions as shares of the video, float64 (N, 2), (x, y).
            source: Index of the film's frame that each shows, int64 (F,).
            fps: Frames of the corpus per second.
        """
        maps = np.stack(self.maps)[source].astype(np.float32)  # (F, rows, columns)
        frame = np.repeat(np.arange(len(points)), [len(each) for each in points])
        row, column = (
            np.minimum(
                np.concatenate([each[:, axis] for each in points]) * GRID[side], GRID[side] - 1
            ).astype(int)
            for axis, side in ((1, 0), (0, 1))
        )

        def agree(shift: int, mirrored: bool) -> np.ndarray:
            """Mean conspicuity at the gaze of each second, NaN without any."""
            at = frame - shift
            inside = (at >= 0) & (at < len(maps))
            rows = GRID[0] - 1 - row if mirrored else row
            values = maps[at[inside], rows[inside], column[inside]]
            block = (frame[inside] / (fps * BLOCK_S)).astype(int)
            length = int(len(maps) / (fps * BLOCK_S)) + 1
            counts = np.bincount(block, minlength=length)
            return np.bincount(block, values, length) / np.where(counts, counts, np.nan)

        given = agree(0, False)
        readings = {"upside down: compare --screen.origin (bottom_left: y counts upwards)": agree(0, True)}
        for seconds in (sign * each for each in SHIFTS for sign in (1, -1)):
            words = f"{abs(seconds):g} s {'earlier' if seconds > 0 else 'later'}: compare --time.start"
            readings[words] = agree(round(seconds * fps), False)
        if np.isfinite(given).sum() < FEWEST_BLOCKS:
            return []
        means = {name: float(np.nanmean(each)) for name, each in readings.items() if np.isfinite(each).any()}
        best = max(means, key=lambda name: means[name])
        own, mean, better = float(np.nanmean(given)), means[best], readings[best] - given
        better = better[np.isfinite(better)]
        error = better.std(ddof=1) / np.sqrt(len(better)) if len(better) >= FEWEST_BLOCKS else np.inf
        if mean < AGREES or own > LESS * mean or better.mean() < CERTAIN * error:
            return []
        return [
            f"the gaze lies {own:.2f} standard deviations above the mean of what moves and stands out in the film, and "
            f"{mean:.2f} if it is taken {best}"
        ]
