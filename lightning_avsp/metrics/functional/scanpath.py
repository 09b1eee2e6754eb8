"""Normalized scanpath saliency: the standardised prediction at the fixations."""

from __future__ import annotations

from torch import Tensor

from lightning_avsp.metrics.functional.inputs import Fixations, Frames, score_frames
from lightning_avsp.metrics.functional.maps import undefined_where


def nss_kernel(frames: Frames) -> Tensor:
    """NSS of each frame: float64 (B,)."""
    prediction, fixations = frames.prediction, frames.fixations
    assert fixations is not None
    moments = frames.prediction_moments
    deviation = (moments.squares / (prediction.pixels - 1)).sqrt()  # (B,)
    mean = moments.mass / prediction.pixels  # (B,) above the minimum
    looked_at = fixations.read(prediction.flat).to(mean.dtype) - prediction.minimum[fixations.frame]
    return undefined_where((fixations.mean_by_frame(looked_at) - mean) / deviation, prediction.undefined)


def nss(prediction: Tensor, fixations: Fixations, *, repeats: bool = False) -> Tensor:
    r"""Normalized scanpath saliency (NSS): mean of the standardised prediction over fixated pixels.

    .. math:: NSS = \frac{1}{n} \sum_{f} \frac{P_f - \bar P}{s_P}

    with the sample deviation :math:`s_P` (divisor N - 1), as in the MIT saliency benchmark.

    Args:
        prediction: Predicted maps (B, H, W), any real type and range.
        fixations: Binary maps (B, H, W), fixated where > 0, or one int64 (N, 2) tensor of (row, column) per
            frame.
        repeats: Whether a pixel fixated n times (the map's value, or n equal points) counts n times. The
            benchmark counts it once.

    Returns:
        NSS in standard deviations, 0 at chance, float64 (B,); higher is better; NaN without fixations or
        where the prediction is constant or not finite.

    Raises:
        InputError: If shapes or types do not fit, or a point lies outside the map.

    Example:
        >>> import torch
        >>> prediction = torch.tensor([[[0.0, 0.0], [0.0, 4.0]]])
        >>> nss(prediction, [torch.tensor([[1, 1]])])
        tensor([1.5000], dtype=torch.float64)
    """
    return score_frames(nss_kernel, prediction, fixations=fixations, repeats=repeats)
