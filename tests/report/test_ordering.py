from __future__ import annotations

import math

import pandas as pd
import pytest

from lightning_avsp.evaluation.statistics import bootstrap_mean
from lightning_avsp.report.measured import Measured, Ordering, compare_order
from lightning_avsp.report.published import parse_table


def measured(*values: float) -> Measured:
    entries = pd.DataFrame([(0, 1, f"v{n}", value) for n, value in enumerate(values)])
    entries.columns = pd.Index(["seed", "split", "video", "value"])
    interval = bootstrap_mean([[(f"v{n}", value) for n, value in enumerate(values)]])
    return Measured(interval, "pooled", math.nan, None, None, 1, False, entries)


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
        (measured(0.1, 0.2), measured(0.2, 0.3), "holds", "the paper's ordering holds"),
        (measured(0.5, 0.6, 0.7), measured(0.1, 0.3, 0.2), "reversed", "1 reversed by more than"),
        (measured(0.9, 0.1, 0.3), measured(0.1, 0.8, 0.2), "undecided", "1 reversed, but by less"),
    ],
)
def test_the_order_of_two_rows(low: Measured, high: Measured, verdict: str, sentence: str):
    found = compare(PAPER, {"low": low, "high": high})
    assert found.pairs[["better", "worse", "verdict"]].values.tolist() == [["high", "low", verdict]]
    assert sentence in found.sentence()
    assert ("holds" in found.sentence()) == (verdict == "holds")


def test_where_less_is_better_the_order_is_turned():
    ours = {"low": measured(0.2, 0.2), "high": measured(0.4, 0.4)}
    found = compare(PAPER, ours, metrics=["KLD"])
    assert found.pairs[["better", "verdict"]].values.tolist() == [["low", "holds"]]


def test_equal_external_suspect_and_unprinted_rows_are_not_compared():
    paper = {"a": 0.5, "b": 0.5, "c": 0.9, "other": 0.4, "e": None}
    found = compare(paper, dict.fromkeys(paper, measured(0.5, 0.6)), flags="c")
    assert found.pairs.empty
    assert found.excluded == ("c (AVAD)",)
    assert compare(PAPER, {}, course={"sweep": "s", "row": "r", "quantity": "q"}).pairs.empty
    missing = compare(PAPER, {"low": measured(0.1)})
    assert missing.pairs.verdict.tolist() == ["missing"]
    assert missing.sentence().startswith("Not known yet")
