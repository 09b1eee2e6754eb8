"""Pearson's correlation coefficient between two maps."""

from __future__ import annotations

from torch import Tensor

from lightning_avsp.metrics.functional.inputs import Frames, score_frames
from lightning_avsp.metrics.functional.maps import undefined_where


def cc_kernel(frames: Frames) -> Tensor:
    """CC of each frame: float64 (B,)."""
    assert frames.target is not None
    pair = frames.pair
    # Two roots, not the root of a product: the product underflows for maps of tiny range.
    values = pair.covariance / (pair.prediction.squares.sqrt() * pair.target.squares.sqrt())
    return undefined_where(values, frames.prediction.undefined | frames.target.undefined)


def cc(prediction: Tensor, target: Tensor) -> Tensor:
    r"""Correlation coefficient (CC): Pearson's r over the pixels of each frame.

    .. math:: CC = \frac{\sum_x (P_x - \bar P)(G_x - \bar G)}
        {\sqrt{\sum_x (P_x - \bar P)^2 \sum_x (G_x - \bar G)^2}}

    As in the MIT saliency benchmark (Bylinskii et al., *What do different evaluation metrics tell us about
    saliency models?*, TPAMI 2019), computed in float64.

    Args:
        prediction: Predicted maps (B, H, W), any real type and range.
        target: Continuous ground truth (B, H, W), any real type and range.

    Returns:
        CC in [-1, 1], float64 (B,); higher is better; NaN where either map is constant or not finite.

    Raises:
        InputError: If the shapes are not (B, H, W) or differ.

    Example:
        >>> import torch
        >>> target = torch.tensor([[[0.0, 1.0], [2.0, 3.0]]])
        >>> cc(target**2, target)
        tensor([0.9583], dtype=torch.float64)
    """
    return score_frames(cc_kernel, prediction, target=target)
