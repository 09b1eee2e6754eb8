from __future__ import annotations

import csv
import io
import re

import pytest

from lightning_avsp.report.latex import escape, reports_as_latex
from lightning_avsp.report.markdown import reports_as_markdown
from lightning_avsp.report.marks import ranks
from lightning_avsp.report.records import reports_as_csv
from lightning_avsp.report.table import read_report


@pytest.fixture
def filled(table):
    """Two rows finished, one with five of six trials; SYNTHETIC is off."""
    for trial in table.trials()[:-1]:
        table.finish(trial)
    return read_report(table.path, table.runs)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


@pytest.mark.parametrize(
    ("values", "lower", "expected"),
    [
        ([0.1, 0.3, 0.2], False, [0, 1, 2]),
        ([0.1, 0.3, 0.2], True, [1, 0, 2]),
        ([0.3001, 0.3004, 0.2], False, [1, 1, 2]),  # equal as they are shown
        ([None, 0.3, float("nan")], False, [0, 0, 0]),  # alone
        ([0.4, 0.3, 0.2, 0.1], False, [1, 2, 0, 0]),
    ],
)
def test_best_and_second(values, lower: bool, expected: list[int]):
    assert ranks(values, lower) == expected


def test_markdown_has_a_row_for_every_printed_one(filled):
    text = reports_as_markdown([filled])
    table = [cells(line) for line in text.splitlines() if line.startswith("| ")]
    assert table[0][:4] == ["row", "CC paper", "CC ↑ ours", "Δ CC"]
    rows = {row[0]: row for row in table[2:6]}
    assert rows["STAViS"][1:4] == ["0.608", "–", "–"]
    best = rows["full\\_model & more"]
    assert best[1] == "**0.720**"
    assert best[2].startswith("**0.7")
    assert "(5 of 6 runs)" in best[2]
    assert best[-1] == "5/6"
    assert rows["+ECA \\<b\\>bold\\</b\\>"][2].startswith("<u>0.6")
    assert rows["baseline"][4] == "–"  # not printed
    assert "INCOMPLETE: 17 of 18 trials" in text
    assert "<script>" not in text


def test_missing_numbers_are_called_missing(table):
    report = read_report(table.path, table.runs)
    for text in (reports_as_markdown([report]), reports_as_latex([report])):
        assert text.count("missing") >= 6  # three rows, two metrics
    records = list(csv.DictReader(io.StringIO(reports_as_csv([report]))))
    assert {one["state"] for one in records if one["row"] == "baseline" and one["dataset"]} == {"missing"}


def test_synthetic_numbers_say_so_in_every_format(table):
    table.finish_all(synthetic=True)
    report = read_report(table.path, table.runs)
    lines = [line for line in reports_as_markdown([report]).splitlines() if line.startswith("| baseline")]
    assert lines[0].count("SYNTHETIC") == 2
    assert reports_as_latex([report]).count("SYNTHETIC") >= 6
    records = list(csv.DictReader(io.StringIO(reports_as_csv([report]))))
    measured = [one for one in records if one["dataset"] and one["ours"]]
    assert len(measured) == 6
    assert all(one["synthetic"] == "SYNTHETIC" and one["difference"] == "" for one in measured)


def test_csv_holds_every_figure_behind_a_cell(filled):
    records = list(csv.DictReader(io.StringIO(reports_as_csv([filled]))))
    (one,) = [one for one in records if (one["row"], one["metric"]) == ("baseline", "CC")]
    assert float(one["low"]) < float(one["ours"]) < float(one["high"])
    assert float(one["difference"]) == pytest.approx(float(one["ours"]) - 0.7)
    assert one["averaging"] == "pooled"
    assert float(one["ours_other_averaging"]) != pytest.approx(float(one["ours"]))
    assert (one["seeds"], one["splits"], one["runs"], one["planned"]) == ("0 1", "1 2 3", "6", "6")
    times = [one for one in records if one["metric"] == "train_wall_s" and one["row"] == "baseline"]
    assert [float(time["ours"]) for time in times] == [100.0]


def test_latex_is_balanced_and_escaped(filled):
    text = reports_as_latex([filled])
    for environment in ("table", "tabular"):
        assert text.count(rf"\begin{{{environment}}}") == text.count(rf"\end{{{environment}}}") == 2
    plain = re.sub(r"\\[{}]", "", text)
    assert plain.count("{") == plain.count("}")
    assert r"full\_model \& more" in text
    assert r"\textless{}script\textgreater{}" in text
    first = re.search(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end", text, re.DOTALL)
    assert first is not None
    for line in first[2].splitlines():
        if line.startswith((r"\quad", "baseline", "STAViS")):
            assert len(re.findall(r"(?<!\\)&", line)) == len(first[1]) - 1


def test_latex_leaves_no_sign_that_is_a_command():
    assert escape("50 % of a_b & {c} #1 $ \\ ~ ^") == (
        r"50 \% of a\_b \& \{c\} \#1 \$ \textbackslash{} \textasciitilde{} \textasciicircum{}"
    )
