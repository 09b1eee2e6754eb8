"""Scoring of one video with a few frames in memory at a time; the unit of work of a process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.evaluation.chance import chance_scores
from lightning_avsp.evaluation.ntire26 import ntire26_scores
from lightning_avsp.evaluation.prediction_files import PredictedVideo
from lightning_avsp.evaluation.predictions import checked_frames
from lightning_avsp.evaluation.protocols import Protocol
from lightning_avsp.evaluation.truth import OtherVideos, SameVideo, Truth
from lightning_avsp.metrics import FrameRow, SaliencyMetrics, VideoAverage

_BATCH = 8


@dataclass(frozen=True)
class ScoringJob:
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


def score_video(job: ScoringJob) -> list[FrameRow]:
    """Score a video: one row per wanted frame, without predictions at chance level.

    Raises:
        InputError: If a map or its ground truth cannot be read or makes no sense.
    """
    torch.set_num_threads(1)  # processes share the cores; small products gain nothing from threads
    protocol, video = job.protocol, job.entry
    metrics = SaliencyMetrics(protocol.metrics, policy=protocol.policy, repeats=protocol.repeats)
    average: VideoAverage = metrics.average
    negatives: SameVideo | OtherVideos | None = None
    if "auc_shuffled" in protocol.metrics and protocol.negatives == "corpus":
        negatives = OtherVideos(video, job.others, job.truth.size(1))
    elif "auc_shuffled" in protocol.metrics:
        negatives = SameVideo([job.truth.points(number) for number in range(1, video.n_frames + 1)])
    for numbers, maps in _batches(job):
        keys = [(video.corpus, video.video, number) for number in numbers]
        truth = [job.truth.map(number) for number in numbers]
        points = [job.truth.points(number) for number in numbers]
        other = None if negatives is None else [negatives.without(one) for one in points]
        if maps is None:
            for index, key in enumerate(keys):
                without = None if other is None else other[index]
                average.add(key, *chance_scores(protocol, truth[index], points[index], without))
            continue
        prepared = [
            protocol.prepare(one[None], (int(goal.shape[0]), int(goal.shape[1])))[0]
            for one, goal in zip(maps, truth, strict=True)
        ]
        if protocol.formulas == "ntire26":
            for key, one, goal, fixated in zip(keys, prepared, truth, points, strict=True):
                average.add(key, *ntire26_scores(one[None], goal[None], [fixated])[0])
        else:
            metrics.update(prepared, truth, points, keys, other=other)
    return list(average.table().frames)


def _batches(job: ScoringJob) -> Iterator[tuple[list[int], list[Tensor] | None]]:
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
