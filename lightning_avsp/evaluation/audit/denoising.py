"""How much a denoiser uses its noisy map and t, how its samples differ, and what each denoising step gains."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_avsp.data.entries import VideoKey
from lightning_avsp.diffusion import SamplerStep, draw_noise, stable_seed
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.audit.differences import mean_difference, mean_value
from lightning_avsp.evaluation.audit.draws import draw_maps, on_device
from lightning_avsp.evaluation.audit.subject import AuditData, Subject
from lightning_avsp.evaluation.statistics import Interval, bootstrap_mean
from lightning_avsp.metrics import SaliencyMetrics, ScoreTable
from lightning_avsp.metrics.functional import cc
from lightning_avsp.structures import Condition, SaliencyBatch

METRICS = ("cc", "nss")
INPUTS = ("noise", "map", "t")
"""What is exchanged: the noise alone, the map under the noise, the step t."""


@dataclass
class Shift:
    """How far the prediction moves when one input is exchanged; in units of the map's range [0, 1]."""

    largest: float = 0.0
    """Of any pixel; exactly 0 for a network that ignores the input."""
    total: float = 0.0
    spread: float = 0.0
    clips: int = 0

    @property
    def mean(self) -> float:
        """Mean absolute change of a pixel."""
        return self.total / max(1, self.clips)

    @property
    def relative(self) -> float:
        """The mean change over the predicted maps' own standard deviation over pixels; 0 where nothing moves."""
        return 0.0 if self.total == 0 else self.total / max(self.spread, 1e-12)

    def add(self, moved: Tensor, base: Tensor) -> None:
        """Take in predictions (B, 1, H, W) with an exchanged input and as they were."""
        change = (moved - base).abs()
        self.largest = max(self.largest, float(change.max()))
        self.total += float(change.mean(dim=(1, 2, 3)).sum())
        self.spread += float(base.std(dim=(1, 2, 3)).sum())
        self.clips += len(base)


