"""Continuous saliency from positions: a sum of Gaussians, one for each observer, scaled to a peak of 255."""

from __future__ import annotations

import numpy as np


def gaussian_sum(points: np.ndarray, size: tuple[int, int], sigma: tuple[float, float]) -> np.ndarray:
    r"""Sum of Gaussians at the pixels' centres.

    .. math:: m_{rc} = \sum_i \exp\left(-\frac{(r + 0.5 - y_i H)^2}{2 \sigma_r^2}
              - \frac{(c + 0.5 - x_i W)^2}{2 \sigma_c^2}\right)

    Nothing is cut off: a Gaussian reaches over the whole map, and what lies beside it is lost.

    Args:
        points: Positions as shares of the video, float64 (N, 2), (x, y).
        size: (H, W) of the map.
        sigma: Standard deviation in (rows, columns).

    Returns:
        float64 (H, W), zero where there is no point.
    """
    rows = (np.arange(size[0]) + 0.5 - points[:, 1:] * size[0]) / sigma[0]  # (N, H)
    columns = (np.arange(size[1]) + 0.5 - points[:, :1] * size[1]) / sigma[1]  # (N, W)
    return np.exp(-(rows**2) / 2).T @ np.exp(-(columns**2) / 2)  # separable: (H, N) @ (N, W)


def as_image(density: np.ndarray) -> np.ndarray:
    """Density as uint8 with a peak of 255; all zero stays all zero."""
    peak = density.max()
    return np.zeros(density.shape, np.uint8) if peak <= 0 else np.round(density / peak * 255).astype(np.uint8)


def fixated_pixels(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Matrix of fixated pixels: uint8 (H, W), 1 where a point lies; two points in one pixel are one.

    Args:
        points: Positions as shares of the video, 0 to below 1, float64 (N, 2), (x, y).
        size: (H, W).
    """
    matrix = np.zeros(size, np.uint8)
    # A share just below 1 times a size can round up to it.
    rows = np.minimum((points[:, 1] * size[0]).astype(np.int64), size[0] - 1)
    columns = np.minimum((points[:, 0] * size[1]).astype(np.int64), size[1] - 1)
    matrix[rows, columns] = 1
    return matrix
