"""Scoring of one video with a few frames in memory at a time; the unit of work of a process."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.evaluation.formulas import chance_scores, ntire26_scores
from lightning_avsp.evaluation.prediction_files import PredictedVideo
from lightning_avsp.evaluation.predictions import checked_frames
from lightning_avsp.evaluation.protocols import Protocol
from lightning_avsp.evaluation.truth import Truth, corpus_negatives, video_negatives, without
from lightning_avsp.metrics import FrameRow, SaliencyMetrics
from lightning_avsp.metrics.averages import FrameKey

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
    others: tuple[VideoEntry, ...] = ()
    """Other videos of the corpus, for protocols that sample negatives from them."""


def score_video(job: ScoringJob) -> list[FrameRow]:
    """Score a video: one row per wanted frame, without predictions at chance level.

    Raises:
        InputError: If a map or its ground truth cannot be read or makes no sense.
    """
    if (
        multiprocessing.parent_process() is not None
    ):  # workers share the cores; the caller's own process stays as it is
        torch.set_num_threads(1)
    protocol, video = job.protocol, job.entry
    metrics = SaliencyMetrics(protocol.metrics, policy=protocol.policy, repeats=protocol.repeats)
    negatives: Tensor | None = None
    if "auc_shuffled" in protocol.metrics and protocol.negatives == "corpus":
        negatives = corpus_negatives(video, job.others, job.truth.size(1))
    elif "auc_shuffled" in protocol.metrics:
        negatives = video_negatives([job.truth.points(number) for number in range(1, video.n_frames + 1)])
    frames: Iterator[tuple[int, Tensor | None]] = ((number, None) for number in job.wanted)
    if job.source is not None:
        frames = checked_frames(job.source, job.wanted, video, job.truth.size(1))
    while batch := list(islice(frames, _BATCH)):
        keys = [(video.corpus, video.video, number) for number, _ in batch]
        # the challenge reads its 10-bit ground truth at its depth
        truth = [job.truth.map(number, deep=protocol.formulas == "ntire26") for number, _ in batch]
        points = [job.truth.points(number) for number, _ in batch]
        other = None
        if negatives is not None:
            in_video = protocol.negatives == "video"
            other = [without(negatives, one) if in_video else negatives for one in points]
        if job.source is not None:
            maps = [saliency for _, saliency in batch if saliency is not None]
            add_frames(metrics, protocol, keys, maps, truth, points, other)
            continue
        for index, (key, goal, fixated) in enumerate(zip(keys, truth, points, strict=True)):
            rest = None if other is None else other[index]
            metrics.average.add(key, *chance_scores(protocol, goal, fixated, rest))
    return list(metrics.average.table().frames)


def add_frames(
    metrics: SaliencyMetrics,
    protocol: Protocol,
    keys: Sequence[FrameKey],
    maps: Sequence[Tensor],
    truth: Sequence[Tensor],
    points: Sequence[Tensor],
    other: Sequence[Tensor] | None = None,
) -> None:
    """Score frames by a protocol into metrics that have its settings.

    Args:
        metrics: Receives the scores.
        protocol: Prepares the maps, and defines the formulas.
        keys: (corpus, video, frame) of each.
        maps: Predictions (H, W), any real type and range.
        truth: Continuous ground truth, each (Hg, Wg).
        points: Fixations, each (N, 2).
        other: Other fixations for the shuffled AUC, each (K, 2).
    """
    prepared = [
        protocol.prepare(saliency[None], (goal.shape[0], goal.shape[1]))[0]
        for saliency, goal in zip(maps, truth, strict=True)
    ]
    if protocol.formulas == "ntire26":
        for key, saliency, goal, fixated in zip(keys, prepared, truth, points, strict=True):
            metrics.average.add(key, *ntire26_scores(saliency[None], goal[None], [fixated])[0])
    elif prepared:
        metrics.update(prepared, truth, points, keys, other=other)
