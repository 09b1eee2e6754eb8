from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from lightning_avsp.evaluation.statistics import bootstrap_mean
from lightning_avsp.report.cells import Cell, Measured
from lightning_avsp.report.expected import Expected, ExpectedRow, Ordering
from lightning_avsp.report.ordering import compare_order


def expected(
    values: dict[str, float | None], ordering: Ordering | None = None, external: tuple[str, ...] = ()
) -> Expected:
    rows = tuple(
        ExpectedRow(name, index, {"AVAD": {"CC": value}}, {}, name in external, ())
        for index, (name, value) in enumerate(values.items())
    )
    return Expected(
        Path("t"),
        "P",
        "1",
        "ablation",
        "t",
        "",
        ("CC",),
        ("AVAD",),
        rows,
        ordering or Ordering("CC", ("AVAD",)),
    )


def measured(*values: float) -> Measured:
    entries = tuple((0, 1, f"v{place}", value) for place, value in enumerate(values))
    interval = bootstrap_mean([[(video, value) for _, _, video, value in entries]])
    return Measured(interval, "pooled", math.nan, None, None, 1, (0,), (1,), len(values), False, entries)


def compare(paper: dict[str, float | None], ours: dict[str, Measured | None], **more):
    table = expected(paper, **more)
    cells = {
        row.name: {("AVAD", "CC"): Cell("AVAD", "CC", row.printed("AVAD", "CC"), ours[row.name], 1)}
        for row in table.rows
    }
    return compare_order(table, cells)


PAPER = {"low": 0.6, "high": 0.7}


def test_the_same_order_holds():
    found = compare(PAPER, {"low": measured(0.1, 0.2), "high": measured(0.2, 0.3)})
    assert [(pair.better, pair.verdict) for pair in found.pairs] == [("high", "holds")]
    assert "the paper's ordering holds" in found.sentence()


def test_a_reversal_beyond_the_interval_is_told_from_one_within_it():
    sure = compare(PAPER, {"low": measured(0.5, 0.6, 0.7), "high": measured(0.1, 0.3, 0.2)})
    assert [pair.verdict for pair in sure.pairs] == ["reversed"]
    unsure = compare(PAPER, {"low": measured(0.9, 0.1, 0.3), "high": measured(0.1, 0.8, 0.2)})
    assert [pair.verdict for pair in unsure.pairs] == ["undecided"]
    assert "1 reversed, but by less" in unsure.sentence()
    assert "holds" not in unsure.sentence()


def test_a_missing_row_leaves_its_pairs_open():
    found = compare(PAPER, {"low": measured(0.1), "high": None})
    assert [pair.verdict for pair in found.pairs] == ["missing"]
    assert found.sentence().startswith("Not known yet")


def test_equal_external_excluded_and_unprinted_rows_are_no_targets():
    ours = dict.fromkeys(("a", "b", "c", "d", "e"), measured(0.5, 0.6))
    ordering = Ordering("CC", ("AVAD",), (("c", "AVAD", None),))
    paper = {"a": 0.5, "b": 0.5, "c": 0.9, "d": 0.4, "e": None}
    found = compare(paper, ours, ordering=ordering, external=("d",))
    assert found.pairs == ()
    assert found.excluded == ("c (AVAD)",)


@pytest.mark.parametrize(
    ("entry", "dataset", "excluded"),
    [
        (("row", None, None), "ETMD", True),
        (("row", "ETMD", None), "ETMD", True),
        (("row", "ETMD", None), "AVAD", False),
        (("row", None, "SIM"), "ETMD", False),
    ],
)
def test_exclusions_name_a_row_a_dataset_and_a_metric(
    entry: tuple[str, str | None, str | None], dataset: str, excluded: bool
):
    assert Ordering("CC", ("AVAD", "ETMD"), (entry,)).excludes("row", dataset) is excluded


def test_a_table_without_an_ordering_compares_nothing():
    table = expected(PAPER)
    cells = {row.name: {("AVAD", "CC"): Cell("AVAD", "CC", 0.1, None, 1)} for row in table.rows}
    assert compare_order(replace(table, ordering=None), cells).pairs == ()
