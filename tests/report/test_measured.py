from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from lightning_avsp.errors import InputError
from lightning_avsp.report.measured import Measured, dataset_corpus, measure, paired_difference
from lightning_avsp.report.results import RunResult


def result(
    split: int | None, seed: int | None, values: dict[str, float | None], corpus: str = "AVAD", **more: Any
) -> RunResult:
    videos = tuple({"corpus": corpus, "video": name, "cc": value} for name, value in values.items())
    path = Path(f"runs/sweeps/s/{split}{seed}/result.json")
    settings = {"synthetic": frozenset(), "selection": ""} | more
    return RunResult(path, "t", Path("r"), videos, seed=seed, split=split, **settings)


def measured(*results: RunResult, dataset: str = "AVAD") -> Measured:
    found = measure(results, dataset, "CC")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("corpus", "averaging", "mean", "other"),
    [("AVAD", "pooled", 0.5, 0.4), ("DIEM", "split_means", 0.4, 0.5)],  # DIEM has one list for all splits
)
def test_splits_are_pooled_unless_one_list_serves_them_all(corpus, averaging, mean, other):
    second = result(2, 0, {"b": 0.4, "c": 0.6, "d": 0.8}, corpus)
    found = measured(result(1, 0, {"a": 0.2}, corpus), second, dataset=corpus)
    assert (found.averaging, found.interval.mean) == (averaging, pytest.approx(mean))
    assert found.other == pytest.approx(other)
    assert found.split_spread == pytest.approx(math.sqrt(0.08))
    assert found.seed_spread is None
    assert (found.runs, found.distinct("split"), found.distinct("seed"), found.videos) == (2, (1, 2), (0,), 4)


def test_the_number_is_the_mean_over_seeds_with_their_spread():
    found = measured(result(1, 0, {"a": 0.2, "b": 0.4}), result(1, 1, {"a": 0.4, "b": 0.6}))
    assert found.interval.mean == pytest.approx(0.4)
    assert found.seed_spread == pytest.approx(math.sqrt(0.02))
    assert found.interval.low == pytest.approx(0.3)  # video a in both seeds: one piece of evidence
    assert found.videos == 2
    # a seed that lacks a split has no part in the spread
    found = measured(result(1, 0, {"a": 0.2}), result(2, 0, {"b": 0.8}), result(1, 1, {"a": 0.2}))
    assert (found.seed_spread, found.split_spread) == (None, None)


def test_undefined_values_do_not_count():
    found = measured(
        result(None, None, {"a": 0.2, "b": 0.4})
    )  # results without seed and split count like others
    assert (found.interval.mean, found.distinct("seed")) == (pytest.approx(0.3), ())
    assert measured(result(1, 0, {"a": None, "b": 0.4})).interval.mean == pytest.approx(0.4)
    assert measure([result(1, 0, {"a": None})], "AVAD", "CC") is None
    assert measure([result(1, 0, {"a": 0.1})], "AVAD", "NSS") is None
    assert measure([result(1, 0, {"a": 0.1})], "ETMD", "CC") is None
    assert measure([], "AVAD", "CC") is None


@pytest.mark.parametrize(
    ("printed", "ours"),
    [("DHF1k", "DHF1K"), ("Coutrot1", "Coutrot1"), ("AVAD_split3", "AVAD"), ("my own", "my own")],
)
def test_printed_names_of_datasets_are_understood(printed: str, ours: str):
    assert dataset_corpus(printed) == (ours, 3 if "split" in printed else None)


def test_a_dataset_may_name_a_split():
    found = measured(result(1, 0, {"a": 0.2}), result(2, 0, {"b": 0.8}), dataset="AVAD_split2")
    assert found.interval.mean == pytest.approx(0.8)


def test_synthetic_and_real_results_are_never_mixed():
    synthetic = result(1, 0, {"a": 0.2}, synthetic=frozenset({"AVAD"}))
    with pytest.raises(InputError, match=r"SYNTHETIC AVAD, .*20/result.json of the real one"):
        measure([synthetic, result(2, 0, {"b": 0.3})], "AVAD", "CC")
    assert measured(synthetic).synthetic


def test_pairs_are_compared_on_what_both_tested():
    first = measured(result(1, 0, {"a": 0.5, "b": 0.7}), result(2, 0, {"z": 0.0}))
    interval = paired_difference(first, measured(result(1, 0, {"a": 0.4, "b": 0.6})))
    assert (interval.mean, interval.low) == (pytest.approx(0.1), pytest.approx(0.1))
    nothing = paired_difference(first, measured(result(3, 0, {"a": 0.4})))
    assert math.isnan(nothing.mean)
