"""Nothing visible tells which object sounds: else a model without audio could pass for one that uses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import rankdata

from lightning_avsp.synthetic import SyntheticSpec, VideoRecord
from lightning_avsp.synthetic.record import draw_video

SPEC = SyntheticSpec(size=(64, 112))
TRAIN, TEST = slice(0, 120), slice(120, 240)
ONE_OVER_N = 8
"""Column of the chance of each object: with two objects each is attended more often than with three."""


@pytest.fixture(scope="module")
def records() -> list[VideoRecord]:
    return [draw_video(SPEC, "sound", 0, "AVAD", index)[1] for index in range(TEST.stop)]


def visible(record: VideoRecord) -> NDArray[np.float64]:
    """Speed, distance to the middle and to the next object, place, fastest or not, colour, 1 / n: (T, n, 10)."""
    T, n = record.positions.shape[:2]
    middle = np.array([SPEC.size[1] - 1, SPEC.size[0] - 1]) / 2
    gaps = np.linalg.norm(record.positions[:, :, None] - record.positions[:, None], axis=-1)
    gaps[:, np.arange(n), np.arange(n)] = np.inf
    columns = [
        np.linalg.norm(np.gradient(record.positions, 1 / SPEC.fps, axis=0), axis=-1),
        np.linalg.norm(record.positions - middle, axis=-1),
        gaps.min(axis=-1),
        *np.moveaxis(record.positions, -1, 0),
        *(np.broadcast_to(record.kinds == kind, (T, n)) for kind in range(3)),
        np.full((T, n), 1 / n),
        np.broadcast_to(np.arange(n) == record.fastest, (T, n)),
    ]
    return np.stack(columns, axis=-1).astype(float)


def probe_auc(records: Sequence[VideoRecord], columns: Sequence[int] = range(10)) -> float:
    """AUC on held-out videos of a logistic regression that predicts the attended object from what is visible."""

    def samples(part: slice) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        x = np.concatenate([visible(r)[..., list(columns)].reshape(-1, len(columns)) for r in records[part]])
        y = np.concatenate([(np.arange(len(r.radii)) == r.attended[:, None]).ravel() for r in records[part]])
        return (x - x.mean(0)) / (x.std(0) + 1e-9), y

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = x @ weights[:-1] + weights[-1]
        slope = 1 / (1 + np.exp(-logits)) - y
        value = np.logaddexp(0, logits).sum() - logits[y].sum() + 0.5 * weights @ weights
        return value, np.append(slope @ x, slope.sum()) + weights

    x, y = samples(TRAIN)
    weights = minimize(loss, np.zeros(len(columns) + 1), jac=True).x
    x, y = samples(TEST)
    ranks, n = rankdata(x @ weights[:-1]), y.sum()
    return float((ranks[y].sum() - n * (n + 1) / 2) / (n * (~y).sum()))


def fastest_share(records: Sequence[VideoRecord]) -> float:
    """Share of frames in which the sounding object is the fastest."""
    return float(np.concatenate([record.sounding == record.fastest for record in records[TEST]]).mean())


def test_geometry_motion_and_colour_tell_nothing_about_sound(records: list[VideoRecord]) -> None:
    chance = np.mean([1 / len(record.radii) for record in records[TEST]])
    assert chance == pytest.approx(0.4, abs=0.02)
    # About 4 turns per video: the standard error of the share is .022, that of a difference of AUCs below .02
    assert fastest_share(records) == pytest.approx(chance, abs=0.07)
    blind = probe_auc(records, [ONE_OVER_N])
    assert blind == pytest.approx(0.57, abs=0.03)
    assert probe_auc(records) < blind + 0.03


def test_a_weak_leak_through_place_is_noticed(records: list[VideoRecord]) -> None:
    """If every fourth video let the object nearest to the middle sound, the probe would stand out."""
    leaky = [
        replace(r, attended=visible(r)[..., 1].argmin(axis=1)) if k % 4 == 0 else r
        for k, r in enumerate(records)
    ]
    assert probe_auc(leaky) > probe_auc(records) + 0.03
