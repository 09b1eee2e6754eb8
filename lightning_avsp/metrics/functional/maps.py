"""A batch of maps with the statistics that several metrics share, each computed once and in float64."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

# Relative to the largest absolute value. Double: noise of filters and matrix products lies below 1e-14.
# Single and half: four steps of float32; half types have no finer levels that noise could fill.
_CONSTANT_TOLERANCE = {torch.float64: 1e-12}
_CONSTANT_TOLERANCE_SINGLE = 4 * torch.finfo(torch.float32).eps

_SINGLE_IS_EXACT = (torch.float16, torch.bfloat16, torch.uint8, torch.int8, torch.int16)

# One 224x384 frame in float64 and its temporaries stay in a core's cache; larger chunks were slower on the
# CPU.
_CHUNK_PIXELS_CPU = 2**17
_CHUNK_PIXELS_DEVICE = 2**24  # 128 MiB per float64 temporary


def frame_chunks(frames: int, pixels: int, device: torch.device) -> Iterator[slice]:
    """Slices that cover ``frames`` maps of ``pixels`` pixels, each as many as are best worked on at once."""
    budget = _CHUNK_PIXELS_CPU if device.type == "cpu" else _CHUNK_PIXELS_DEVICE
    step = max(1, budget // pixels)
    for start in range(0, max(frames, 1), step):  # an empty batch is one empty chunk
        yield slice(start, start + step)


class Maps:
    """Maps (B, H, W) of any real type, flattened to (B, N), with statistics per map.

    A map is *constant* if its range is lost in rounding (maximum - minimum at most 1e-12 of the largest
    absolute value in float64, 4.8e-7 in smaller types): 0/0 cannot be relied on to say so once filters have
    left their noise.
    """

    def __init__(self, maps: Tensor) -> None:
        flat = maps.detach().flatten(1)  # (B, N)
        self.flat = flat.to(torch.uint8) if flat.dtype == torch.bool else flat

    @property
    def pixels(self) -> int:
        """Pixels per map, N."""
        return self.flat.shape[1]

    def chunks(self) -> Iterator[slice]:
        """Slices of the batch for work that needs float64 copies of the maps."""
        return frame_chunks(self.flat.shape[0], self.pixels, self.flat.device)

    def values(self, part: slice) -> Tensor:
        """Some of the maps in float64 (b, N), a copy."""
        return self.flat[part].to(torch.float64, copy=True)

    def scratch(self) -> Tensor:
        """Room for the float64 copy of a chunk, to be reused: returning it to the system costs as much as its use."""
        return torch.empty_like(self.flat[next(self.chunks())], dtype=torch.float64)

    def shifted(self, part: slice, scratch: Tensor) -> Tensor:
        """Some of the maps minus their minima: float64 (b, N), in ``scratch``."""
        flat = self.flat[part]
        return scratch[: flat.shape[0]].copy_(flat).sub_(self.minimum[part, None])

    def sort_keys(self, part: slice) -> Tensor:
        """Some of the maps (b, N) in whichever of float32 and float64 holds them exactly and sorts faster."""
        keys = self.flat[part]
        if keys.dtype in _SINGLE_IS_EXACT:
            return keys.to(torch.float32)
        return keys if keys.dtype in (torch.float32, torch.float64) else keys.to(torch.float64)

    @cached_property
    def minimum(self) -> Tensor:
        """Smallest value of each map, NaN if it holds one: float64 (B,)."""
        return self.flat.amin(-1).to(torch.float64)

    @cached_property
    def maximum(self) -> Tensor:
        """Largest value of each map, NaN if it holds one: float64 (B,)."""
        return self.flat.amax(-1).to(torch.float64)

    @cached_property
    def finite(self) -> Tensor:
        """Maps without NaN and infinity: bool (B,)."""
        return self.minimum.isfinite() & self.maximum.isfinite()

    @cached_property
    def zero(self) -> Tensor:
        """Maps that are zero everywhere: bool (B,)."""
        return (self.minimum == 0) & (self.maximum == 0)

    @cached_property
    def constant(self) -> Tensor:
        """Constant maps, zero included: bool (B,)."""
        tolerance = _CONSTANT_TOLERANCE.get(self.flat.dtype, _CONSTANT_TOLERANCE_SINGLE)
        largest = torch.maximum(self.minimum.abs(), self.maximum.abs())
        return (self.maximum - self.minimum) <= tolerance * largest

    @cached_property
    def undefined(self) -> Tensor:
        """Maps without a range to normalise by, constant or not finite: bool (B,)."""
        return self.constant | ~self.finite

    @cached_property
    def moments(self) -> Moments:
        """Sums over each map."""
        scratch = self.scratch()
        sums = [_sums(self.shifted(part, scratch)) for part in self.chunks()]
        return Moments.of(self, torch.cat(sums, dim=1))


@dataclass(frozen=True)
class Moments:
    """Sums over each map after its minimum is subtracted.

    The minimum is one of the values, so no offset of the map can drown the squares: at worst, all other pixels at the
    maximum, N of the 2^52 steps of a double are lost.
    """

    mass: Tensor
    """Sum of the shifted map: float64 (B,)."""
    squares: Tensor
    """Sum of squared deviations from the mean: float64 (B,)."""
    unit: Tensor
    """Factor that gives the shifted map the sum 1: float64 (B,); 0 for a constant map."""

    @classmethod
    def of(cls, maps: Maps, sums: Tensor) -> Moments:
        """Moments from the sum and the sum of squares of the shifted maps, (2, B)."""
        mass, squares = sums.unbind(0)
        return cls(mass, squares - mass * mass / maps.pixels, torch.where(maps.constant, 0.0, 1 / mass))


@dataclass(frozen=True)
class PairStatistics:
    """Joint sums of a prediction and a target, from one pass over both."""

    prediction: Moments
    """Sums over the prediction."""
    target: Moments
    """Sums over the target."""
    covariance: Tensor
    """Sum of products of deviations from the means: float64 (B,)."""
    overlap: Tensor
    """Sum of the smaller of both maps, each of minimum 0 and sum 1; 0 if one is constant: float64 (B,)."""

    @classmethod
    def of(cls, prediction: Maps, target: Maps) -> PairStatistics:
        """Statistics of each pair of maps."""
        scratch = (prediction.scratch(), target.scratch())
        parts = [_pair_sums(prediction, target, part, scratch) for part in prediction.chunks()]
        sums = torch.cat(parts, dim=1)  # (6, B)
        p, g = Moments.of(prediction, sums[0:2]), Moments.of(target, sums[2:4])
        products, distance = sums[4:].unbind(0)
        # min(a, b) = (a + b - |a - b|) / 2, and a and b sum to 1; a constant map has no such scaling.
        overlap = torch.where(prediction.constant | target.constant, 0.0, 1 - distance / 2)
        return cls(p, g, products - p.mass * g.mass / prediction.pixels, overlap)


def _sums(shifted: Tensor) -> Tensor:
    """Sum and sum of squares of each row: (b, N) to (2, b)."""
    return torch.stack([shifted.sum(-1), row_dot(shifted, shifted)])


def _pair_sums(prediction: Maps, target: Maps, part: slice, scratch: tuple[Tensor, Tensor]) -> Tensor:
    """Sums of both shifted maps, their product's, and the distance of both at sum 1: (6, b)."""
    p, g = prediction.shifted(part, scratch[0]), target.shifted(part, scratch[1])  # (b, N)
    p_sums, g_sums, products = _sums(p), _sums(g), row_dot(p, g)
    difference = p.div_(p_sums[0, :, None]).sub_(g.div_(g_sums[0, :, None]))
    return torch.cat([p_sums, g_sums, products[None], difference.abs_().sum(-1)[None]])


def row_dot(left: Tensor, right: Tensor) -> Tensor:
    """Dot product of each float64 row, where BLAS's order of summation does no harm: (b, N) to (b,)."""
    return torch.matmul(left.unsqueeze(1), right.unsqueeze(2)).flatten()  # (b, 1, N) @ (b, N, 1)


def undefined_where(values: Tensor, condition: Tensor) -> Tensor:
    """Values with NaN where ``condition`` holds."""
    return values.masked_fill(condition, torch.nan)
