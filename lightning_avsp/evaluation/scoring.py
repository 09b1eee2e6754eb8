"""Scoring of one video with a few frames in memory at a time; the unit of work of a process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.evaluation.chance import chance_scores
from lightning_avsp.evaluation.ntire26 import ntire26_scores
from lightning_avsp.evaluation.prediction_files import PredictedVideo
from lightning_avsp.evaluation.predictions import checked_frames
from lightning_avsp.evaluation.protocols import Protocol
from lightning_avsp.evaluation.truth import OtherVideos, SameVideo, Truth, points_of_video
from lightning_avsp.metrics import FrameRow, SaliencyMetrics, VideoAverage

_BATCH = 8


@dataclass(frozen=True)
class VideoJob:
    """One video to score."""

    entry: VideoEntry
    protocol: Protocol
    truth: Truth
    source: PredictedVideo | None
    """Predictions; None for chance level."""
    wanted: tuple[int, ...]
    """Frames to score, ascending."""
    others: tuple[VideoEntry, ...] = field(default=())
    """Other videos of the corpus, for protocols that sample negatives from them."""


def wanted_frames(protocol: Protocol, n_frames: int) -> range:
    """Return the frames of a video that a protocol scores."""
    return range(protocol.first_frame, n_frames + 1)


def score_video(job: VideoJob) -> list[FrameRow]:
    """Score a video: one row per wanted frame.

    Raises:
        InputError: If a map or its ground truth cannot be read or makes no sense.
    """
    torch.set_num_threads(1)  # processes share the cores; small products gain nothing from threads
    scorer = FrameScorer(job)
    for numbers, maps in _batches(job):
        scorer.score(numbers, maps)
    return list(scorer.average.table().frames)


class FrameScorer:
    """Scorer of the maps of one video."""

    def __init__(self, job: VideoJob) -> None:
        self.job = job
        protocol = job.protocol
        self.metrics = SaliencyMetrics(protocol.metrics, policy=protocol.policy, repeats=protocol.repeats)
        self.average: VideoAverage = self.metrics.average
        self.negatives = self._negatives()

    def score(self, numbers: Sequence[int], maps: Sequence[Tensor] | None) -> None:
        """Score some frames; without maps, at chance level."""
        job, protocol = self.job, self.job.protocol
        keys = [(job.entry.corpus, job.entry.video, number) for number in numbers]
        truth = [job.truth.map(number) for number in numbers]
        points = [job.truth.points(number) for number in numbers]
        other = None if self.negatives is None else [self.negatives.without(one) for one in points]
        if maps is None:
            for index, key in enumerate(keys):
                negatives = None if other is None else other[index]
                self.average.add(key, *chance_scores(protocol, truth[index], points[index], negatives))
            return
        prepared = [
            protocol.prepare(one[None], (int(goal.shape[0]), int(goal.shape[1])))[0]
            for one, goal in zip(maps, truth, strict=True)
        ]
        if protocol.formulas == "ntire26":
            for index, key in enumerate(keys):
                (scores,) = ntire26_scores(prepared[index][None], truth[index][None], [points[index]])
                self.average.add(key, *scores)
        else:
            self.metrics.update(prepared, truth, points, keys, other=other)

    def _negatives(self) -> SameVideo | OtherVideos | None:
        job = self.job
        if "auc_shuffled" not in job.protocol.metrics:
            return None
        if job.protocol.negatives == "corpus":
            return OtherVideos(job.entry, job.others, job.truth.size(1))
        return SameVideo(points_of_video(job.truth, job.entry.n_frames))


def _batches(job: VideoJob) -> Iterator[tuple[list[int], list[Tensor] | None]]:
    """Yield the wanted frames a few at a time, with their maps unless the job is about chance."""
    if job.source is None:
        for start in range(0, len(job.wanted), _BATCH):
            yield list(job.wanted[start : start + _BATCH]), None
        return
    numbers: list[int] = []
    maps: list[Tensor] = []
    for number, saliency in checked_frames(job.source, job.wanted, job.entry, job.truth.size(1)):
        numbers.append(number)
        maps.append(saliency)
        if len(numbers) == _BATCH:
            yield numbers, maps
            numbers, maps = [], []
    if numbers:
        yield numbers, maps
