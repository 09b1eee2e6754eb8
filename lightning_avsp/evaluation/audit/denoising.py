"""Use of the noisy map and t by a denoiser, diversity of its samples, and gain of each denoising step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Any, cast

import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_avsp.data.entries import VideoKey
from lightning_avsp.diffusion import SamplerStep, draw_noise, stable_seed
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.audit.data import AuditData
from lightning_avsp.evaluation.audit.report import (
    AuditReport,
    MapChange,
    check_finite,
    common_notes,
    difference,
    mean_difference,
    mean_value,
)
from lightning_avsp.evaluation.formatting import number, with_interval
from lightning_avsp.evaluation.statistics import Interval, bootstrap_mean
from lightning_avsp.metrics import SaliencyMetrics, ScoreTable
from lightning_avsp.metrics.functional import cc
from lightning_avsp.structures import Condition, DiffusionNetwork, SaliencyBatch
from lightning_avsp.tasks.loading import LoadedModel
from lightning_avsp.tasks.prediction import frame_keys, move_batch

METRICS = ("cc", "nss")
INPUTS = ("noise", "map", "t")
"""Inputs that are exchanged: the noise alone, the map under the noise, the step t."""
PRACTICALLY = 0.01
"""Mean change below which an input counts as unused, relative to the maps' standard deviation over pixels."""
ALIKE = 0.99
"""CC between samples above which they count as one map."""


