"""Reference rows: scores of a centre prior, the mean training map, chance and human observers on the same frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_avsp.data.catalogue import find_corpus
from lightning_avsp.data.corpora import read_videos
from lightning_avsp.data.entries import VideoEntry, VideoKey
from lightning_avsp.data.manifest import read_manifest
from lightning_avsp.evaluation.prediction_files import MapsByNumber
from lightning_avsp.evaluation.protocols import Protocol
from lightning_avsp.evaluation.scoring import ScoringJob
from lightning_avsp.evaluation.truth import ObserverHalf

DESCRIPTIONS = {
    "human_ceiling": (
        "one half of the observers predicts the other half's map and fixations, mean of both directions; a lower "
        "bound, since half of the observers know less than all"
    ),
    "mean_training_map": "the mean of the split's training maps, the same for every frame",
    "centre_prior": "a Gaussian with the mean and deviation of that mean map, the same for every frame",
    "uniform": "chance level in closed form: the score of a map that is independent of the gaze",
}
"""Definition of each row, in the usual order from best to worst."""

NO_CEILING = (
    "not computable: the corpus comes with the merged map and fixations of all observers, without "
    "the observer of each"
)

_FRAMES_PER_VIDEO = 100
"""Evenly spaced training maps that are read of a video: neighbouring maps hardly differ."""


@dataclass(frozen=True)
class ConstantMap(MapsByNumber):
    """The same map for every frame of a video."""

    values: Tensor
    """float32 (H, W)."""
    n_frames: int

    @property
    def numbers(self) -> Sequence[int]:
        """All frames."""
        return range(1, self.n_frames + 1)

    def map(self, number: int) -> Tensor:
        """Return the map."""
        return self.values


@dataclass(frozen=True)
class PlannedReference:
    """One reference row: jobs of the test videos. Several jobs of a video are averaged."""

    name: str
    split: int
    jobs: tuple[ScoringJob, ...]


def plan_references(
    root: Path, corpus: str, protocol: Protocol, scored: Mapping[int, Sequence[ScoringJob]]
) -> tuple[list[PlannedReference], dict[str, str]]:
    """Plan the jobs of every reference row of a corpus.

    Args:
        root: Root of the package.
        corpus: Public name of the corpus.
        protocol: Scoring protocol.
        scored: Jobs of each split: references score the same videos and frames.

    Returns:
        One entry per row and split, and the rows that cannot be computed with the reason.
    """
    means: dict[VideoKey, Tensor] = {}
    folder = find_corpus(corpus, root).folder
    observers_known = folder in read_manifest(root)["corpora"]
    planned = []
    for split, jobs in scored.items():
        training = read_videos(root, [corpus], split, "train", missing_audio="silence")
        mean = mean_training_map(training, means)
        constants = {"mean_training_map": mean, "centre_prior": fit_gaussian(mean), "uniform": None}
        if observers_known:
            # Both directions, one after the other for each video; they are averaged.
            halves = [
                replace(
                    job,
                    truth=ObserverHalf(str(root), folder, job.entry.video, half),
                    source=ObserverHalf(str(root), folder, job.entry.video, 1 - half),
                )
                for job in jobs
                for half in (0, 1)
            ]
            planned.append(PlannedReference("human_ceiling", split, tuple(halves)))
        for name, values in constants.items():
            same = [
                replace(job, source=None if values is None else ConstantMap(values, job.entry.n_frames))
                for job in jobs
            ]
            planned.append(PlannedReference(name, split, tuple(same)))
    return planned, {} if observers_known else {"human_ceiling": NO_CEILING}


def mean_training_map(training: Sequence[VideoEntry], known: dict[VideoKey, Tensor]) -> Tensor:
    """Average training maps over each video, then over videos: float32 (H, W) in [0, 1].

    Args:
        training: Training videos of a split.
        known: Means of single videos, filled as they are computed: splits share training videos.
    """
    for entry in training:
        if entry.key not in known:
            known[entry.key] = _mean_of_video(entry)
    size = known[training[0].key].shape
    total = torch.zeros(size, dtype=torch.float64)
    for entry in training:
        total += _at_size(known[entry.key], (size[0], size[1]))
    return (total / len(training)).float()


def fit_gaussian(density: Tensor) -> Tensor:
    """Fit an axis-aligned Gaussian to a map taken as a distribution: float32 (H, W), peak 1.

    Args:
        density: Map (H, W), not negative, not zero everywhere.
    """
    values = density.double()
    profiles = []
    for axis in (0, 1):
        mass = values.sum(1 - axis)
        position = torch.arange(len(mass), dtype=torch.float64)
        centre = (mass * position).sum() / mass.sum()
        variance = (mass * (position - centre) ** 2).sum() / mass.sum()
        profiles.append(torch.exp(-((position - centre) ** 2) / (2 * variance)))
    return torch.outer(*profiles).float()


def _mean_of_video(entry: VideoEntry) -> Tensor:
    """Average the maps of a video, each divided by 255: float64 (H, W)."""
    count = min(entry.n_frames, _FRAMES_PER_VIDEO)
    numbers = np.unique(np.linspace(1, entry.n_frames, count).round().astype(int))
    total: Tensor | None = None
    for number in numbers:
        saliency = entry.maps.map(int(number)).double() / 255
        total = saliency if total is None else total + _at_size(saliency, (total.shape[0], total.shape[1]))
    assert total is not None
    return total / len(numbers)


def _at_size(values: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(values.shape) == size:
        return values
    return F.interpolate(values[None, None], size=size, mode="bilinear", antialias=True)[0, 0]
