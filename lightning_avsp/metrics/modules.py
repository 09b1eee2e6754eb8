"""The metrics as torchmetrics classes: means over all frames seen, for use in any training loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_avsp.metrics.functional import (
    Fixations,
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

    Each class is named by its function in :mod:`lightning_avsp.metrics.functional`, which defines the metric by formula
    and example.

    Args:
        options: Keyword arguments of the metric's function, such as ``repeats`` or ``ties``, and of
            :class:`torchmetrics.Metric`.

    Example:
        >>> import torch
        >>> metric = CC()
        >>> target = torch.tensor([[[0.0, 1.0, 2.0]], [[3.0, 3.0, 3.0]]])
        >>> metric.update(target**2, target)
        >>> metric.compute(), metric.skipped
        (tensor(0.9608, dtype=torch.float64), tensor(1))
    """

    function: ClassVar[Callable[..., Tensor]]
    """Values of a batch of frames, from :mod:`lightning_avsp.metrics.functional`."""

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    total: Tensor
    """Sum of the defined values: float64 ()."""
    count: Tensor
    """Frames with a defined value: int64 ()."""
    skipped: Tensor
    """Frames without one: int64 ()."""

    def __init__(self, **options: Any) -> None:
        own = {name: options.pop(name) for name in ("repeats", "ties") if name in options}
        super().__init__(**options)
        self.options = own
        # float64 and counts: sums of several processes then merge exactly enough not to depend on their number
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("skipped", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, *ground_truth: Fixations) -> None:
        """Score maps (B, H, W) against the further arguments of the metric's function, in its order."""
        values = type(self).function(prediction, *ground_truth, **self.options)
        undefined = values.isnan()
        self.total += values.masked_fill(undefined, 0).sum()
        self.count += (~undefined).sum()
        self.skipped += undefined.sum()

    def compute(self) -> Tensor:
        """Mean over the frames that count: float64 (); NaN if none does."""
        return self.total / self.count


class CC(FrameMean):
    """Mean correlation coefficient; see :func:`lightning_avsp.metrics.functional.cc`."""

    function = staticmethod(cc)


class SIM(FrameMean):
    """Mean similarity; see :func:`lightning_avsp.metrics.functional.sim`."""

    function = staticmethod(sim)


class KLD(FrameMean):
    """Mean Kullback-Leibler divergence in nats; see :func:`lightning_avsp.metrics.functional.kld`."""

    function = staticmethod(kld)
    higher_is_better = False


class NSS(FrameMean):
    """Mean normalized scanpath saliency; see :func:`lightning_avsp.metrics.functional.nss`."""

    function = staticmethod(nss)


class AUCJudd(FrameMean):
    """Mean AUC-Judd; see :func:`lightning_avsp.metrics.functional.auc_judd`."""

    function = staticmethod(auc_judd)


class AUCShuffled(FrameMean):
    """Mean shuffled AUC on the benchmark's grid; see :func:`lightning_avsp.metrics.functional.auc_shuffled`."""

    function = staticmethod(auc_shuffled)


class AUCShuffledExact(FrameMean):
    """Mean shuffled AUC over all thresholds; see :func:`lightning_avsp.metrics.functional.auc_shuffled_exact`."""

    function = staticmethod(auc_shuffled_exact)


class InformationGain(FrameMean):
    """Mean information gain in bits; see :func:`lightning_avsp.metrics.functional.information_gain`."""

    function = staticmethod(information_gain)
