from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from lightning_avsp.errors import InputError
from lightning_avsp.report.measured import (
    Measured,
    Ordering,
    compare_order,
    dataset_corpus,
    measure,
    paired_difference,
)
from lightning_avsp.report.published import parse_table
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
    # results without seed and split count like others
    found = measured(result(None, None, {"a": 0.2, "b": 0.4}))
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


def values_of(*values: float) -> Measured:
    return measured(result(1, 0, {f"v{n}": value for n, value in enumerate(values)}))


def compare(paper: dict[str, float | None], ours: dict[str, Measured], flags: str = "", **more) -> Ordering:
    """Rows of one metric on AVAD; those called "other" are somebody else's, ``flags`` names one that is suspect."""
    rows = [
        {
            "row": {"name": name, "model": "X" if name == "other" else "P", "inputs": "V"},
            "AVAD": [value],
            "flags": {"AVAD": ["suspect"]} if name == flags else {},
        }
        for name, value in paper.items()
    ]
    content = {"id": "t", "table": "1", "source": "P 1", "kind": "ablation", "title": "t", "metrics": ["CC"]}
    table = parse_table("P", content | {"rows": rows} | more)
    return compare_order(table, {(name, "AVAD", table.metrics[0]): one for name, one in ours.items()})


PAPER = {"low": 0.6, "high": 0.7}


@pytest.mark.parametrize(
    ("low", "high", "verdict", "sentence"),
    [
        (values_of(0.1, 0.2), values_of(0.2, 0.3), "holds", "the paper's ordering holds"),
        (values_of(0.5, 0.6, 0.7), values_of(0.1, 0.3, 0.2), "reversed", "1 reversed by more than"),
        (values_of(0.9, 0.1, 0.3), values_of(0.1, 0.8, 0.2), "undecided", "1 reversed, but by less"),
    ],
)
def test_the_order_of_two_rows(low: Measured, high: Measured, verdict: str, sentence: str):
    found = compare(PAPER, {"low": low, "high": high})
    assert found.pairs[["better", "worse", "verdict"]].values.tolist() == [["high", "low", verdict]]
    assert sentence in found.sentence()
    assert ("holds" in found.sentence()) == (verdict == "holds")


def test_where_less_is_better_the_order_is_turned():
    ours = {"low": values_of(0.2, 0.2), "high": values_of(0.4, 0.4)}
    found = compare(PAPER, ours, metrics=["KLD"])
    assert found.pairs[["better", "verdict"]].values.tolist() == [["low", "holds"]]


def test_equal_external_suspect_and_unprinted_rows_are_not_compared():
    paper = {"a": 0.5, "b": 0.5, "c": 0.9, "other": 0.4, "e": None}
    found = compare(paper, dict.fromkeys(paper, values_of(0.5, 0.6)), flags="c")
    assert found.pairs.empty
    assert found.excluded == ("c (AVAD)",)
    assert compare(PAPER, {}, course={"sweep": "s", "row": "r", "quantity": "q"}).pairs.empty
    missing = compare(PAPER, {"low": values_of(0.1)})
    assert missing.pairs.verdict.tolist() == ["missing"]
    assert missing.sentence().startswith("Not known yet")
