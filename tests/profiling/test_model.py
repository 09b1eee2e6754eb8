"""The cost table: the released networks meet the published figures."""

from __future__ import annotations

from io import StringIO

import pytest

from lightning_avsp.papers.diffsal.released import ReleasedDiffSal
from lightning_avsp.profiling.model import ModelCost, measure, print_rows, truncated


@pytest.fixture(scope="module")
def rows() -> list[ModelCost]:
    return [
        measure("released", modality, lambda attention, m=modality: ReleasedDiffSal(m, attention=attention))
        for modality in ("av", "v")
    ]


@pytest.mark.full_size
def test_released_meets_the_published_figures(rows: list[ModelCost]) -> None:
    av, v = rows
    assert (truncated(av.params, 1e6), truncated(av.macs, 1e9)) == ("76.57", "187.31")
    assert (truncated(v.params, 1e6), truncated(v.macs, 1e9)) == ("70.54", "161.06")
    assert truncated(av.params_standard, 1e6) == "76.43"  # Table 4, SCA


@pytest.mark.full_size
def test_released_counts_in_full(rows: list[ModelCost]) -> None:
    av, v = rows
    assert (av.params, v.params) == (76_577_185, 70_545_409)
    assert (av.macs // 10**6, v.macs // 10**6) == (187_312, 161_066)
    assert (av.flops // 10**6, v.flops // 10**6) == (460_023, 407_262)


@pytest.mark.full_size
def test_memory_of_table_4(rows: list[ModelCost]) -> None:
    av = rows[0]
    # The scores of the finest stage alone: 9 frames x 2 heads x 5376 x 5376, before and after the softmax.
    assert av.memory_standard > 2 * 9 * 2 * 5376**2 * 4
    assert av.memory_standard > 4 * av.memory_eca  # Table 4: 5.32 against 1.20


@pytest.mark.full_size
def test_prints_one_table(rows: list[ModelCost]) -> None:
    from rich.console import Console

    out = StringIO()
    print_rows(rows, Console(file=out, width=200))
    text = out.getvalue()
    for figure in ("76.57", "187.31", "70.54", "161.06", "76.43", "460.02", "1.20", "5.32"):
        assert figure in text


def test_figures_are_cut_like_the_paper_cuts_them() -> None:
    assert truncated(76_577_185, 1e6) == "76.57"
    assert truncated(187.31e9, 1e9) == "187.31"
    assert truncated(0.29e9, 1e9) == "0.29"
