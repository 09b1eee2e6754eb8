"""The metrics as torchmetrics classes: means over all frames seen, for use in any training loop."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_avsp.metrics.functional import (
    Fixations,
    Ties,
    auc_judd,
    auc_shuffled,
    auc_shuffled_exact,
    cc,
    information_gain,
    kld,
    nss,
    sim,
)


class FrameMean(Metric):
    """Mean of a per-frame value over all frames where it is defined.

    States are a float64 sum and counts, so processes merge exactly. Every frame weighs the same; for averages
    over videos, as the field reports them, see :class:`lightning_avsp.metrics.SaliencyMetrics`.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    total: Tensor
    """Sum of the defined values: float64 ()."""
    count: Tensor
    """Frames with a defined value: int64 ()."""
    skipped: Tensor
    """Frames without one: int64 ()."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("skipped", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def add(self, values: Tensor) -> None:
        """Add per-frame values (B,), NaN where undefined."""
        undefined = values.isnan()
        self.total += values.masked_fill(undefined, 0).sum()
        self.count += (~undefined).sum()
        self.skipped += undefined.sum()

    def compute(self) -> Tensor:
        """Mean over the frames that count: float64 (); NaN if none does."""
        return self.total / self.count


class CC(FrameMean):
    """Mean correlation coefficient; see :func:`lightning_avsp.metrics.functional.cc`.

    Example:
        >>> import torch
        >>> metric = CC()
        >>> target = torch.tensor([[[0.0, 1.0, 2.0]], [[3.0, 3.0, 3.0]]])
        >>> metric.update(target**2, target)
        >>> metric.compute(), metric.skipped
        (tensor(0.9608, dtype=torch.float64), tensor(1))
    """

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Score maps (B, H, W) against continuous ground truth (B, H, W)."""
        self.add(cc(prediction, target))


class SIM(FrameMean):
    """Mean similarity; see :func:`lightning_avsp.metrics.functional.sim`.

    Example:
        >>> import torch
        >>> metric = SIM()
        >>> metric.update(torch.tensor([[[0.0, 1.0, 1.0]]]), torch.tensor([[[0.0, 1.0, 0.0]]]))
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Score maps (B, H, W) against continuous ground truth (B, H, W)."""
        self.add(sim(prediction, target))


class KLD(FrameMean):
    """Mean Kullback-Leibler divergence in nats; see :func:`lightning_avsp.metrics.functional.kld`.

    Example:
        >>> import torch
        >>> metric = KLD()
        >>> metric.update(torch.tensor([[[1.0, 1.0]]]), torch.tensor([[[1.0, 0.0]]]))
        >>> metric.compute()
        tensor(0.6931, dtype=torch.float64)
    """

    higher_is_better = False

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Score maps (B, H, W) against continuous ground truth (B, H, W)."""
        self.add(kld(prediction, target))


class _FixationMean(FrameMean):
    """A mean of values read at fixations.

    Args:
        repeats: Whether a pixel fixated n times counts n times.
        kwargs: For :class:`torchmetrics.Metric`.
    """

    def __init__(self, repeats: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.repeats = repeats


class NSS(_FixationMean):
    """Mean normalized scanpath saliency; see :func:`lightning_avsp.metrics.functional.nss`.

    Example:
        >>> import torch
        >>> metric = NSS()
        >>> metric.update(torch.tensor([[[0.0, 0.0], [0.0, 4.0]]]), [torch.tensor([[1, 1]])])
        >>> metric.compute()
        tensor(1.5000, dtype=torch.float64)
    """

    def update(self, prediction: Tensor, fixations: Fixations) -> None:
        """Score maps (B, H, W) at fixation maps (B, H, W), or at one (N, 2) point list per frame."""
        self.add(nss(prediction, fixations, repeats=self.repeats))


class AUCJudd(_FixationMean):
    """Mean AUC-Judd; see :func:`lightning_avsp.metrics.functional.auc_judd`.

    Args:
        repeats: Whether a pixel fixated n times counts n times.
        ties: ``expected``, or ``mit_nojitter`` for comparison only.
        kwargs: For :class:`torchmetrics.Metric`.

    Example:
        >>> import torch
        >>> metric = AUCJudd()
        >>> metric.update(torch.tensor([[[0.1, 0.2], [0.3, 0.4]]]), [torch.tensor([[1, 1]])])
        >>> metric.compute()
        tensor(1., dtype=torch.float64)
    """

    def __init__(self, repeats: bool = False, ties: Ties = "expected", **kwargs: Any) -> None:
        super().__init__(repeats, **kwargs)
        self.ties = ties

    def update(self, prediction: Tensor, fixations: Fixations) -> None:
        """Score maps (B, H, W) at fixation maps (B, H, W), or at one (N, 2) point list per frame."""
        self.add(auc_judd(prediction, fixations, repeats=self.repeats, ties=self.ties))


class AUCShuffled(_FixationMean):
    """Mean shuffled AUC on the benchmark's grid; see :func:`lightning_avsp.metrics.functional.auc_shuffled`.

    Example:
        >>> import torch
        >>> metric = AUCShuffled()
        >>> prediction = torch.tensor([[[0.0, 0.2], [0.6, 1.0]]])
        >>> metric.update(prediction, [torch.tensor([[1, 1]])], [torch.tensor([[0, 1], [1, 1]])])
        >>> metric.compute()
        tensor(0.7500, dtype=torch.float64)
    """

    def update(self, prediction: Tensor, fixations: Fixations, other: Fixations) -> None:
        """Score maps (B, H, W) at this frame's fixations against those of ``other`` frames."""
        self.add(auc_shuffled(prediction, fixations, other, repeats=self.repeats))


class AUCShuffledExact(_FixationMean):
    """Mean AUC over all thresholds; see :func:`lightning_avsp.metrics.functional.auc_shuffled_exact`.

    Example:
        >>> import torch
        >>> metric = AUCShuffledExact()
        >>> prediction = torch.tensor([[[0.0, 0.2], [0.6, 1.0]]])
        >>> metric.update(prediction, [torch.tensor([[1, 1]])], [torch.tensor([[0, 1], [1, 1]])])
        >>> metric.compute()
        tensor(0.7500, dtype=torch.float64)
    """

    def update(self, prediction: Tensor, fixations: Fixations, other: Fixations) -> None:
        """Score maps (B, H, W) at this frame's fixations against those of ``other`` frames."""
        self.add(auc_shuffled_exact(prediction, fixations, other, repeats=self.repeats))


class InformationGain(_FixationMean):
    """Mean information gain in bits; see :func:`lightning_avsp.metrics.functional.information_gain`.

    Example:
        >>> import torch
        >>> metric = InformationGain()
        >>> prediction, baseline = torch.tensor([[[0.0, 2.0, 2.0]]]), torch.tensor([[[0.0, 1.0, 4.0]]])
        >>> metric.update(prediction, [torch.tensor([[0, 1]])], baseline)
        >>> metric.compute()
        tensor(1.3219, dtype=torch.float64)
    """

    def update(self, prediction: Tensor, fixations: Fixations, baseline: Tensor) -> None:
        """Score maps (B, H, W) at the fixations against baseline maps (B, H, W)."""
        self.add(information_gain(prediction, fixations, baseline, repeats=self.repeats))
