"""Time of the saliency metrics against straightforward numpy code, as a ratio measured in turns.

    python benchmarks/metrics.py [--frames 8] [--rounds 40] [--json FILE]

224x384 maps, 50 fixations, one thread. Both sides take turns frame batch by frame batch, so that whatever
else runs on the machine slows both; the least time of each is compared. The numpy side is written from the
published definitions, the AUC as a loop over fixated values, which is how evaluation code of this field
computes it (without its tie-breaking noise, whose generation would only make it slower; ``auc_judd+jitter``
has it).
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
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


def loop_auc_judd(
    prediction: np.ndarray, fixations: np.ndarray, jitter: np.random.Generator | None = None
) -> float:
    """Trapezoids over thresholds at the fixated values, one pass over the map for each."""
    if jitter is not None:
        prediction = prediction + jitter.random(prediction.shape) * 1e-7
    scaled = ((prediction - prediction.min()) / (prediction.max() - prediction.min())).ravel()
    thresholds = np.sort(scaled[fixations.ravel() > 0])[::-1]
    fixated, pixels = len(thresholds), scaled.size
    true_positives, false_positives = np.zeros(fixated + 2), np.zeros(fixated + 2)
    true_positives[-1] = false_positives[-1] = 1
    for index, threshold in enumerate(thresholds, start=1):
        above = (scaled >= threshold).sum()
        true_positives[index] = index / fixated
        false_positives[index] = (above - index) / (pixels - fixated)
    return float(np.trapezoid(true_positives, false_positives))


def make_frames(frames: int, levels: int | None, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Smooth random predictions (float32), ground truth and fixation maps (uint8), each (B, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(2 * frames, 9, 15, generator=generator)
    maps = functional.resize_bicubic(coarse, (HEIGHT, WIDTH)).clamp(0, 1)
    prediction = maps[:frames].float()
    if levels is not None:
        prediction = (prediction * (levels - 1)).round() / (levels - 1)
    target = (maps[frames:] * 255).round().to(torch.uint8)
    fixations = torch.zeros(frames, HEIGHT * WIDTH, dtype=torch.uint8)
    for row in fixations:
        row[torch.randperm(HEIGHT * WIDTH, generator=generator)[:FIXATIONS]] = 1
    return prediction, target, fixations.view(frames, HEIGHT, WIDTH)


def contenders(
    prediction: Tensor, target: Tensor, fixations: Tensor
) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """Name to (ours, straightforward numpy) for one batch of frames."""
    p = prediction.numpy().astype(np.float64)
    g = target.numpy() / 255
    f = fixations.numpy()
    generator = np.random.default_rng(0)

    def each(metric: Callable[..., float], *maps: np.ndarray) -> Callable[[], object]:
        return lambda: [metric(*frame) for frame in zip(*maps, strict=True)]

    loops = {
        "cc": each(loop_cc, p, g),
        "sim": each(loop_sim, p, g),
        "nss": each(loop_nss, p, f),
        "auc_judd": each(loop_auc_judd, p, f),
    }
    ours = {
        "cc": lambda: functional.cc(prediction, target),
        "sim": lambda: functional.sim(prediction, target),
        "nss": lambda: functional.nss(prediction, fixations),
        "auc_judd": lambda: functional.auc_judd(prediction, fixations),
    }
    pairs = {name: (ours[name], loops[name]) for name in FOUR}
    jittered = each(lambda a, b: loop_auc_judd(a, b, generator), p, f)
    pairs["auc_judd+jitter"] = (ours["auc_judd"], jittered)
    pairs["all four"] = (
        lambda: functional.saliency_scores(prediction, names=FOUR, target=target, fixations=fixations),
        lambda: [loops[name]() for name in FOUR],
    )
    return pairs


def measure(frames: int = 8, rounds: int = 40, levels: int | None = 256) -> dict[str, dict[str, float]]:
    """Milliseconds per frame of both sides and their ratio, for every metric.

    Args:
        frames: Frames per call.
        rounds: Calls of each side, taken in turns; the least time counts.
        levels: Distinct values of the predictions (256: what an 8-bit file holds), or None for continuous
            ones.
    """
    results = {}
    for name, sides in contenders(*make_frames(frames, levels)).items():
        least = [float("inf"), float("inf")]
        for side in sides:
            side()  # caches and allocations
        for _ in range(rounds):
            for index, side in enumerate(sides):
                start = perf_counter()
                side()
                least[index] = min(least[index], (perf_counter() - start) * 1e3 / frames)
        results[name] = {"ours_ms": least[0], "numpy_ms": least[1], "ratio": least[0] / least[1]}
    return results


def main() -> None:
    """Measure, print a table, and write JSON if asked."""
    parser = argparse.ArgumentParser(description="Saliency metrics against straightforward numpy loops.")
    parser.add_argument("--frames", type=int, default=8, help="frames per call")
    parser.add_argument(
        "--rounds", type=int, default=40, help="turns that each side gets; the least time counts"
    )
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = {
        kind: measure(options.frames, options.rounds, levels)
        for kind, levels in {"8-bit maps": 256, "float maps": None}.items()
    }
    print(f"{HEIGHT}x{WIDTH}, {FIXATIONS} fixations, one thread, ms per frame, least of {options.rounds}")
    for kind, rows in results.items():
        print(f"\n{kind:18}{'ours':>8}{'numpy':>8}{'ratio':>8}")
        for name, row in rows.items():
            print(f"{name:18}{row['ours_ms']:8.3f}{row['numpy_ms']:8.3f}{row['ratio']:8.2f}")
    if options.json is not None:
        machine = {"processor": platform.processor(), "torch": torch.__version__, "numpy": np.__version__}
        report = {"machine": machine, "frames": options.frames, "rounds": options.rounds, "results": results}
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
