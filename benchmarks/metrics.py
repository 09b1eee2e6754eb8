"""Time of the saliency metrics against straightforward numpy loops, in turns, on one thread.

    python benchmarks/metrics.py [--frames 8] [--rounds 40]

The numpy side is written from the published definitions; its AUC is a loop over fixated values, as evaluation code of
the field computes it. The least time of each side counts. Aims: AUC-Judd in .33 of numpy's time, all four in .45.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import perf_counter

import numpy as np
import torch
from scipy.integrate import trapezoid
from torch import Tensor

from lightning_avsp.metrics import functional

HEIGHT, WIDTH, FIXATIONS = 224, 384, 50
FOUR = ("cc", "sim", "nss", "auc_judd")


def loop_cc(prediction: np.ndarray, target: np.ndarray) -> float:
    """Pearson's r of standardised maps."""
    prediction = (prediction - prediction.mean()) / prediction.std()
    target = (target - target.mean()) / target.std()
    return float(np.corrcoef(prediction.ravel(), target.ravel())[0, 1])


def loop_sim(prediction: np.ndarray, target: np.ndarray) -> float:
    """Histogram intersection of maps scaled to range 1, then to sum 1."""
    prediction = (prediction - prediction.min()) / (prediction.max() - prediction.min())
    target = (target - target.min()) / (target.max() - target.min())
    return float(np.minimum(prediction / prediction.sum(), target / target.sum()).sum())


def loop_nss(prediction: np.ndarray, fixations: np.ndarray) -> float:
    """Mean standardised value at the fixations."""
    standardised = (prediction - prediction.mean()) / prediction.std(ddof=1)
    return float(standardised[fixations > 0].mean())


def loop_auc_judd(prediction: np.ndarray, fixations: np.ndarray) -> float:
    """Trapezoids over thresholds at the fixated values, one pass over the map for each."""
    scaled = ((prediction - prediction.min()) / (prediction.max() - prediction.min())).ravel()
    thresholds = np.sort(scaled[fixations.ravel() > 0])[::-1]
    fixated, pixels = len(thresholds), scaled.size
    hits, alarms = np.zeros(fixated + 2), np.zeros(fixated + 2)
    hits[-1] = alarms[-1] = 1
    for index, threshold in enumerate(thresholds, start=1):
        hits[index] = index / fixated
        alarms[index] = ((scaled >= threshold).sum() - index) / (pixels - fixated)
    return float(trapezoid(hits, alarms))


def make_frames(frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """Smooth random predictions of 256 levels, ground truth and fixation maps (uint8), each (B, H, W)."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2 * frames, 9, 15, generator=generator)
    maps = functional.resize_bicubic(coarse, (HEIGHT, WIDTH)).clamp(0, 1)
    prediction = (maps[:frames] * 255).round() / 255
    order = torch.rand(frames, HEIGHT * WIDTH, generator=generator).argsort(dim=1)
    fixations = (order < FIXATIONS).view(frames, HEIGHT, WIDTH).to(torch.uint8)
    return prediction, (maps[frames:] * 255).round().to(torch.uint8), fixations


def compare(frames: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Milliseconds per frame of (ours, numpy) by metric."""
    prediction, target, fixations = make_frames(frames)
    p, g, f = prediction.numpy().astype(np.float64), target.numpy() / 255, fixations.numpy()
    loops: dict[str, Callable[[], object]] = {
        "cc": lambda: [loop_cc(*pair) for pair in zip(p, g, strict=True)],
        "sim": lambda: [loop_sim(*pair) for pair in zip(p, g, strict=True)],
        "nss": lambda: [loop_nss(*pair) for pair in zip(p, f, strict=True)],
        "auc_judd": lambda: [loop_auc_judd(*pair) for pair in zip(p, f, strict=True)],
    }
    found = {}
    for names in (*((name,) for name in FOUR), FOUR):
        sides = (
            lambda names=names: functional.saliency_scores(
                prediction, names=names, target=target, fixations=fixations
            ),
            lambda names=names: [loops[name]() for name in names],
        )
        least = [float("inf"), float("inf")]
        for number in range(rounds + 1):
            for index, side in enumerate(sides):
                start = perf_counter()
                side()
                if number:  # the first turn fills caches
                    least[index] = min(least[index], (perf_counter() - start) * 1e3 / frames)
        found[" ".join(names)] = least[0], least[1]
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Saliency metrics against straightforward numpy loops.")
    parser.add_argument("--frames", type=int, default=8, help="frames per call")
    parser.add_argument("--rounds", type=int, default=40, help="turns of each side")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{HEIGHT}x{WIDTH}, {FIXATIONS} fixations: ms a frame, ours and numpy, ratio")
    for name, (ours, loops) in compare(options.frames, options.rounds).items():
        print(f"{name:22}{ours:8.3f}{loops:8.3f}{ours / loops:8.2f}")


if __name__ == "__main__":
    main()
