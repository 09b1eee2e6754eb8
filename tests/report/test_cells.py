from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from lightning_avsp.errors import InputError
from lightning_avsp.report.cells import Cell, dataset_corpus, measure, paired_difference
from lightning_avsp.report.outcomes import Outcome


def outcome(
    split: int | None, seed: int | None, values: dict[str, float | None], corpus: str = "AVAD", **more: Any
) -> Outcome:
    videos = tuple({"corpus": corpus, "video": name, "cc": value} for name, value in values.items())
    settings: dict[str, Any] = {
        "path": Path(f"runs/sweeps/s/{split}{seed}/result.json"),
        "trial": "t",
        "training": "t",
        "run_dir": Path("r"),
        "synthetic": frozenset(),
        "selection": "",
        "wall_s": None,
        "train_wall_s": None,
        "device": "cpu",
    }
    return Outcome(videos=videos, split=split, seed=seed, **(settings | more))


def test_splits_of_a_corpus_with_lists_of_their_own_are_pooled():
    found = measure([outcome(1, 0, {"a": 0.2}), outcome(2, 0, {"b": 0.4, "c": 0.6, "d": 0.8})], "AVAD", "CC")
    assert found is not None
    assert found.averaging == "pooled"
    assert found.interval.mean == pytest.approx(0.5)
    assert found.other == pytest.approx(0.4)  # mean of 0.2 and 0.6
    assert found.split_spread == pytest.approx(math.sqrt(0.08))
    assert found.seed_spread is None
    assert (found.runs, found.splits, found.videos) == (2, (1, 2), 4)


def test_splits_of_a_corpus_with_one_list_are_averaged_by_their_means():
    results = [outcome(1, 0, {"a": 0.2}, "DIEM"), outcome(2, 0, {"b": 0.4, "c": 0.6, "d": 0.8}, "DIEM")]
    found = measure(results, "DIEM", "CC")
    assert found is not None
    assert (found.averaging, found.interval.mean) == ("split_means", pytest.approx(0.4))
    assert found.other == pytest.approx(0.5)


def test_the_number_is_the_mean_over_seeds_and_its_spread_is_theirs():
    found = measure([outcome(1, 0, {"a": 0.2, "b": 0.4}), outcome(1, 1, {"a": 0.4, "b": 0.6})], "AVAD", "CC")
    assert found is not None
    assert found.interval.mean == pytest.approx(0.4)
    assert found.seed_spread == pytest.approx(math.sqrt(0.02))
    assert found.interval.low == pytest.approx(0.3)  # video a in both seeds: one piece of evidence
    assert found.videos == 2


def test_a_seed_that_lacks_a_split_has_no_part_in_the_spread():
    results = [outcome(1, 0, {"a": 0.2}), outcome(2, 0, {"b": 0.8}), outcome(1, 1, {"a": 0.2})]
    found = measure(results, "AVAD", "CC")
    assert found is not None
    assert (found.seed_spread, found.split_spread) == (None, None)


def test_undefined_values_do_not_count():
    found = measure([outcome(1, 0, {"a": None, "b": 0.4})], "AVAD", "CC")
    assert found is not None
    assert found.interval.mean == pytest.approx(0.4)
    assert measure([outcome(1, 0, {"a": None})], "AVAD", "CC") is None
    assert measure([outcome(1, 0, {"a": 0.1})], "AVAD", "NSS") is None
    assert measure([outcome(1, 0, {"a": 0.1})], "ETMD", "CC") is None


def test_a_dataset_may_name_a_split():
    results = [outcome(1, 0, {"a": 0.2}), outcome(2, 0, {"b": 0.8})]
    found = measure(results, "AVAD_split2", "CC")
    assert found is not None
    assert found.interval.mean == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("printed", "ours"),
    [("DHF1k", "DHF1K"), ("Coutrot1", "Coutrot1"), ("AVAD_split3", "AVAD"), ("my own", "my own")],
)
def test_printed_names_of_datasets_are_understood(printed: str, ours: str):
    assert dataset_corpus(printed) == (ours, 3 if "split" in printed else None)


def test_synthetic_and_real_results_are_never_mixed():
    made = outcome(1, 0, {"a": 0.2}, synthetic=frozenset({"AVAD"}))
    with pytest.raises(InputError, match=r"SYNTHETIC AVAD, .*20/result.json of the real one"):
        measure([made, outcome(2, 0, {"b": 0.3})], "AVAD", "CC")
    alone = measure([made], "AVAD", "CC")
    assert alone is not None
    assert alone.synthetic
    assert Cell("AVAD", "CC", 0.7, alone, 1).difference is None


def test_states_of_a_cell():
    ours = measure([outcome(1, 0, {"a": 0.2})], "AVAD", "CC")
    assert [
        Cell("AVAD", "CC", 0.1, None, 0, external=True).state,
        Cell("AVAD", "CC", 0.1, None, 0).state,
        Cell("AVAD", "CC", 0.1, None, 2).state,
        Cell("AVAD", "CC", 0.1, ours, 2).state,
        Cell("AVAD", "CC", 0.1, ours, 1).state,
    ] == ["external", "not planned", "missing", "incomplete", "complete"]
    assert Cell("AVAD", "CC", 0.1, ours, 1).difference == pytest.approx(0.1)


def test_pairs_are_compared_on_what_both_tested():
    first = measure([outcome(1, 0, {"a": 0.5, "b": 0.7}), outcome(2, 0, {"z": 0.0})], "AVAD", "CC")
    second = measure([outcome(1, 0, {"a": 0.4, "b": 0.6})], "AVAD", "CC")
    assert first is not None
    assert second is not None
    interval = paired_difference(first, second)
    assert (interval.mean, interval.low) == (pytest.approx(0.1), pytest.approx(0.1))
