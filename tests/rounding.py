"""Comparison of results that several orders of operations lead to, in the precision that they have."""

import torch
from torch import Tensor

METRIC = 1e-10
"""Tolerance of a metric, of size 1, in double precision: sums of up to 180,000 pixels, each off by 1e-16 at most."""


def assert_close(found: Tensor, expected: Tensor, operations: int) -> None:
    """Assert that two results differ by the rounding of so many operations in a row, at most.

    A sum of n terms, in whatever order, is off by n roundings of its largest partial sum at most, and a rounding is
    half of the spacing ``eps``: the tolerance is ``operations * eps`` times the largest value that is expected.
    """
    assert found.dtype == expected.dtype
    scale = expected.abs().max().item()
    tolerance = operations * torch.finfo(found.dtype).eps * scale
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
