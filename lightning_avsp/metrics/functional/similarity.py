"""Similarity: the intersection of two maps taken as histograms."""

from __future__ import annotations

from torch import Tensor

from lightning_avsp.metrics.functional.inputs import Frames, score_frames
from lightning_avsp.metrics.functional.maps import undefined_where


def sim_kernel(frames: Frames) -> Tensor:
    """SIM of each frame: float64 (B,)."""
    prediction, target = frames.prediction, frames.target
    assert target is not None
    undefined = [(maps.constant & ~maps.zero) | ~maps.finite for maps in (prediction, target)]
    return undefined_where(frames.pair.overlap, undefined[0] | undefined[1])


def sim(prediction: Tensor, target: Tensor) -> Tensor:
    r"""Similarity (SIM): how much of two maps, taken as distributions over pixels, coincides.

    .. math:: SIM = \sum_x \min(p_x, g_x), \quad
        p = \frac{P - \min P}{\sum (P - \min P)}, \; g = \frac{G - \min G}{\sum (G - \min G)}

    As in the MIT saliency benchmark: an all-zero map stays zero and gives 0.

    Args:
        prediction: Predicted maps (B, H, W), any real type and range.
        target: Continuous ground truth (B, H, W), any real type and range.

    Returns:
        SIM in [0, 1], float64 (B,); higher is better; NaN where either map is constant without being zero, or
        not finite.

    Raises:
        InputError: If the shapes are not (B, H, W) or differ.

    Example:
        >>> import torch
        >>> prediction = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
        >>> target = torch.tensor([[[0.0, 3.0], [0.0, 1.0]]])
        >>> sim(prediction, target)
        tensor([0.5000], dtype=torch.float64)
    """
    return score_frames(sim_kernel, prediction, target=target)
