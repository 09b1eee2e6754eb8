"""Averages over frames, videos and splits on numbers made by hand."""

from __future__ import annotations

import math

import pytest

from lightning_avsp.data.catalogue import find_corpus
from lightning_avsp.evaluation.protocols import find_protocol
from lightning_avsp.evaluation.summary import summarise_corpus
from lightning_avsp.metrics import ScoreTable, VideoAverage

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
