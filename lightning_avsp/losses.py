"""Differentiable losses between predicted and target saliency maps, and their weighted sum.

Every term takes two maps (B, 1, H, W) in [0, 1] and returns one value per map (B,), computed in float32 even under
mixed precision: a map summed in bfloat16 is wrong in the third digit.

Sources: MSE, KL and CE as in table 5 of DiffSal (Xiong et al., CVPR 2024); KL - 0.1 CC - 0.1 SIM as AVRSP's loss;
CC and SIM as their metrics of the same name, kept differentiable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.errors import InputError

EPSILON = 1e-7
"""Keeps logarithms and divisions finite; far below one grey level of an 8-bit map."""

Reduction = Literal["sum", "mean"]


def mse(prediction: Tensor, target: Tensor, reduction: Reduction = "sum") -> Tensor:
    """Squared error, summed (DiffSal's released training) or averaged over pixels."""
    error = (prediction - target).square().flatten(1)
    return error.sum(1) if reduction == "sum" else error.mean(1)


def kl(prediction: Tensor, target: Tensor, reduction: Reduction = "sum") -> Tensor:
    """Kullback-Leibler divergence KL(target || prediction) in nats, both maps normalised to sum 1.

    A distribution has one natural reduction, the sum over its support; ``reduction`` is accepted and has no effect.
    """
    p, q = _distribution(prediction), _distribution(target)
    return (q * (torch.log(q + EPSILON) - torch.log(p + EPSILON))).sum(1)


def kl_ratio(prediction: Tensor, target: Tensor, reduction: Reduction = "sum") -> Tensor:
    """Compute the same divergence with log(e + G / (e + P)), as in AVRSP's Equation 16."""
    p, q = _distribution(prediction), _distribution(target)
    return (q * torch.log(EPSILON + q / (EPSILON + p))).sum(1)


def ce(prediction: Tensor, target: Tensor, reduction: Reduction = "sum") -> Tensor:
    """Binary cross-entropy per pixel, the target read as a probability, summed or averaged over pixels."""
    p = prediction.flatten(1).clamp(EPSILON, 1 - EPSILON)  # log 0 would be infinite where the map saturates
    q = target.flatten(1).clamp(0, 1)
    entropy = -(q * torch.log(p) + (1 - q) * torch.log1p(-p))
    return entropy.sum(1) if reduction == "sum" else entropy.mean(1)


def cc(prediction: Tensor, target: Tensor, reduction: Reduction = "sum") -> Tensor:
    """Pearson correlation of the two maps in [-1, 1]; give it a negative weight to maximise it."""
    p, q = prediction.flatten(1), target.flatten(1)
    p, q = p - p.mean(1, keepdim=True), q - q.mean(1, keepdim=True)
    # two roots: the root of a product would underflow
    norms = p.square().sum(1).sqrt() * q.square().sum(1).sqrt()
    return (p * q).sum(1) / (norms + EPSILON)


def sim(prediction: Tensor, target: Tensor, reduction: Reduction = "sum") -> Tensor:
    """Histogram intersection in [0, 1] of the maps normalised to sum 1; a negative weight maximises it."""
    return torch.minimum(_distribution(prediction), _distribution(target)).sum(1)


def _distribution(maps: Tensor) -> Tensor:
    """Non-negative maps (B, 1, H, W) as distributions (B, N) that sum to 1."""
    flat = maps.flatten(1).clamp_min(0)  # a sampled map may lie below 0
    return flat / (flat.sum(1, keepdim=True) + EPSILON)


TERMS: Mapping[str, Callable[[Tensor, Tensor, Reduction], Tensor]] = {
    "mse": mse,
    "kl": kl,
    "kl_ratio": kl_ratio,
    "ce": ce,
    "cc": cc,
    "sim": sim,
}


class SaliencyLoss(nn.Module):
    """Weighted sum of loss terms, averaged over the batch.

    Args:
        terms: Weight of each term by name: ``mse``, ``kl``, ``kl_ratio``, ``ce``, ``cc``, ``sim``.
        reduction: Over pixels, for the per-pixel terms: ``sum`` (as DiffSal was trained) or ``mean``.
        size: Height and width that both maps are brought to before they are compared; None: as they are.

    Raises:
        InputError: If a name is unknown or no term is given.

    Example:
        >>> import torch
        >>> loss = SaliencyLoss({"kl": 1.0, "cc": -0.1, "sim": -0.1})
        >>> perfect = torch.rand(2, 1, 4, 4)
        >>> round(float(loss(perfect, perfect)), 3)
        -0.2
    """

    def __init__(
        self,
        terms: dict[str, float] | None = None,
        reduction: Reduction = "sum",
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.terms = {"mse": 1.0} if terms is None else dict(terms)
        self.reduction: Reduction = reduction
        self.size = size
        unknown = sorted(set(self.terms) - set(TERMS))
        if unknown or not self.terms:
            raise InputError(f"loss terms {unknown or 'none'} given; choose from {sorted(TERMS)}")

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Loss of predicted and target maps, both (B, 1, H, W) in [0, 1]; a scalar in float32.

        Raises:
            InputError: If the two shapes differ.
        """
        if prediction.shape != target.shape:
            raise InputError(
                f"prediction has shape {tuple(prediction.shape)} but target {tuple(target.shape)}; "
                "set the data's map_size to the network's map size"
            )
        # sums over pixels in bfloat16 lose the third digit
        with torch.autocast(prediction.device.type, enabled=False):
            prediction, target = prediction.float(), target.float()
            if self.size is not None:
                prediction, target = (
                    # antialiased: at a smaller size pixels would else be left out
                    F.interpolate(maps, self.size, mode="bilinear", antialias=True)
                    for maps in (prediction, target)
                )
            total = prediction.new_zeros(())
            for name, weight in self.terms.items():
                total = total + weight * TERMS[name](prediction, target, self.reduction).mean()
        return total
