"""Intervals and tests against scipy; averages over frames, videos and splits on numbers made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lightning_avsp.data.catalogue import find_corpus
from lightning_avsp.evaluation.protocols import find_protocol
from lightning_avsp.evaluation.statistics import bootstrap_mean, sign_test, summarise_corpus
from lightning_avsp.metrics import ScoreTable, VideoAverage


def test_interval_equals_scipys() -> None:
    values = np.random.default_rng(3).normal(0.5, 0.2, 12)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=40_000, method="percentile", random_state=np.random.default_rng(1)
    ).confidence_interval
    ours = bootstrap_mean([[(f"v{i}", v) for i, v in enumerate(values)]], resamples=40_000)
    width = theirs.high - theirs.low
    assert ours.mean == pytest.approx(values.mean())
    # of 40,000 draws, a percentile at each end has a standard error of .3 % of the width
    assert ours.low == pytest.approx(theirs.low, abs=0.02 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.02 * width)


def test_a_video_in_several_splits_is_one_piece_of_evidence() -> None:
    values = np.random.default_rng(4).normal(0.5, 0.2, 8)
    once = [(f"v{i}", v) for i, v in enumerate(values)]
    single, tripled = bootstrap_mean([once]), bootstrap_mean([once * 3])
    assert tripled.low == pytest.approx(single.low)
    assert tripled.high == pytest.approx(single.high)
    independent = bootstrap_mean([[(f"{copy}{name}", v) for copy in range(3) for name, v in once]])
    assert independent.high - independent.low < 0.7 * (single.high - single.low)


def test_pooled_and_split_means_differ_by_hand() -> None:
    first, second = [("a", 1.0), ("b", 0.0), ("c", 0.5)], [("d", 0.9)]
    assert bootstrap_mean([first + second]).mean == pytest.approx(0.6)  # 2.4 / 4
    assert bootstrap_mean([first, second]).mean == pytest.approx(0.7)  # (0.5 + 0.9) / 2


def test_undefined_values_do_not_count() -> None:
    with_nan = bootstrap_mean([[("a", 0.2), ("b", math.nan), ("c", 0.4)]])
    assert with_nan == bootstrap_mean([[("a", 0.2), ("c", 0.4)]])
    nothing = bootstrap_mean([[("a", math.nan)], []])
    assert math.isnan(nothing.mean)
    alone = bootstrap_mean([[("a", 0.2)]])
    assert alone.mean == 0.2
    assert math.isnan(alone.low)
    values = [(f"v{i}", float(i % 5)) for i in range(9)]
    assert bootstrap_mean([values], seed=1) == bootstrap_mean([values], seed=1)
    assert bootstrap_mean([values], seed=1) != bootstrap_mean([values], seed=2)


def test_sign_test_by_hand() -> None:
    # 5 of 5: 2 / 2^5; 4 of 5: 2 * (1 + 5) / 2^5
    assert sign_test([1.0] * 5 + [0.0, math.nan]) == (5, 0, pytest.approx(0.0625))
    assert sign_test([1.0] * 4 + [-1.0]) == (4, 1, pytest.approx(0.375))
    assert sign_test([0.0]) == (0, 0, 1.0)


STAVIS = find_protocol("stavis")


def table(corpus: str, videos: dict[str, list[float]]) -> ScoreTable:
    average = VideoAverage(STAVIS.metrics)
    for video, values in videos.items():
        for number, value in enumerate(values, start=1):
            reasons = {"cc": "zero_target"} if math.isnan(value) else {}
            average.add((corpus, video, number), dict.fromkeys(STAVIS.metrics, value), reasons)
    return average.table()


SPLITS = {
    # video means: V1 0.3, V2 0.5 | V1 0.6 | V3 0.1, V4 (nothing)
    1: {"V1": [0.2, 0.4], "V2": [0.5, math.nan, math.nan, 0.5]},
    2: {"V1": [0.6]},
    3: {"V3": [0.1], "V4": [math.nan]},
}


def test_videos_of_the_three_tests_are_pooled() -> None:
    tables = {split: table("AVAD", videos) for split, videos in SPLITS.items()}
    summary = summarise_corpus(find_corpus("AVAD"), STAVIS, tables)
    cc = summary.metrics["cc"]
    assert summary.averaging == "pooled"
    assert cc.mean == pytest.approx((0.3 + 0.5 + 0.6 + 0.1) / 4)
    assert (cc.videos, summary.videos) == (4, 5)
    assert (cc.frames, summary.frames) == (6, 9)
    assert cc.skipped == {"zero_target": 3}
    assert cc.zeroed == {}
    # a single list is averaged over the models of its splits
    summary = summarise_corpus(
        find_corpus("DIEM"), STAVIS, {n: table("DIEM", of) for n, of in SPLITS.items()}
    )
    assert summary.averaging == "split_means"
    assert summary.metrics["cc"].mean == pytest.approx((0.4 + 0.6 + 0.1) / 3)
