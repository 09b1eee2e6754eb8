"""Fixations of a batch as distinct pixels with weights: the form that every fixation-based metric reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from lightning_avsp.errors import InputError


@dataclass(frozen=True)
class FixationPoints:
    """Distinct fixated pixels of ``frames`` frames, sorted by frame and then by pixel."""

    frame: Tensor
    """Index of the frame that each pixel belongs to: int64 (M,)."""
    pixel: Tensor
    """Row-major index of each pixel: int64 (M,)."""
    weight: Tensor
    """Weight of each pixel, 1 unless repeats are asked for: float64 (M,)."""
    frames: int
    """Number of frames, those without a fixation included."""

    @classmethod
    def from_maps(cls, name: str, maps: Tensor, repeats: bool) -> FixationPoints:
        """Points of fixation maps (B, H, W): where > 0, counted by the map's value if ``repeats``.

        Raises:
            InputError: If ``repeats`` and a positive value is not a whole number; ``name`` is for the message.
        """
        flat = maps.flatten(1)
        frame, pixel = _true_positions(flat > 0)
        if repeats:
            weight = flat[frame, pixel].to(torch.float64)
            if bool((weight != weight.round()).any()):
                raise InputError(
                    f"{name} counts fixations in fractions; with repeats=True give whole counts per pixel, "
                    "or leave repeats off for a map that only marks where they are."
                )
        else:
            weight = torch.ones(frame.shape, dtype=torch.float64, device=flat.device)
        return cls(frame, pixel, weight, maps.shape[0])

    @classmethod
    def from_lists(
        cls, name: str, lists: Sequence[Tensor], height: int, width: int, repeats: bool
    ) -> FixationPoints:
        """Points of one (N, 2) integer tensor of (row, column) per frame; ``name`` is for the error.

        Raises:
            InputError: If a point lies outside ``height`` x ``width``.
        """
        if not lists:
            empty = torch.zeros(0, dtype=torch.int64)
            return cls(empty, empty, empty.to(torch.float64), 0)
        points = torch.cat([one.to(torch.int64) for one in lists])  # (M, 2)
        device = points.device
        lengths = torch.tensor([one.shape[0] for one in lists], device=device)
        frame = torch.arange(len(lists), device=device).repeat_interleave(lengths)
        row, column = points.unbind(1)
        outside = (row < 0) | (row >= height) | (column < 0) | (column >= width)
        if bool(outside.any()):
            first = int(outside.nonzero()[0])
            raise InputError(
                f"{name}[{int(frame[first])}] has a point at {tuple(points[first].tolist())}, outside its map of "
                f"{height} rows and {width} columns; give (row, column), counted from 0, in the ground truth's "
                "pixels."
            )
        pixels = height * width
        # One call for all frames: a call for each would cost more than the metrics themselves
        key, count = (frame * pixels + row * width + column).unique(return_counts=True)
        weight = count.to(torch.float64) if repeats else torch.ones_like(count, dtype=torch.float64)
        return cls(key // pixels, key % pixels, weight, len(lists))

    @cached_property
    def count(self) -> Tensor:
        """Distinct fixated pixels of each frame: float64 (B,)."""
        return self.sum_by_frame(torch.ones_like(self.weight))

    @cached_property
    def total(self) -> Tensor:
        """Summed weight of each frame, its number of fixations: float64 (B,)."""
        return self.sum_by_frame(self.weight)

    def read(self, flat: Tensor) -> Tensor:
        """Values of flattened maps (B, N) at the points: (M,)."""
        return flat[self.frame, self.pixel]

    def sum_by_frame(self, values: Tensor) -> Tensor:
        """Sums of per-point values (M, ...) over each frame's points: (B, ...)."""
        return values.new_zeros(self.frames, *values.shape[1:]).index_add_(0, self.frame, values)

    def mean_by_frame(self, values: Tensor) -> Tensor:
        """Weighted means of per-point float64 values (M,): (B,), NaN for a frame without points."""
        return self.sum_by_frame(values * self.weight) / self.total

    def pad(self, values: Tensor, fill: float) -> Tensor:
        """Per-point values (M,) as one row per frame, (B, K), K the largest count; the rest is ``fill``."""
        columns = int(self.count.max()) if self.frames else 0
        ends = self.count.to(torch.int64).cumsum(0)
        starts = ends - self.count.to(torch.int64)
        column = torch.arange(values.shape[0], device=values.device) - starts[self.frame]
        padded = values.new_full((self.frames, columns), fill)
        padded[self.frame, column] = values
        return padded


def _true_positions(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column of every true element of a bool (B, N), in order: two int64 (M,)."""
    if mask.device.type != "cpu":
        row, column = mask.nonzero(as_tuple=True)
        return row, column
    # numpy skips runs of false, of which a fixation map is made: 6 times faster than torch there.
    index = torch.from_numpy(np.flatnonzero(mask.numpy()))
    return index // mask.shape[1], index % mask.shape[1]
