"""How much a model listens: the same videos with true, missing, shifted and foreign sound."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from lightning_avsp.data.entries import VideoKey
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.audit.differences import mean_difference, mean_value
from lightning_avsp.evaluation.audit.draws import Setting, maps_by_setting, on_device, settings_of
from lightning_avsp.evaluation.audit.sounds import (
    OTHER,
    TRUE,
    WITHOUT,
    HeardFrames,
    Sound,
    heard_loader,
    sounds_of,
)
from lightning_avsp.evaluation.audit.subject import AuditData, Subject, video_groups
from lightning_avsp.evaluation.statistics import Interval
from lightning_avsp.metrics import SaliencyMetrics, ScoreTable
from lightning_avsp.structures import Condition, SaliencyBatch

LEAST = 0.01
"""Smallest difference in CC that counts as listening."""


@dataclass
class Change:
    """How far maps move when nothing but the sound changes; in units of the map's range [0, 1]."""

    largest: float = 0.0
    """Of any pixel of any map; exactly 0 where sound has no part in the maps."""
    total: float = 0.0
    pixels: int = 0

    @property
    def mean(self) -> float:
        """Mean over all pixels."""
        return self.total / max(1, self.pixels)

    def add(self, maps: Tensor, true: Tensor) -> None:
        """Take in maps and those with true sound."""
        moved = (maps - true).abs()
        self.largest = max(self.largest, float(moved.max()))
        self.total += float(moved.sum(dtype=torch.float64))
        self.pixels += moved.numel()


@dataclass
class ListeningAudit:
    """What was measured, by sound and setting."""

    sounds: tuple[Sound, ...]
    settings: tuple[Setting, ...]
    metrics: tuple[str, ...]
    groups: dict[str, list[VideoKey]] = field(default_factory=dict)
    """Videos that are reported together."""
    synthetic: list[str] = field(default_factory=list)
    """Corpora that our generator made."""
    frames: int = 0
    """Frames predicted with each sound."""
    hears: bool = True
    """Whether the network makes features of sound at all."""
    refused: dict[str, str] = field(default_factory=dict)
    """Sounds that the network cannot work with, and what it said."""
    tables: dict[tuple[str, str], ScoreTable] = field(default_factory=dict)
    """Scores by (sound, setting)."""
    changes: dict[str, Change] = field(default_factory=dict)
    """Movement of the maps by sound, over all settings."""

    @property
    def deaf(self) -> bool:
        """Whether no sound moved any pixel of any map."""
        return all(change.largest == 0 for change in self.changes.values())

    def change(self, sound: str, setting: str, metric: str, group: str) -> tuple[Interval, int]:
        """Metric with a sound minus metric with true sound: mean over videos, 95 % interval, videos counted."""
        return mean_difference(
            self.tables[sound, setting], self.tables[TRUE, setting], metric, self.groups[group]
        )

    def value(self, sound: str, setting: str, metric: str, group: str) -> float:
        """Mean over videos of the mean over frames."""
        return mean_value(self.tables[sound, setting], metric, self.groups[group])


@dataclass(frozen=True)
class Verdict:
    """A finding and the reason for it."""

    finding: str
    """``listens``, ``does not listen`` or ``undecided``."""
    reason: str