@dataclass
class DenoisingAudit:
    """What was measured."""

    timesteps: tuple[int, ...]
    """Diffusion steps visited, from noisy to clean."""
    samples: int
    """Draws per clip."""
    metrics: tuple[str, ...] = METRICS
    videos: list[VideoKey] = field(default_factory=list)
    synthetic: list[str] = field(default_factory=list)
    frames: int = 0
    shifts: dict[tuple[int, str], Shift] = field(default_factory=dict)
    """By (place of the step, input exchanged)."""
    spread: dict[VideoKey, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Standard deviation of a pixel over the draws, over that of the mean map over pixels; one value per clip."""
    agreement: dict[VideoKey, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Mean CC of pairs of draws; one value per clip."""
    identical: bool = True
    """Whether all draws of every clip are the same to the last bit."""
    draws: list[ScoreTable] = field(default_factory=list)
    """Scores of one draw's x0 after each step."""
    means: list[ScoreTable] = field(default_factory=list)
    """Scores of the mean of all draws' x0 after each step."""

    def gain(self, last: int, first: int, metric: str, of_mean: bool = False) -> tuple[Interval, int]:
        """Metric after step ``last`` minus after step ``first``: mean over videos, interval, videos counted."""
        tables = self.means if of_mean else self.draws
        return mean_difference(tables[last], tables[first], metric, self.videos)

    def value(self, step: int, metric: str, of_mean: bool = False) -> float:
        """Metric after a step, mean over videos."""
        return mean_value((self.means if of_mean else self.draws)[step], metric, self.videos)

    def ignores(self, *inputs: str) -> bool:
        """Whether no pixel of any prediction moves when any of these inputs is exchanged, at any step."""
        return all(shift.largest == 0 for (_, name), shift in self.shifts.items() if name in inputs)

    def over_videos(self, values: dict[VideoKey, list[float]]) -> Interval:
        """Mean over videos of means over clips, with its interval."""
        means = {"/".join(key): [v for v in found if v == v] for key, found in values.items()}
        return bootstrap_mean([[(key, sum(v) / len(v)) for key, v in means.items() if v]], seed=0)


@torch.inference_mode()
def audit_denoising(
    subject: Subject,
    data: AuditData,
    samples: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> DenoisingAudit:
    """Draw maps of test videos, exchange the denoiser's inputs one by one, and score every step.

    Inputs are exchanged on noised target maps, at each step that sampling visits: another draw of noise on the
    same map; the mirrored map under the same noise; the same noisy map at a step half the process away.

    Args:
        subject: The model.
        data: The videos.
        samples: Draws per clip, at least 2.
        progress: Called with clips done and clips in all.

    Raises:
        InputError: If there are fewer than 2 samples or the data cannot be read.
    """
    if samples < 2:
        raise InputError(f"diversity needs at least 2 samples per clip, got {samples}")
    model = subject.model
    audit = DenoisingAudit(tuple(model.sampling.timesteps(model.diffusion)), samples)
    module = data.module(model)
    module.setup("test")
    loader: DataLoader[SaliencyBatch] = module.test_dataloader()
    device = next((p.device for p in model.network.parameters()), torch.device("cpu"))
    scores = [[SaliencyMetrics(METRICS) for _ in audit.timesteps] for _ in range(2)]
    for batch in loader:
        moved = on_device(batch, device)
        condition = model.network.encode(model.network.normalize_video(moved["video"]), moved["audio"])
        _exchange(audit, subject, condition, moved)
        _sample(audit, subject, condition, moved, scores)
        audit.frames += len(batch["corpus"])
        if progress is not None:
            progress(audit.frames, len(loader.dataset))  # type: ignore[arg-type]
    audit.draws, audit.means = ([metric.table() for metric in column] for column in scores)
    audit.videos = module.videos("test")
    audit.synthetic = module.synthetic
    return audit


def _exchange(audit: DenoisingAudit, subject: Subject, condition: Condition, batch: SaliencyBatch) -> None:
    """Exchange noise, map and t, one at a time, at each step."""
    network, diffusion = subject.model.network, subject.model.diffusion
    clean = batch["saliency"].float() / 255  # (B, 1, H, W)
    names = list(zip(batch["corpus"], batch["video_id"], batch["frame"].tolist(), strict=True))
    first, second = (
        draw_noise(
            clean.shape,
            [
                torch.Generator("cpu").manual_seed(stable_seed(subject.seed, "exchange", draw, *name))
                for name in names
            ],
            clean.device,
        )
        for draw in range(2)
    )

    def predict(noisy: Tensor, t: int) -> Tensor:
        steps = torch.full((len(noisy),), t, dtype=torch.int64, device=noisy.device)
        return network.denoise(noisy, steps, condition).float()

    def noised(maps: Tensor, t: int, noise: Tensor) -> Tensor:
        steps = torch.full((len(maps),), t, device=maps.device)
        return diffusion.q_sample(diffusion.to_signal(maps), steps, noise)

    for place, t in enumerate(audit.timesteps):
        noisy = noised(clean, t, first)
        base = predict(noisy, t)
        if not bool(base.isfinite().all()):  # or a comparison with nothing would pass for no change
            raise InputError(
                f"the model predicts not-a-number among frames {names[0]} to {names[-1]} at t={t}; "
                "its training diverged, audit another checkpoint"
            )
        changed = {
            "noise": predict(noised(clean, t, second), t),
            "map": predict(noised(clean.flip(-1), t, first), t),
            "t": predict(noisy, (t + diffusion.num_steps // 2) % diffusion.num_steps),
        }
        for name, maps in changed.items():
            audit.shifts.setdefault((place, name), Shift()).add(maps, base)


def _sample(
    audit: DenoisingAudit,
    subject: Subject,
    condition: Condition,
    batch: SaliencyBatch,
    scores: list[list[SaliencyMetrics]],
) -> None:
    """Draw maps, score x0 after every step, and compare the draws."""
    clips = len(batch["corpus"])
    keys = list(zip(batch["corpus"], batch["video_id"], batch["frame"].tolist(), strict=True))

    def score(step: SamplerStep) -> None:
        draws = step.x0.unflatten(0, (clips, audit.samples)).clamp(0, 1)  # (B, n, 1, H, W)
        for column, maps in zip(scores, (draws[:, 0], draws.mean(dim=1)), strict=True):
            column[step.index].update(maps[:, 0], batch["ground_truth"], batch["fixations"], keys)

    draws = draw_maps(subject, condition, batch, len(audit.timesteps), audit.samples, score).clamp(0, 1)
    audit.identical &= bool((draws == draws[:, :1]).all())
    spread = draws.std(dim=1).mean(dim=(1, 2, 3)) / draws.mean(dim=1).std(dim=(1, 2, 3)).clamp(min=1e-12)
    pairs = [cc(draws[:, i, 0], draws[:, j, 0]) for i, j in combinations(range(audit.samples), 2)]
    agreement = torch.stack(pairs).mean(dim=0)  # (B,)
    for (corpus, video, _), wide, alike in zip(keys, spread.tolist(), agreement.tolist(), strict=True):
        audit.spread[corpus, video].append(wide)
        audit.agreement[corpus, video].append(alike)
