"""Time of the saliency metrics against straightforward numpy code, and, on a GPU, against a model's test pass.

Both sides take turns frame batch by frame batch, so that whatever else runs on the machine slows both; the least time
of each is compared. The numpy side is written from the published definitions, the AUC as a loop over fixated values,
which is how evaluation code of this field computes it (without its tie-breaking noise, whose generation would only make
it slower; ``auc_judd+jitter`` has it).
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lightning_avsp.metrics import functional

if TYPE_CHECKING:
    from rich.console import Console

    from lightning_avsp.structures import DiffusionNetwork

HEIGHT, WIDTH, FIXATIONS = 224, 384, 50
FOUR = ("cc", "sim", "nss", "auc_judd")
TARGETS = {"auc_judd": 0.33, "all four": 0.45}
"""Largest share of numpy's time that is accepted."""
SHARE_OF_TEST_PASS = 0.05
"""Largest share of a test pass that metrics may take on a GPU."""

Row = dict[str, float]


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


def make_frames(
    frames: int, levels: int | None, seed: int = 0, size: tuple[int, int] = (HEIGHT, WIDTH)
) -> tuple[Tensor, Tensor, Tensor]:
    """Smooth random predictions (float32), ground truth and fixation maps (uint8), each (B, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(2 * frames, 9, 15, generator=generator)
    maps = functional.resize_bicubic(coarse, size).clamp(0, 1)
    prediction = maps[:frames].float()
    if levels is not None:
        prediction = (prediction * (levels - 1)).round() / (levels - 1)
    target = (maps[frames:] * 255).round().to(torch.uint8)
    pixels = size[0] * size[1]
    fixations = torch.zeros(frames, pixels, dtype=torch.uint8)
    for row in fixations:
        row[torch.randperm(pixels, generator=generator)[:FIXATIONS]] = 1
    return prediction, target, fixations.view(frames, *size)


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
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        name: (ours[name], loops[name]) for name in FOUR
    }
    jittered = each(lambda a, b: loop_auc_judd(a, b, generator), p, f)
    pairs["auc_judd+jitter"] = (ours["auc_judd"], jittered)
    pairs["all four"] = (
        lambda: functional.saliency_scores(prediction, names=FOUR, target=target, fixations=fixations),
        lambda: [loops[name]() for name in FOUR],
    )
    return pairs


def measure(
    frames: int = 8, rounds: int = 40, levels: int | None = 256, size: tuple[int, int] = (HEIGHT, WIDTH)
) -> dict[str, Row]:
    """Milliseconds per frame of both sides and their ratio, for every metric.

    Args:
        frames: Frames per call.
        rounds: Calls of each side, taken in turns; the least time counts.
        levels: Distinct values of the predictions (256: what an 8-bit file holds), or None for continuous
            ones.
        size: Rows and columns of the maps.
    """
    results = {}
    for name, sides in contenders(*make_frames(frames, levels, size=size)).items():
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


def measure_kinds(
    frames: int = 8, rounds: int = 40, size: tuple[int, int] = (HEIGHT, WIDTH)
) -> dict[str, dict[str, Row]]:
    """:func:`measure` for maps of 256 levels and for continuous ones, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        kinds = {"8-bit maps": 256, "float maps": None}
        return {kind: measure(frames, rounds, levels, size) for kind, levels in kinds.items()}
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class PassTimes:
    """What metrics cost beside the network they score."""

    device: str
    batch: int
    steps: int
    """Denoising steps."""
    metrics_ms: float
    """All four metrics of a batch, maps and ground truth on the device, values back on the host."""
    network_ms: float
    """Encoding the batch once and denoising it."""

    @property
    def frames_per_second(self) -> float:
        """Frames scored per second."""
        return self.batch / self.metrics_ms * 1e3

    @property
    def share(self) -> float:
        """Metrics' share of a test pass."""
        return self.metrics_ms / (self.metrics_ms + self.network_ms)


