"""Reference rows: scores of a centre prior, the mean training map, chance and human observers on the same frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_avsp.data.catalogue import Corpus
from lightning_avsp.data.corpora import read_videos
from lightning_avsp.data.entries import VideoEntry, VideoKey
from lightning_avsp.evaluation.scoring import ScoringJob
from lightning_avsp.evaluation.truth import SomeObservers, count_observers

DESCRIPTIONS = {
    "human_ceiling": (
        "one half of the observers predicts the other half's map and fixations, mean of both directions; a lower "
        "bound, since half of the observers know less than all"
    ),
    "inter_observer": (
        "all other observers predict one, mean over at most 10 of them: the consistency of observers"
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

_LEFT_OUT = 10  # evenly spaced: each one left out costs as much as scoring a model
_FRAMES_PER_VIDEO = 100  # evenly spaced: neighbouring maps hardly differ


@dataclass(frozen=True)
class ConstantMap:
    """The same map for every frame of a video."""

    values: Tensor
    """float32 (H, W)."""

    def frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Repeat the map."""
        return ((number, self.values) for number in wanted)


def plan_references(
    root: Path, corpus: Corpus, scored: Mapping[int, Sequence[ScoringJob]]
) -> tuple[dict[tuple[str, int], list[ScoringJob]], dict[str, str]]:
    """Plan the jobs of every reference row of a corpus.

    Args:
        root: Root of the package.
        corpus: The corpus.
        scored: Jobs of each split: references score the same videos and frames.

    Returns:
        Jobs by row and split, several of a video to be averaged, and the rows that cannot be computed with the reason.
    """
    means: dict[VideoKey, Tensor] = {}
    videos = {job.entry.video for jobs in scored.values() for job in jobs}
    observers = {video: range(count_observers(root, corpus.folder, video)) for video in videos}
    # two at least, or there is nobody to predict the other; in all videos, or the mean is of another corpus
    observers_known = min(map(len, observers.values()), default=0) >= 2
    planned: dict[tuple[str, int], list[ScoringJob]] = {}
    for split, jobs in scored.items():
        training = read_videos(root, [corpus.name], split, "train", missing_audio="silence")
        # of training videos alone: a mean that has seen the test would be no baseline
        mean = mean_training_map(training, means)
        if observers_known:
            for name, divide in DIVISIONS.items():
                planned[name, split] = [
                    replace(
                        job,
                        truth=SomeObservers(root, corpus.folder, job.entry.video, truth),
                        source=SomeObservers(root, corpus.folder, job.entry.video, source),
                    )
                    for job in jobs
                    for truth, source in divide(observers[job.entry.video])
                ]
        for name, values in (("mean_training_map", mean), ("centre_prior", fit_gaussian(mean))):
            planned[name, split] = [replace(job, source=ConstantMap(values)) for job in jobs]
        # no map: chance is known in closed form
        planned["uniform", split] = [replace(job, source=None) for job in jobs]
    return planned, {} if observers_known else dict.fromkeys(DIVISIONS, NO_CEILING)


def _leave_one_out(observers: range) -> Iterable[tuple[tuple[int, ...], ...]]:
    chosen = {round(place) for place in np.linspace(0, len(observers) - 1, min(_LEFT_OUT, len(observers)))}
    return [((one,), tuple(other for other in observers if other != one)) for one in sorted(chosen)]


DIVISIONS: dict[str, Callable[[range], Iterable[tuple[tuple[int, ...], ...]]]] = {
    # every second observer and the others, in both directions
    "human_ceiling": lambda observers: permutations((tuple(observers[::2]), tuple(observers[1::2]))),
    "inter_observer": _leave_one_out,
}
"""Observers that are the ground truth and those that predict it, of each row."""


def mean_training_map(training: Sequence[VideoEntry], known: dict[VideoKey, Tensor]) -> Tensor:
    """Average training maps over each video, then over videos: float32 (H, W) in [0, 1].

    Args:
        training: Training videos of a split.
        known: Means of single videos, filled as they are computed: splits share training videos.
    """
    for entry in training:
        if entry.key not in known:  # splits share most of their training videos
            count = min(entry.n_frames, _FRAMES_PER_VIDEO)
            numbers = np.unique(np.linspace(1, entry.n_frames, count).round().astype(int))
            known[entry.key] = _mean(entry.maps.map(int(number)).double() / 255 for number in numbers)
    return _mean(known[entry.key] for entry in training).float()


def _mean(maps: Iterable[Tensor]) -> Tensor:
    """Average maps one by one, at the first one's size: float64 (H, W)."""
    # one at a time: the maps of a corpus do not fit into memory
    total, count = torch.zeros(0), 0
    for count, one in enumerate(maps, start=1):
        if count == 1:
            total = torch.zeros_like(one)
        elif one.shape != total.shape:
            one = F.interpolate(one[None, None], size=total.shape, mode="bilinear", antialias=True)[0, 0]
        total += one
    return total / count


def fit_gaussian(density: Tensor) -> Tensor:
    """Fit an axis-aligned Gaussian to a map taken as a distribution: float32 (H, W), peak 1.

    Args:
        density: Map (H, W), not negative, not zero everywhere.
    """
    values = density.double()  # sums over a whole map lose digits in float32
    profiles = []
    for axis in (0, 1):
        mass = values.sum(1 - axis)
        position = torch.arange(len(mass), dtype=torch.float64)
        centre = (mass * position).sum() / mass.sum()
        variance = (mass * (position - centre) ** 2).sum() / mass.sum()
        profiles.append(torch.exp(-((position - centre) ** 2) / (2 * variance)))
    return torch.outer(*profiles).float()
