"""Scoring of one video with a few frames in memory at a time, and formulas beside the MIT benchmark's.

The NTIRE 2026 challenge's formulas are written from the definitions of its public scoring script; nothing of it is
copied.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.evaluation.predictions import PredictedVideo, checked_frames
from lightning_avsp.evaluation.protocols import Protocol
from lightning_avsp.evaluation.truth import Truth, corpus_negatives, video_negatives, without
from lightning_avsp.metrics import FrameRow, SaliencyMetrics
from lightning_avsp.metrics.averages import FrameKey
from lightning_avsp.metrics.degenerate import Reason
from lightning_avsp.metrics.functional import kld

# of the challenge's scorer, which adds it to every divisor
_EPS = 1e-7
_KNOWN = {"cc": 0.0, "nss": 0.0, "auc_shuffled": 0.5, "auc_shuffled_exact": 0.5}
"""Expectations of a map that is independent of the gaze."""

Scores = tuple[dict[str, float], dict[str, str]]
"""Values by metric, and reasons of undefined values."""


@torch.no_grad()
def ntire26_scores(prediction: Tensor, target: Tensor, fixations: Sequence[Tensor]) -> list[Scores]:
    r"""Compute CC, SIM, NSS and AUC-Judd of each frame as the challenge does.

    With P and G scaled to [0, 1] (the protocol's steps do it for P, this function for G), population deviations
    :math:`s` and :math:`\epsilon = 10^{-7}`:

    .. math::
        CC = \frac{\sum a b}{\sqrt{\sum a^2 \sum b^2 + \epsilon}},\; a = \frac{P - \bar P}{s_P + \epsilon},\;
        SIM = \sum \min\left(\frac{P}{\sum P + \epsilon}, \frac{G}{\sum G + \epsilon}\right),\;
        NSS = \frac1n \sum_f \frac{P_f - \bar P}{s_P + \epsilon}

    and AUC-Judd by trapezoids through :math:`(fp_i, i/n)`, no ties broken, with the n fixations' values (repeats
    counted) as thresholds, :math:`fp_i = (\text{above}_i - i) / (N + r - n)` and r = n - distinct fixated pixels. (The
    released script counts the distinct columns of the list of points instead of its distinct points, so r = n - 2
    there; at the corpus' 1920 x 1080 that moves AUC-Judd by less than 1e-5.)

    Args:
        prediction: Prepared maps (B, H, W), float64.
        target: Continuous ground truth (B, H, W), any real type.
        fixations: One int64 (n, 2) tensor of (row, column) per frame; a point that occurs twice counts twice.

    Returns:
        Per frame values, NaN where undefined (no fixation, or a prediction that is not finite), and the reasons.
    """
    truth = target.to(torch.float64)
    low = truth.amin((1, 2), keepdim=True)
    truth = (truth - low) / (truth.amax((1, 2), keepdim=True) - low + torch.finfo(torch.float32).eps)
    return [
        _score(p.numpy(), g.numpy(), points.numpy())
        for p, g, points in zip(prediction.cpu(), truth.cpu(), (one.cpu() for one in fixations), strict=True)
    ]


def _score(prediction: np.ndarray, truth: np.ndarray, points: np.ndarray) -> Scores:
    names = ("cc", "sim", "nss", "auc_judd")
    if not np.isfinite(prediction).all():  # one such frame would make a whole corpus NaN
        reason: Reason = "non_finite_prediction"
        return dict.fromkeys(names, float("nan")), dict.fromkeys(names, reason)
    deviation = (prediction - prediction.mean()) / (prediction.std() + _EPS)
    of_truth = (truth - truth.mean()) / (truth.std() + _EPS)
    products = (deviation * of_truth).sum()
    shares = prediction / (prediction.sum() + _EPS), truth / (truth.sum() + _EPS)
    values = {
        "cc": float(products / np.sqrt((deviation**2).sum() * (of_truth**2).sum() + _EPS)),
        "sim": float(np.minimum(*shares).sum()),
    }
    if len(points) == 0:
        unseen: Reason = "no_fixations"
        gaze = ("nss", "auc_judd")
        return values | dict.fromkeys(gaze, float("nan")), dict.fromkeys(gaze, unseen)
    values["nss"] = float(deviation[points[:, 0], points[:, 1]].mean())
    # its own curve: ties are not broken, and repeats count
    values["auc_judd"] = auc_judd_counting_repeats(prediction, points)
    return values, {}


def auc_judd_counting_repeats(prediction: np.ndarray, points: np.ndarray) -> float:
    """Compute AUC-Judd of one frame, every fixation a threshold of its own, equal values in turn.

    Args:
        prediction: Map (H, W).
        points: (row, column) of each fixation, repeats included: int64 (n, 2), n > 0.
    """
    fixations = len(points)
    distinct = len(np.unique(points, axis=0))
    # from the strictest, as the curve is drawn
    thresholds = np.sort(prediction[points[:, 0], points[:, 1]])[::-1]
    above = prediction.size - np.searchsorted(np.sort(prediction, axis=None), thresholds, side="left")
    order = np.arange(1, fixations + 1)
    # the released script's N + r - n
    others = prediction.size + (fixations - distinct) - fixations
    false_positives = np.concatenate([[0.0], (above - order) / others if others else 0.0 * order, [1.0]])
    true_positives = np.concatenate([[0.0], order / fixations, [1.0]])
    steps = np.diff(false_positives) * (true_positives[1:] + true_positives[:-1]) / 2
    return float(steps.sum())


def chance_scores(protocol: Protocol, target: Tensor, points: Tensor, other: Tensor | None) -> Scores:
    r"""Score the uniform map, the reference row `uniform`, as limits where the formulas divide by its range.

    CC and NSS are 0 and the shuffled AUCs 0.5: the expectation of any map that is independent of the gaze. SIM is the
    overlap with the uniform distribution, AUC-Judd the expectation over all orders of equal values,
    :math:`\tfrac12 + \tfrac{1}{2 (n + 1)}` for n fixated pixels (0.5 where a protocol counts repeats).

    Args:
        protocol: Defines the metrics.
        target: Continuous ground truth (Hg, Wg).
        points: Fixations (N, 2).
        other: Other fixations (K, 2), for the shuffled AUCs.

    Returns:
        Values by metric, NaN where the frame's ground truth leaves them undefined, and the reasons.
    """
    truth = target.to(torch.float64)
    low, high = float(truth.min()), float(truth.max())
    blank = "zero_target" if low == high == 0 else "constant_target" if low == high else None
    unseen = "no_fixations" if len(points) == 0 else None
    fixated = len(points.unique(dim=0))
    values: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for name in protocol.metrics:
        reason: str | None = None
        if name in ("cc", "sim"):
            reason = blank
        elif name in ("nss", "auc_judd"):
            reason = unseen
        elif name.startswith("auc_shuffled"):
            reason = unseen or ("no_other_points" if other is None or len(other) == 0 else None)
        # the field counts it, the benchmark skips it
        if name == "sim" and blank == "zero_target" and protocol.policy == "field":
            values[name], reasons[name] = 0.0, blank
            continue
        if reason is not None:
            values[name], reasons[name] = float("nan"), reason
        elif name == "sim":
            share = (truth - low) / (truth - low).sum()
            values[name] = float(torch.clamp(share, max=1 / truth.numel()).sum())
        elif name == "auc_judd":
            values[name] = 0.5 if protocol.repeats else 0.5 + 0.5 / (fixated + 1)
        elif name == "kld":
            values[name] = float(kld(torch.ones_like(truth)[None], truth[None]))
        else:
            values[name] = _KNOWN[name]
    return values, reasons


_BATCH = 8  # frames of CrowdSAL, 1920 x 1080 in float64, are 130 MB


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
    # workers share the cores; the caller's own process keeps the threads that it has
    if multiprocessing.parent_process() is not None:
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
