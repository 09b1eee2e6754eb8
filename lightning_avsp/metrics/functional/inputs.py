"""Inputs of the metrics: checks of shape and type, fixations as points, and one batch of frames for all metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor

from lightning_avsp.errors import InputError
from lightning_avsp.metrics.functional.fixations import FixationPoints
from lightning_avsp.metrics.functional.maps import Maps, Moments, PairStatistics

Fixations: TypeAlias = Tensor | Sequence[Tensor]
"""Fixation maps (B, H, W), fixated where > 0; or one int64 (N, 2) tensor of (row, column) per frame."""


@dataclass(frozen=True)
class Frames:
    """A batch of frames with all that a metric may read of them."""

    prediction: Maps
    """Predicted maps."""
    target: Maps | None = None
    """Continuous ground truth."""
    baseline: Maps | None = None
    """Map that a prediction has to beat, for information gain."""
    fixations: FixationPoints | None = None
    """Fixations of each frame."""
    other: FixationPoints | None = None
    """Fixations of other frames: the negatives of the shuffled AUC."""

    @cached_property
    def pair(self) -> PairStatistics:
        """Joint sums of prediction and target; CC and SIM share them."""
        assert self.target is not None
        return PairStatistics.of(self.prediction, self.target)

    @cached_property
    def prediction_moments(self) -> Moments:
        """Sums over the prediction, from the pass over both maps if there is a target."""
        # one pass over the pixels instead of two
        return self.prediction.moments if self.target is None else self.pair.prediction


Kernel: TypeAlias = Callable[[Frames], Tensor]
"""Computes one or several values per frame: float64 (..., B)."""


@torch.no_grad()
def score_frames(
    kernel: Kernel,
    prediction: Tensor,
    *,
    target: Tensor | None = None,
    baseline: Tensor | None = None,
    fixations: Fixations | None = None,
    other: Fixations | None = None,
    repeats: bool = False,
) -> Tensor:
    """Compute the values of ``kernel`` for every frame, float64 (..., B), on the prediction's device.

    Inputs as described in :mod:`lightning_avsp.metrics.functional`; None where the kernel does not read them.

    Raises:
        InputError: If a shape or type does not fit, or a point lies outside the map.
    """
    check_maps("prediction", prediction)

    def maps(name: str, given: Tensor | None) -> Maps | None:
        if given is None:
            return None
        check_maps(name, given, like=prediction)
        return Maps(given.to(prediction.device))

    def points(name: str, given: Fixations | None) -> FixationPoints | None:
        return None if given is None else as_points(name, given, like=prediction, repeats=repeats)

    return kernel(
        Frames(
            prediction=Maps(prediction),
            target=maps("target", target),
            baseline=maps("baseline", baseline),
            fixations=points("fixations", fixations),
            other=points("other", other),
        )
    )


def check_maps(name: str, maps: Tensor, like: Tensor | None = None) -> None:
    """Refuse what is not a batch of real-valued maps (B, H, W).

    Raises:
        InputError: Naming ``name``, the shape found and the shape needed.
    """
    shape = tuple(maps.shape)
    if maps.ndim != 3:
        hint = "; add a batch dimension with [None]" if maps.ndim == 2 else ""
        raise InputError(f"{name} has shape {shape}, but maps must be (B, H, W){hint}.")
    if maps.is_complex():
        raise InputError(
            f"{name} is {maps.dtype}, but maps must be real; take the real part or the magnitude."
        )
    if shape[1] * shape[2] == 0:
        raise InputError(f"{name} has shape {shape}: a map without pixels cannot be scored.")
    if like is not None and shape != tuple(like.shape):
        raise InputError(
            f"{name} has shape {shape} but the prediction {tuple(like.shape)}; "
            "bring the prediction to the ground truth's size with resize_bicubic first."
        )


def as_points(name: str, fixations: Fixations, like: Tensor, repeats: bool) -> FixationPoints:
    """Fixations in either accepted form as distinct weighted pixels, on the device of ``like``.

    Raises:
        InputError: If maps or lists do not fit the maps ``like`` (B, H, W).
    """
    batch, height, width = like.shape
    if isinstance(fixations, Tensor):
        check_maps(name, fixations, like=like)
        return FixationPoints.from_maps(name, fixations.to(like.device), repeats)
    if len(fixations) != batch:
        raise InputError(
            f"{name} has {len(fixations)} point lists for {batch} maps; give one (N, 2) tensor per frame, "
            "an empty one for a frame without fixations."
        )
    for index, points in enumerate(fixations):
        if points.ndim != 2 or points.shape[1] != 2:
            raise InputError(
                f"{name}[{index}] has shape {tuple(points.shape)}, but a list of points must be (N, 2): "
                "row and column of each fixation."
            )
        if points.is_floating_point() or points.is_complex() or points.dtype == torch.bool:
            raise InputError(
                f"{name}[{index}] is {points.dtype}, but points are whole pixels: give int64 (row, column)."
            )
    return FixationPoints.from_lists(name, [p.to(like.device) for p in fixations], height, width, repeats)
