"""Comparison of results that several orders of operations lead to, in the precision that they have."""

import torch
from torch import Tensor

METRIC = 1e-10
"""Tolerance of a metric or a map, of size 1, in double precision: sums of up to 180,000 pixels, each off by 1e-16."""
HALF = 2**-11
"""Tolerance of values below 1 that were stored in half precision: one of its steps, if they were rounded apart."""
NETWORK = 1e-4
"""Tolerance of maps in [0, 1] in single precision, of a network whose batches had other sizes: some thousand operations
in a row, 6e-8 each; the map of another clip is farther off."""
LOG_MEL = 2e-4
"""Tolerance of float32 log-mel values of sound below 1: a transform of 512 values in nine levels and a sum over a band,
6e-8 of a window's norm of up to 10 each, beside the 0.01 inside of the logarithm."""


def assert_close(found: Tensor, expected: Tensor, operations: int) -> None:
    """Assert that two results differ by the rounding of so many operations in a row, at most.

    A sum of n terms, in whatever order, is off by n roundings of its largest partial sum at most, and a rounding is
    half of the spacing ``eps``: the tolerance is ``operations * eps`` times the largest value that is expected.
    """
    assert found.dtype == expected.dtype
    scale = expected.abs().max().item()
    tolerance = operations * torch.finfo(found.dtype).eps * scale
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