@torch.inference_mode()
def audit_listening(
    subject: Subject,
    data: AuditData,
    samples: int = 4,
    shift: float = 0.32,
    metrics: Sequence[str] = ("cc", "nss"),
    progress: Callable[[int, int], None] | None = None,
) -> ListeningAudit:
    """Predict test videos with each sound and score them; each clip is encoded once with each sound.

    Noise is the same with every sound, so all that differs between two maps comes from the sound.

    Args:
        subject: The model.
        data: The videos.
        samples: Draws that the mean over draws is taken of.
        shift: Seconds that sound is shifted by, both ways; 0 leaves that out.
        metrics: Metrics to compute, ``cc`` among them, by which the verdict goes.
        progress: Called with frames done and frames in all.

    Raises:
        InputError: If a setting makes no sense or the data cannot be read.
    """
    if "cc" not in metrics:
        raise InputError(f"the verdict goes by cc, which is not among the metrics {list(metrics)}: add it")
    if samples < 1 or not 0 <= shift < float("inf"):
        raise InputError(
            f"needs at least 1 sample and a shift of 0 or more seconds, got {samples} and {shift}"
        )
    model = subject.model
    samples = max(samples, model.sampling.samples)
    audit = ListeningAudit(sounds_of(shift), settings_of(model, samples), tuple(metrics))
    module, loader = heard_loader(data, model, shift)
    device = next((p.device for p in model.network.parameters()), torch.device("cpu"))
    scores: dict[tuple[str, str], SaliencyMetrics] = defaultdict(lambda: SaliencyMetrics(metrics))
    for batch, heard in loader:
        moved = on_device(batch, device)
        video = model.network.normalize_video(moved["video"])  # (B, 3, T, H, W)
        true: dict[str, Tensor] = {}
        for sound in audit.sounds:
            condition = _encode(audit, subject, sound, video, heard, device)
            if condition is None:
                continue
            maps = maps_by_setting(subject, condition, moved, audit.settings)
            true = true or maps
            _score(audit, scores, sound, maps, true, moved)
        audit.frames += len(batch["corpus"])
        if progress is not None:
            progress(audit.frames, len(cast(HeardFrames, loader.dataset)))
    audit.sounds = tuple(sound for sound in audit.sounds if sound.name not in audit.refused)
    audit.tables = {key: metric.table() for key, metric in scores.items()}
    audit.groups = video_groups(module, module.videos("test"))
    audit.synthetic = module.synthetic
    return audit


def _encode(
    audit: ListeningAudit,
    subject: Subject,
    sound: Sound,
    video: Tensor,
    heard: dict[str, Tensor],
    device: torch.device,
) -> Condition | None:
    """Features of a batch with a sound; None if the network cannot do without sound at all."""
    network = subject.model.network
    if sound.name != WITHOUT:
        condition = network.encode(video, heard[sound.name].to(device))
        if sound.name == TRUE:
            audit.hears = condition.audio is not None
        return condition
    try:
        return network.encode(video, None)
    except InputError as error:
        audit.refused[WITHOUT] = str(error)
        return None


def _score(
    audit: ListeningAudit,
    scores: dict[tuple[str, str], SaliencyMetrics],
    sound: Sound,
    maps: dict[str, Tensor],
    true: dict[str, Tensor],
    batch: SaliencyBatch,
) -> None:
    keys = list(zip(batch["corpus"], batch["video_id"], batch["frame"].tolist(), strict=True))
    for setting, predicted in maps.items():
        if not bool(predicted.isfinite().all()):  # or a comparison with nothing would pass for no change
            raise InputError(
                f"the model predicts not-a-number among frames {keys[0]} to {keys[-1]}, with sound: {sound.title}; "
                "its training diverged, audit another checkpoint"
            )
        scores[sound.name, setting].update(predicted[:, 0], batch["ground_truth"], batch["fixations"], keys)
        if sound.name != TRUE:
            audit.changes.setdefault(sound.name, Change()).add(predicted, true[setting])


def verdict(audit: ListeningAudit, group: str, least: float = LEAST) -> Verdict:
    """Whether a model listens, by the CC that true sound is worth against the sound of other videos.

    It listens if, at every setting that does not commit to one of several objects (one step, and the mean of
    draws), the whole 95 % interval of that worth lies above 0 and its mean is at least ``least``. It does not
    listen if at all of them the interval lies inside -least to least, or no pixel of any map moved. Anything else is
    undecided.
    """
    if audit.changes[OTHER].largest == 0:
        return Verdict("does not listen", "another video's sound moves no pixel of any map: exactly 0")
    worths: list[tuple[str, Interval]] = []
    for setting in audit.settings:
        if not setting.commits:
            change, _ = audit.change(OTHER, setting.name, "cc", group)
            worths.append((setting.name, Interval(-change.mean, -change.high, -change.low)))
    text = "; ".join(
        f"CC {worth.mean:+.3f} [{worth.low:+.3f}, {worth.high:+.3f}] at {name}" for name, worth in worths
    )
    reason = f"worth of true sound against another video's: {text}"
    if all(worth.low > 0 and worth.mean >= least for _, worth in worths):
        return Verdict("listens", reason)
    if all(-least < worth.low and worth.high < least for _, worth in worths):
        return Verdict("does not listen", f"{reason}, all within {least:g} of 0")
    return Verdict("undecided", reason)
