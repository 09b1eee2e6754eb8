"""Several metrics of the same frames at once, sharing what they have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from lightning_avsp.errors import InputError
from lightning_avsp.metrics.functional.auc import (
    auc_judd_kernel,
    auc_shuffled_exact_kernel,
    auc_shuffled_kernel,
)
from lightning_avsp.metrics.functional.comparison import (
    cc_kernel,
    information_gain_kernel,
    kld_kernel,
    nss_kernel,
    sim_kernel,
)
from lightning_avsp.metrics.functional.inputs import Fixations, Frames, Kernel, score_frames

MetricName: TypeAlias = Literal[
    "cc", "sim", "nss", "auc_judd", "kld", "auc_shuffled", "auc_shuffled_exact", "information_gain"
]
Source: TypeAlias = Literal["prediction", "target", "fixations", "other", "baseline"]

KERNELS: dict[MetricName, Kernel] = {
    "cc": cc_kernel,
    "sim": sim_kernel,
    "nss": nss_kernel,
    "auc_judd": auc_judd_kernel,
    "kld": kld_kernel,
    "auc_shuffled": auc_shuffled_kernel,
    "auc_shuffled_exact": auc_shuffled_exact_kernel,
    "information_gain": information_gain_kernel,
}

READS: dict[MetricName, tuple[Source, ...]] = {
    "cc": ("target", "prediction"),
    "sim": ("target", "prediction"),
    "nss": ("fixations", "prediction"),
    "auc_judd": ("fixations", "prediction"),
    "kld": ("target", "prediction"),
    "auc_shuffled": ("fixations", "other", "prediction"),
    "auc_shuffled_exact": ("fixations", "other", "prediction"),
    "information_gain": ("fixations", "baseline", "prediction"),
}
"""Inputs of each metric, the ground truth first: a blank frame is its fault before the prediction's."""

LOWER_IS_BETTER: frozenset[MetricName] = frozenset({"kld"})
"""Metrics of which a smaller value is better; all others are better when larger."""


def check_names(names: Sequence[str]) -> tuple[MetricName, ...]:
    """Return the names in the order of :data:`MetricName`.

    Raises:
        InputError: If there is none, one is unknown, or one is given twice.
    """
    known = get_args(MetricName)
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) != len(names):
        raise InputError(f"metrics are {list(names)}; choose one or more of {', '.join(known)}, each once.")
    return tuple(name for name in known if name in names)  # in one order, so that tables of runs compare


def saliency_scores(
    prediction: Tensor,
    *,
    names: Sequence[str] = ("cc", "sim", "nss", "auc_judd"),
    target: Tensor | None = None,
    fixations: Fixations | None = None,
    other: Fixations | None = None,
    baseline: Tensor | None = None,
    repeats: bool = False,
) -> dict[str, Tensor]:
    """Compute several metrics, by the names of their functions, at once: faster than one by one, and equal to them.

    Each needs the inputs that :data:`READS` lists.

    Returns:
        Name to values, each float64 (B,), NaN where undefined.

    Raises:
        InputError: If a name is unknown, an input that a metric reads is missing, or an input does not fit.

    Example:
        >>> import torch
        >>> prediction = torch.tensor([[[0.0, 0.2], [0.6, 1.0]]])
        >>> fixations = [torch.tensor([[1, 1]])]
        >>> scores = saliency_scores(prediction, names=("cc", "nss"), target=prediction, fixations=fixations)
        >>> {name: round(values.item(), 4) for name, values in scores.items()}
        {'cc': 1.0, 'nss': 1.2402}
    """
    chosen = check_names(names)
    given = {"target": target, "fixations": fixations, "other": other, "baseline": baseline}
    check_sources(chosen, {source for source, value in given.items() if value is not None})

    def kernel(frames: Frames) -> Tensor:
        return torch.stack([KERNELS[name](frames) for name in chosen])  # (K, B)

    values = score_frames(
        kernel,
        prediction,
        target=target,
        fixations=fixations,
        other=other,
        baseline=baseline,
        repeats=repeats,
    )
    return dict(zip(chosen, values.unbind(0), strict=True))


def check_sources(names: Sequence[MetricName], given: set[str]) -> None:
    """Refuse if a metric lacks what it reads.

    Raises:
        InputError: Naming the metric and the missing input.
    """
    for name in names:
        for source in READS[name]:
            if source != "prediction" and source not in given:
                raise InputError(
                    f"{name} reads {source}, which is missing; give {source}= or leave {name} out."
                )
