"""Heat maps of an explanation over the frames of its clip, one row for each audio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from lightning_avsp.callbacks.figures import image_grid
from lightning_avsp.evaluation.explain.clips import ExplainedClips
from lightning_avsp.structures import Explanation

FRAMES_SHOWN = 6
"""At most so many time steps are drawn."""


def draw_clip(clips: ExplainedClips, folder: Path, target_index: int) -> list[Path]:
    """Draw an image of each explanation that is a heat map, for the first clip of the batch.

    Args:
        clips: The clip and its explanations.
        folder: Folder of the PNG files.
        target_index: Index of the target frame in the clip.

    Returns:
        The files written.
    """
    rows: dict[str, dict[str, Explanation]] = {}
    for audio, explanations in clips.explanations.items():
        for explanation in explanations:
            if explanation.values.dim() == 4:
                rows.setdefault(explanation.name, {})[audio] = explanation
    frames = clips.batch["video"][0]  # (T, H, W, 3)
    return [draw_rows(folder / f"{name}.png", frames, found, target_index) for name, found in rows.items()]


def draw_rows(path: Path, frames: Tensor, rows: dict[str, Explanation], target_index: int) -> Path:
    """Draw the heat maps of one explanation, a row for each audio, on one colour scale to compare rows.

    Args:
        path: PNG file to write.
        frames: uint8 (T, H, W, 3).
        rows: Explanation by audio, its values (B, T', h, w).
        target_index: Frame under a map that has no time axis.
    """
    first = next(iter(rows.values()))
    steps = first.values.shape[1]
    shown = np.unique(np.linspace(0, steps - 1, min(steps, FRAMES_SHOWN)).round().astype(int))
    low = min(float(e.values[0].min()) for e in rows.values())
    high = max(float(e.values[0].max()) for e in rows.values())
    size = (2.6 * len(shown) + 0.8, 1.7 * len(rows) + 0.5)
    with image_grid(path, len(rows), len(shown), size) as (figure, axes):
        drawn = None
        for axis_row, (audio, explanation) in zip(axes, rows.items(), strict=True):
            for axis, step in zip(axis_row, shown, strict=True):
                index = target_index if steps == 1 else round((step + 0.5) / steps * len(frames) - 0.5)
                image = frames[index].numpy()
                heat = enlarge(explanation.values[0, step], image.shape[:2])
                axis.imshow(image)
                drawn = axis.imshow(heat, cmap="magma", alpha=0.6, vmin=low, vmax=high)
                axis.set_axis_off()
            axis_row[0].set_title(audio, fontsize=7, loc="left")
        figure.suptitle(first.title, fontsize=8)
        assert drawn is not None
        figure.colorbar(drawn, ax=axes, shrink=0.8)
    return path


def enlarge(heat: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Enlarge a heat map (h, w) to the frame's size in blocks, which show its true resolution."""
    return F.interpolate(heat[None, None], size=size, mode="nearest-exact")[0, 0].numpy()
