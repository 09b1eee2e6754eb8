"""Metrics of maps against maps and fixated pixels: CC, SIM, NSS, Kullback-Leibler divergence, information gain.

Kernels take :class:`Frames`, so that several metrics share their sums; the functions take tensors.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from lightning_avsp.metrics.functional.fixations import FixationPoints
from lightning_avsp.metrics.functional.inputs import Fixations, Frames, score_frames
from lightning_avsp.metrics.functional.maps import Maps, Moments, undefined_where

_EPS = torch.finfo(torch.float64).eps
"""MATLAB's eps, the benchmark's regulariser."""

Negatives: TypeAlias = Literal["clamp", "mit_real"]
"""Treatment of negative pixels in KLD: 0, or the real part of the benchmark's complex logarithm."""


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

    In [-1, 1], higher is better; NaN where either map is constant or not finite.

    Example:
        >>> import torch
        >>> target = torch.tensor([[[0.0, 1.0], [2.0, 3.0]]])
        >>> cc(target**2, target)
        tensor([0.9583], dtype=torch.float64)
    """
    return score_frames(cc_kernel, prediction, target=target)


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

    In [0, 1], higher is better; NaN where either map is constant without being zero, or not finite. As in the
    benchmark, an all-zero map stays zero and gives 0.

    Example:
        >>> import torch
        >>> prediction = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
        >>> target = torch.tensor([[[0.0, 3.0], [0.0, 1.0]]])
        >>> sim(prediction, target)
        tensor([0.5000], dtype=torch.float64)
    """
    return score_frames(sim_kernel, prediction, target=target)


def nss_kernel(frames: Frames) -> Tensor:
    """NSS of each frame: float64 (B,)."""
    prediction, fixations = frames.prediction, frames.fixations
    assert fixations is not None
    moments = frames.prediction_moments
    deviation = (moments.squares / (prediction.pixels - 1)).sqrt()  # (B,)
    # minima cancel in the difference below
    mean = moments.mass / prediction.pixels  # (B,) above the minimum
    looked_at = fixations.read(prediction.flat).to(mean.dtype) - prediction.minimum[fixations.frame]
    return undefined_where((fixations.mean_by_frame(looked_at) - mean) / deviation, prediction.undefined)


def nss(prediction: Tensor, fixations: Fixations, *, repeats: bool = False) -> Tensor:
    r"""Normalized scanpath saliency (NSS): mean of the standardised prediction over fixated pixels.

    .. math:: NSS = \frac{1}{n} \sum_{f} \frac{P_f - \bar P}{s_P}

    with the sample deviation :math:`s_P` (divisor N - 1), as in the benchmark. In standard deviations, 0 at chance,
    higher is better; NaN without fixations or where the prediction is constant or not finite.

    Example:
        >>> import torch
        >>> prediction = torch.tensor([[[0.0, 0.0], [0.0, 4.0]]])
        >>> nss(prediction, [torch.tensor([[1, 1]])])
        tensor([1.5000], dtype=torch.float64)
    """
    return score_frames(nss_kernel, prediction, fixations=fixations, repeats=repeats)


def kld_kernel(frames: Frames, negatives: Negatives = "clamp") -> Tensor:
    """KLD of each frame: float64 (B,)."""
    prediction, target = frames.prediction, frames.target
    assert target is not None
    values = [
        _divergence(_shares(prediction.values(part), negatives), _shares(target.values(part), negatives))
        for part in prediction.chunks()
    ]
    return undefined_where(torch.cat(values), ~prediction.finite | ~target.finite)


def kld(prediction: Tensor, target: Tensor, *, negatives: Negatives = "clamp") -> Tensor:
    r"""Kullback-Leibler divergence (KLD) of the prediction from the ground truth, in nats.

    .. math:: KLD = \sum_x g_x \ln\left(\epsilon + \frac{g_x}{p_x + \epsilon}\right),
        \quad p = \frac{P}{\sum P}, \; g = \frac{G}{\sum G}, \; \epsilon = 2^{-52}

    0 for equal distributions, lower is better; 0 for an all-zero target; NaN where a map is not finite. As in the
    benchmark, which does not subtract the minimum, with one addition: negative pixels of either map, such as bicubic
    resizing leaves, count as 0, since the benchmark's logarithm is complex there. ``negatives="mit_real"`` gives the
    real part of what its code computes, which is no divergence; for comparison only.

    Example:
        >>> import torch
        >>> prediction = torch.tensor([[[1.0, 1.0], [1.0, 1.0]]])
        >>> target = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
        >>> kld(prediction, target)
        tensor([0.6931], dtype=torch.float64)
    """
    return score_frames(partial(kld_kernel, negatives=negatives), prediction, target=target)


def information_gain_kernel(frames: Frames) -> Tensor:
    """Information gain of each frame: float64 (B,)."""
    prediction, baseline, fixations = frames.prediction, frames.baseline, frames.fixations
    assert baseline is not None
    assert fixations is not None
    ours = _mass_at(fixations, prediction, frames.prediction_moments)
    theirs = _mass_at(fixations, baseline, baseline.moments)
    values = fixations.mean_by_frame(torch.log2(_EPS + ours) - torch.log2(_EPS + theirs))
    return undefined_where(values, prediction.undefined | baseline.undefined)


def information_gain(
    prediction: Tensor, fixations: Fixations, baseline: Tensor, *, repeats: bool = False
) -> Tensor:
    r"""Information gain (IG) over a baseline map at the fixated pixels, in bits per fixation.

    .. math:: IG = \frac{1}{n} \sum_{f} \log_2(\epsilon + p_f) - \log_2(\epsilon + b_f)

    with both maps, the prediction and the ``baseline`` to beat (B, H, W), such as a centre prior, shifted to minimum 0
    and scaled to sum 1, :math:`\epsilon = 2^{-52}`, as in the benchmark. Higher is better; NaN without fixations or
    where a map is constant or not finite. Where a map is 0 at a fixation, :math:`\epsilon` decides the value.

    Example:
        >>> import torch
        >>> prediction = torch.tensor([[[0.0, 3.0], [1.0, 1.0]]])
        >>> baseline = torch.tensor([[[0.0, 1.0], [1.0, 2.0]]])
        >>> information_gain(prediction, [torch.tensor([[0, 1]])], baseline)
        tensor([1.2630], dtype=torch.float64)
    """
    return score_frames(
        information_gain_kernel, prediction, fixations=fixations, baseline=baseline, repeats=repeats
    )


def _shares(values: Tensor, negatives: Negatives) -> Tensor:
    """Maps (b, N) scaled in place to sum 1; an all-zero map, or an all-negative one when clamped, gives 0."""
    if negatives == "clamp":
        values.clamp_(min=0)
    mass = values.sum(-1, keepdim=True)
    return values.mul_(torch.where(mass != 0, 1 / mass, 0.0))  # no mass, no shares: KLD 0


def _divergence(p: Tensor, g: Tensor) -> Tensor:
    """The regularised sum over each row: (b, N) and (b, N) to (b,). Destroys ``p``."""
    ratio = torch.div(g, p.add_(_EPS), out=p).add_(_EPS)
    # Where no pixel is negative the ratio is positive; for mit_real, Re(log z) = log |z|.
    return ratio.abs_().log_().mul_(g).sum(-1)


def _mass_at(points: FixationPoints, maps: Maps, moments: Moments) -> Tensor:
    """Values at the points of the maps shifted to minimum 0 and scaled to sum 1: (M,)."""
    values = points.read(maps.flat).to(torch.float64)
    return (values - maps.minimum[points.frame]) * moments.unit[points.frame]