def measure_test_pass(
    network: DiffusionNetwork,
    device: torch.device,
    video_size: tuple[int, int] = (HEIGHT, WIDTH),
    audio_size: tuple[int, int] = (112, 192),
    batch: int = 32,
    steps: int = 4,
    rounds: int = 10,
) -> PassTimes:
    """Time of the metrics and of the network on the same batch, in turns; the least of each counts.

    Args:
        network: Network to test, its weights do not matter.
        device: Where to run.
        video_size: Rows and columns of frames, maps and ground truth.
        audio_size: Rows and columns of a log-mel slice.
        batch: Clips, and so maps, at a time.
        steps: Denoising steps.
        rounds: Turns.
    """
    from lightning_avsp.diffusion import GaussianDiffusion, Sampling

    network = network.to(device).eval()
    prediction, target, fixations = (one.to(device) for one in make_frames(batch, None, size=video_size))
    video = torch.zeros(batch, network.clip_frames, *video_size, 3, dtype=torch.uint8, device=device)
    audio = torch.zeros(batch, 1, 9, *audio_size, device=device)
    diffusion, sampling = GaussianDiffusion(), Sampling(steps=steps)

    def score() -> None:
        functional.saliency_scores(prediction, names=FOUR, target=target, fixations=fixations)["cc"].tolist()

    @torch.no_grad()
    def predict() -> None:
        condition = network.encode(network.normalize_video(video), audio)
        sampling.draw(
            lambda x, t: network.denoise(x, t, condition).float(),
            (batch, 1, *video_size),
            diffusion,
            device=device,
        ).sum().item()  # waits for the device

    least = {}
    for name, side in (("metrics", score), ("network", predict)):
        side()
        least[name] = float("inf")
    for _ in range(rounds):
        for name, side in (("metrics", score), ("network", predict)):
            start = perf_counter()
            side()
            least[name] = min(least[name], (perf_counter() - start) * 1e3)
    return PassTimes(str(device), batch, steps, least["metrics"], least["network"])


def report(
    kinds: Mapping[str, Mapping[str, Row]], test_pass: PassTimes | None, frames: int, rounds: int
) -> dict[str, Any]:
    """Everything measured, for JSON."""
    return {
        "machine": {"processor": platform.processor(), "torch": torch.__version__, "numpy": np.__version__},
        "size": [HEIGHT, WIDTH],
        "fixations": FIXATIONS,
        "frames": frames,
        "rounds": rounds,
        "targets": TARGETS,
        "results": kinds,
        "test_pass": None
        if test_pass is None
        else {
            **asdict(test_pass),
            "frames_per_second": test_pass.frames_per_second,
            "share": test_pass.share,
            "target": SHARE_OF_TEST_PASS,
        },
    }


def print_report(
    kinds: Mapping[str, Mapping[str, Row]], test_pass: PassTimes | None, rounds: int, console: Console
) -> None:
    """The measured times as one table per kind of map, with the targets."""
    from rich.table import Table

    for kind, rows in kinds.items():
        title = (
            f"{kind}, {HEIGHT}x{WIDTH}, {FIXATIONS} fixations, one thread: ms per frame, least of {rounds}"
        )
        table = Table(title=title)
        for column in ("", "ours", "numpy", "ratio", "target"):
            table.add_column(column, justify="right" if column else "left")
        for name, row in rows.items():
            target = TARGETS.get(name)
            verdict = "" if target is None else f"<= {target} {'met' if row['ratio'] <= target else 'MISSED'}"
            table.add_row(
                name, f"{row['ours_ms']:.3f}", f"{row['numpy_ms']:.3f}", f"{row['ratio']:.2f}", verdict
            )
        console.print(table)
    if test_pass is None:
        console.print("no GPU here: frames per second and the share of a test pass were not measured")
        return
    met = "met" if test_pass.share <= SHARE_OF_TEST_PASS else "MISSED"
    console.print(
        f"{test_pass.device}, batch {test_pass.batch}: {test_pass.frames_per_second:.0f} frames/s; metrics take "
        f"{test_pass.share:.1%} of a DiffSal test pass of {test_pass.steps} steps "
        f"(target <= {SHARE_OF_TEST_PASS:.0%}: {met})"
    )