@dataclass
class DenoisingAudit:
    """Measurements of a denoiser."""

    timesteps: tuple[int, ...]
    """Diffusion steps visited, from noisy to clean."""
    samples: int
    """Samples per clip."""
    videos: list[VideoKey] = field(default_factory=list)
    synthetic: list[str] = field(default_factory=list)
    frames: int = 0
    adaptive: bool = False
    """True if the network chooses a number of steps for each clip, which this audit overrides."""
    shifts: dict[tuple[int, str], MapChange] = field(default_factory=dict)
    """By (index of the step, input exchanged)."""
    spread: dict[VideoKey, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Standard deviation of a pixel over the samples, over that of the mean map over pixels; one value per clip."""
    agreement: dict[VideoKey, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Mean CC of pairs of samples; one value per clip."""
    identical: bool = True
    """True if all samples of every clip are the same to the last bit."""
    singles: list[ScoreTable] = field(default_factory=list)
    """Scores of one sample's x0 after each step."""
    means: list[ScoreTable] = field(default_factory=list)
    """Scores of the mean of all samples' x0 after each step."""

    def gain(self, last: int, first: int, metric: str, of_mean: bool = False) -> tuple[Interval, int]:
        """Return metric after step ``last`` minus after ``first``: mean over videos, interval, number of videos."""
        tables = self.means if of_mean else self.singles
        return mean_difference(tables[last], tables[first], metric, self.videos)

    def value(self, step: int, metric: str, of_mean: bool = False) -> float:
        """Return a metric after a step, mean over videos."""
        return mean_value((self.means if of_mean else self.singles)[step], metric, self.videos)

    def ignores(self, *inputs: str) -> bool:
        """Return True if no pixel of any prediction moves when any of these inputs is exchanged, at any step."""
        return all(shift.largest == 0 for (_, name), shift in self.shifts.items() if name in inputs)

    def over_videos(self, values: dict[VideoKey, list[float]]) -> Interval:
        """Return the mean over videos of means over clips, with its interval."""
        means = {"/".join(key): [v for v in found if v == v] for key, found in values.items()}
        return bootstrap_mean([[(key, sum(v) / len(v)) for key, v in means.items() if v]])

    def report(self) -> AuditReport:
        """Format the tables, notes, verdicts and record."""
        alike, spread = self.over_videos(self.agreement), self.over_videos(self.spread)
        verdicts = {
            "inputs": self._input_verdict(),
            "diversity": self._diversity_verdict(alike),
            "gain": self._gain_verdict(),
        }
        notes = [
            f"samples of a clip: CC between them {with_interval(alike)}, standard deviation of a pixel over them "
            f"{with_interval(spread)} of the maps' spread over pixels",
            *common_notes(self.frames, len(self.videos), self.synthetic),
            "exchanged at each visited step, on noised target maps: noise = another noise on the same map; map = the "
            "mirrored map under the same noise; t = a step half the process away",
        ]
        if self.adaptive:
            notes.append(
                "the network chooses a number of steps for each clip; here every clip takes the same"
            )
        steps, inputs, gains = [], [], []
        for index, t in enumerate(self.timesteps):
            step: dict[str, Any] = {"step": index + 1, "t": t}
            moved, columns = {}, {"t": str(t)}
            for name in INPUTS:
                shift = self.shifts[index, name]
                step[f"exchanged_{name}"] = {k: getattr(shift, k) for k in ("mean", "relative", "largest")}
                text = f"{shift.mean:.2g} ({_percent(shift.relative)}; {shift.largest:.2g})"
                moved[name] = text if shift.largest else "exactly 0"
            for of_mean, metric in product((False, True), METRICS):
                key = f"{'mean' if of_mean else 'sample'}/{metric}"
                step[key], change = self.value(index, metric, of_mean), ""
                if index:
                    gain, videos = self.gain(index, index - 1, metric, of_mean)
                    step[f"{key}_gain"] = vars(gain) | {"videos": videos}
                    change = difference(gain)
                columns[f"{metric}, {'mean' if of_mean else 'one'}"] = f"{number(step[key])} {change:>23}"
            steps.append(step)
            inputs.append(moved)
            gains.append(columns)
        numbers = pd.Index([str(index + 1) for index in range(len(steps))])
        tables = {
            "mean change of a predicted pixel when one input is exchanged (over the maps' spread; largest)": (
                pd.DataFrame(inputs, index=list(map(str, self.timesteps))).rename_axis(columns="t")
            ),
            f"x0 after each step: one sample, and the mean of {self.samples}; gain over the step before": (
                pd.DataFrame(gains, index=numbers).rename_axis(columns="step")
            ),
        }
        record = {
            "synthetic": self.synthetic,
            "frames": self.frames,
            "videos": len(self.videos),
            "samples": self.samples,
            "samples_identical": self.identical,
            "adaptive_steps_overridden": self.adaptive,
            "cc_between_samples": vars(alike) | {"videos": len(self.videos)},
            "deviation_over_samples": vars(spread) | {"videos": len(self.videos)},
            "steps": steps,
            "verdicts": verdicts,
        }
        return AuditReport(record, tables, notes, list(verdicts.values()))

    def _input_verdict(self) -> str:
        """Describe the use of noisy map and t in one sentence."""
        # exactly, to the last bit: a practical zero is another finding
        if self.ignores(*INPUTS):
            return (
                "the output is exactly independent of the noisy map and of t: a regressor; more steps and more samples "
                "change nothing"
            )
        if self.ignores("noise", "map"):
            return "the output is exactly independent of the noisy map: a regressor, whose map depends on t alone"
        used = {
            name: max(shift.relative for (_, exchanged), shift in self.shifts.items() if exchanged == name)
            for name in INPUTS
        }
        noisy = max(used["noise"], used["map"])
        first = f"the output uses the noisy map (up to {_percent(noisy)} of the maps' spread)"
        if noisy < PRACTICALLY:
            first = (
                f"the output practically ignores the noisy map (at most {_percent(noisy)} of the maps' spread): close "
                "to a regressor"
            )
        if self.ignores("t"):
            return f"{first}; it is exactly independent of t"
        if used["t"] < PRACTICALLY:
            return f"{first}; it practically ignores t (at most {_percent(used['t'])})"
        return f"{first} and t (up to {_percent(used['t'])})"

    def _diversity_verdict(self, alike: Interval) -> str:
        """Describe the difference of a clip's samples in one sentence."""
        if self.identical:
            return f"all {self.samples} samples of every clip are the same map, to the last bit"
        text = f"CC between samples of a clip {with_interval(alike)}"
        if alike.mean >= ALIKE:
            return f"the samples are nearly one map ({text}): averaging them gains little"
        return f"the samples differ ({text}): one sample is not the model's expectation, average several"

    def _gain_verdict(self) -> str:
        """Describe the gain of the steps after the first in one sentence."""
        last = len(self.timesteps) - 1
        if last == 0:
            return "one step: there is no gain to measure, give --steps to visit more"
        sentences = []
        for of_mean, title in ((False, "of one sample"), (True, f"of the mean of {self.samples} samples")):
            found, _ = self.gain(last, 0, "cc", of_mean)
            direction = "denoising raises" if found.low > 0 else "no change is shown in"
            if found.mean == found.low == found.high == 0:
                direction = "nothing changes in"
            elif found.high < 0:
                direction = "denoising lowers"
            sentences.append(f"{direction} CC {title} ({difference(found)})")
        return f"from step 1 to step {last + 1}: " + "; ".join(sentences)


def _percent(share: float) -> str:
    """Format a share with two digits, however small: ``0.0021 %``."""
    return f"{100 * share:.2g} %"


@torch.inference_mode()
def audit_denoising(
    model: LoadedModel,
    data: AuditData,
    samples: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> DenoisingAudit:
    """Sample maps of test videos, exchange the denoiser's inputs one by one, and score every step.

    Inputs are exchanged on noised target maps, at each step that sampling visits: another noise on the same map; the
    mirrored map under the same noise; the same noisy map at a step half the process away.

    Args:
        model: The model.
        data: The videos.
        samples: Samples per clip, at least 2.
        progress: Called with clips done and clips in all.

    Raises:
        InputError: If there are fewer than 2 samples, the network is no denoiser, or the data cannot be read.
    """
    if samples < 2:
        raise InputError(f"diversity needs at least 2 samples per clip, got {samples}")
    if model.sampling is None or model.diffusion is None:
        name = type(model.network).__name__
        raise InputError(
            f"{name} predicts in one pass: there is no denoising to audit; choose a diffusion network"
        )
    audit = DenoisingAudit(tuple(model.sampling.timesteps(model.diffusion)), samples)
    module = data.module(model)
    module.setup("test")
    loader: DataLoader[SaliencyBatch] = module.test_dataloader()
    scores = [[SaliencyMetrics(METRICS) for _ in audit.timesteps] for _ in range(2)]
    for loaded in loader:
        # one condition for all exchanges and samples: the encoders are most of the cost
        batch = move_batch(loaded, model.device)
        condition = model.encode(model.inputs(batch))
        assert isinstance(condition, Condition)
        _exchange(audit, model, condition, batch)
        _sample(audit, model, condition, batch, scores)
        audit.frames += len(batch["corpus"])
        if progress is not None:
            progress(audit.frames, len(loader.dataset))  # type: ignore[arg-type]
    audit.singles, audit.means = ([metric.table() for metric in column] for column in scores)
    audit.videos = module.videos("test")
    audit.synthetic = module.synthetic
    return audit


def _exchange(audit: DenoisingAudit, model: LoadedModel, condition: Condition, batch: SaliencyBatch) -> None:
    """Exchange noise, map and t, one at a time, at each step."""
    network, diffusion = cast(DiffusionNetwork, model.network), model.diffusion
    assert diffusion is not None
    # a network that chooses its steps by clip could not be compared step by step
    audit.adaptive |= network.denoising_steps(condition) is not None
    # the target as it was noised in training: a sampled map would carry the model's own errors
    clean = batch["saliency"].float() / 255  # (B, 1, H, W)

    def noise(number: int) -> Tensor:
        # by frame, so that the batch size changes nothing
        seeds = [stable_seed(model.seed, "exchange", number, *key) for key in frame_keys(batch)]
        return draw_noise(clean.shape, [torch.Generator("cpu").manual_seed(s) for s in seeds], clean.device)

    def predict(noisy: Tensor, t: int) -> Tensor:
        steps = torch.full((len(noisy),), t, dtype=torch.int64, device=noisy.device)
        return network.denoise(noisy, steps, condition).float()

    def noised(maps: Tensor, t: int, noise: Tensor) -> Tensor:
        steps = torch.full((len(maps),), t, device=maps.device)
        return diffusion.q_sample(diffusion.to_signal(maps), steps, noise)

    first, second = noise(0), noise(1)
    for index, t in enumerate(audit.timesteps):
        noisy = noised(clean, t, first)
        base = predict(noisy, t)
        check_finite(base, batch, f"t={t}")
        changed = {
            "noise": predict(noised(clean, t, second), t),
            # mirrored: another map of the same statistics
            "map": predict(noised(clean.flip(-1), t, first), t),
            # half the process away: as wrong as a step can be
            "t": predict(noisy, (t + diffusion.num_steps // 2) % diffusion.num_steps),
        }
        for name, maps in changed.items():
            audit.shifts.setdefault((index, name), MapChange()).add(maps, base)


def _sample(
    audit: DenoisingAudit,
    model: LoadedModel,
    condition: Condition,
    batch: SaliencyBatch,
    scores: list[list[SaliencyMetrics]],
) -> None:
    """Sample maps, score x0 after every step, and compare the samples."""
    clips = len(batch["corpus"])

    def score(step: SamplerStep) -> None:
        found = step.x0.unflatten(0, (clips, audit.samples)).clamp(0, 1)  # (B, n, 1, H, W)
        for column, maps in zip(scores, (found[:, 0], found.mean(dim=1)), strict=True):
            column[step.index].update(
                maps[:, 0], batch["ground_truth"], batch["fixations"], frame_keys(batch)
            )

    samples = model.sample(condition, batch, samples=audit.samples, average=False, callback=score)
    samples = samples.clamp(0, 1)
    audit.identical &= bool((samples == samples[:, :1]).all())
    # over that of the mean map: a pixel's deviation alone depends on the map's range
    spread = samples.std(dim=1).mean(dim=(1, 2, 3)) / samples.mean(dim=1).std(dim=(1, 2, 3)).clamp(min=1e-12)
    pairs = [cc(samples[:, i, 0], samples[:, j, 0]) for i, j in combinations(range(audit.samples), 2)]
    agreement = torch.stack(pairs).mean(dim=0)  # (B,)
    for (corpus, video, _), wide, alike in zip(
        frame_keys(batch), spread.tolist(), agreement.tolist(), strict=True
    ):
        audit.spread[corpus, video].append(wide)
        audit.agreement[corpus, video].append(alike)
