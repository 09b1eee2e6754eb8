"""Checks that nothing visible tells which object sounds: else a deaf model could pass for a listening one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from lightning_avsp.errors import InputError
from lightning_avsp.synthetic.record import VideoRecord
from lightning_avsp.synthetic.spec import COLOURS, SyntheticSpec

FEATURES = (
    "speed",
    "centre_distance",
    "neighbour_distance",
    "x",
    "y",
    "is_fastest",
    *(f"colour_{k}" for k in range(len(COLOURS))),
    "one_over_n",
)
"""What a deaf model could go by, per object and frame: columns of :func:`visible_features`."""


@dataclass(frozen=True)
class LeakReport:
    """Outcome of :func:`check_leaks`; both members of a pair should agree within their sampling error."""

    sounding_is_fastest: float
    """Share of frames in which the sounding object is the fastest."""
    sounding_is_fastest_chance: float
    """The same if the sounding object were drawn blindly: mean of 1/n over frames."""
    probe_auc: float
    """AUC on held-out videos of a linear probe that predicts the attended object from visible features."""
    chance_auc: float
    """AUC of 1/n alone: with two objects each is attended more often than with three."""
    videos: int
    """Held-out videos in which sound decides."""


def sounding_is_fastest(records: Sequence[VideoRecord]) -> tuple[float, float]:
    """Share of frames in which the sounding object is the fastest one, and its chance level.

    Args:
        records: Videos; those where sound does not decide are left out.
    """
    heard = _where_sound_decides(records)
    hits = np.concatenate([record.sounding == record.fastest for record in heard])
    chance = np.concatenate([np.full(len(record.sounding), 1 / len(record.radii)) for record in heard])
    return float(hits.mean()), float(chance.mean())


def visible_features(spec: SyntheticSpec, record: VideoRecord) -> NDArray[np.float64]:
    """Geometry, motion and colour of every object in every frame: (T, n, len(FEATURES)), in recipe pixels."""
    T, n = record.positions.shape[:2]
    places = record.positions / spec.scale
    middle = np.array([spec.size[1] - 1, spec.size[0] - 1]) / 2 / spec.scale
    speed = np.linalg.norm(np.gradient(places, 1 / spec.fps, axis=0), axis=-1)
    gaps = np.linalg.norm(places[:, :, None] - places[:, None], axis=-1)
    gaps[:, np.arange(n), np.arange(n)] = np.inf
    columns = [
        speed,
        np.linalg.norm(places - middle, axis=-1),
        gaps.min(axis=-1),
        places[..., 0],
        places[..., 1],
        np.broadcast_to(np.arange(n) == record.fastest, (T, n)),
        *(np.broadcast_to(record.kinds == k, (T, n)) for k in range(len(COLOURS))),
        np.full((T, n), 1 / n),
    ]
    return np.stack([np.asarray(column, dtype=float) for column in columns], axis=-1)


def probe_auc(
    spec: SyntheticSpec,
    train: Sequence[VideoRecord],
    test: Sequence[VideoRecord],
    features: Sequence[str] = FEATURES,
) -> float:
    """Held-out AUC of a logistic regression that predicts which object is attended.

    Args:
        spec: Frame size and rate of the videos.
        train: Videos to fit; those where sound does not decide are left out.
        test: Videos to score.
        features: Names out of :data:`FEATURES`.
    """
    columns = [FEATURES.index(name) for name in features]
    x, y = _samples(spec, train)
    x_test, y_test = _samples(spec, test)
    x, x_test = x[:, columns], x_test[:, columns]
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-9
    weights = _logistic_regression((x - mean) / deviation, y)
    return _auc(((x_test - mean) / deviation) @ weights, y_test)


def check_leaks(spec: SyntheticSpec, train: Sequence[VideoRecord], test: Sequence[VideoRecord]) -> LeakReport:
    """Run all leak checks.

    Args:
        spec: Frame size and rate of the videos.
        train: Videos that the linear probe is fitted to.
        test: Held-out videos.
    """
    hit, chance = sounding_is_fastest(test)
    return LeakReport(
        sounding_is_fastest=hit,
        sounding_is_fastest_chance=chance,
        probe_auc=probe_auc(spec, train, test),
        chance_auc=probe_auc(spec, train, test, features=("one_over_n",)),
        videos=len(_where_sound_decides(test)),
    )


def _where_sound_decides(records: Sequence[VideoRecord]) -> list[VideoRecord]:
    """Records of the condition ``sound``.

    Raises:
        InputError: If there is none.
    """
    heard = [record for record in records if record.condition == "sound"]
    if not heard:
        raise InputError(f"sound decides in none of the {len(records)} videos; leak checks need some that do")
    return heard


def _samples(
    spec: SyntheticSpec, records: Sequence[VideoRecord]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features (N, F) and whether attended (N,), one row per object and frame."""
    heard = _where_sound_decides(records)
    x = np.concatenate([visible_features(spec, record).reshape(-1, len(FEATURES)) for record in heard])
    y = np.concatenate([(np.arange(len(r.radii)) == r.attended[:, None]).ravel() for r in heard])
    return x, y.astype(float)


def _logistic_regression(
    x: NDArray[np.float64], y: NDArray[np.float64], ridge: float = 1.0
) -> NDArray[np.float64]:
    """Weights (F,) of a ridge-penalised logistic regression on standardised features, by Newton's method."""
    design = np.column_stack([x, np.ones(len(x))])
    penalty = ridge * np.diag([*np.ones(x.shape[1]), 1e-6])
    weights = np.zeros(design.shape[1])
    for _ in range(10):  # quadratic convergence: far more than it takes
        probability = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (probability - y) + penalty @ weights
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design + penalty
        weights -= np.linalg.solve(curvature, gradient)
    return weights[:-1]


def _auc(score: NDArray[np.float64], label: NDArray[np.float64]) -> float:
    """Area under the ROC curve, ties counted half (Mann-Whitney)."""
    positive = label > 0
    ranks = rankdata(score)
    n, m = positive.sum(), (~positive).sum()
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))
