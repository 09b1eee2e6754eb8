from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lightning_avsp.report import published_tables
from lightning_avsp.report.documents import escape_latex, render_latex, render_markdown, reports_as_csv
from lightning_avsp.report.frames import report_section
from lightning_avsp.report.html_page import render_html
from lightning_avsp.report.measured import rank_values
from lightning_avsp.report.table import report_published


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def records(report) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(reports_as_csv([report]))))


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
    assert rank_values(values, lower) == expected


def test_markdown_has_a_row_for_every_printed_one(filled):
    text = render_markdown([report_section(filled)])
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
    assert "3 of 3 pairs are in the paper's order (CC)" in text
    assert "<script>" not in text


def test_missing_numbers_are_called_missing(table):
    report = table.report()
    for render in (render_markdown, render_latex):
        assert render([report_section(report)]).count("missing") >= 6  # three rows, two metrics
    assert {one["state"] for one in records(report) if one["row"] == "baseline" and one["dataset"]} == {
        "missing"
    }


def test_synthetic_numbers_are_named_once_below_their_table(table):
    table.finish_all(synthetic=True)
    report = table.report()
    for render in (render_markdown, render_latex, render_html):
        before, after = (
            render([report_section(report)]).partition("<h3>Training courses")[0].split("SYNTHETIC")
        )
        assert "baseline" in before
        assert "ours on AVAD are of a generated corpus" in after
    measured = [one for one in records(report) if one["dataset"] and one["ours"]]
    assert len(measured) == 6
    assert all(one["synthetic"] == "SYNTHETIC" and one["difference"] == "" for one in measured)


def test_csv_holds_every_figure_behind_a_cell(filled):
    (one,) = [one for one in records(filled) if (one["row"], one["metric"]) == ("baseline", "CC")]
    assert float(one["low"]) < float(one["ours"]) < float(one["high"])
    assert float(one["difference"]) == pytest.approx(float(one["ours"]) - 0.7)
    assert (one["sweep"], one["paper_name"], one["table"]) == ("paper_table1", "DiffSal", "1")
    assert [one[k] for k in ("seeds", "splits", "runs", "planned", "rank")] == ["0 1", "1 2 3", "6", "6", ""]
    (time,) = [one for one in records(filled) if one["metric"] == "train_wall_s" and one["row"] == "baseline"]
    assert float(time["ours"]) == 100.0


def test_latex_is_balanced_and_escaped(filled):
    text = render_latex([report_section(filled)])
    for environment in ("table", "tabular"):
        assert text.count(rf"\begin{{{environment}}}") == text.count(rf"\end{{{environment}}}") == 2
    plain = re.sub(r"\\[{}]", "", text)
    assert plain.count("{") == plain.count("}")
    assert r"full\_model \& more" in text
    assert r"\textless{}script\textgreater{}" in text
    first = re.search(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end", text, re.DOTALL)
    assert first is not None
    rows = [line for line in first[2].splitlines() if re.search(r"& (ours|paper) &", line)]
    assert len(rows) == 8  # ours above the paper's
    assert all(len(re.findall(r"(?<!\\)&", line)) == len(first[1]) - 1 for line in rows)
    assert escape_latex("50 % of a_b & {c} #1 $ \\ ~ ^") == (
        r"50 \% of a\_b \& \{c\} \#1 \$ \textbackslash{} \textasciitilde{} \textasciicircum{}"
    )


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs a TeX engine: pdflatex")
def test_latex_compiles(filled, tmp_path: Path):
    tables = [report_published(one) for name, one in published_tables().items() if name.endswith(("1", "2"))]
    body = render_latex([report_section(one) for one in (filled, *tables)])
    packages = "".join(rf"\usepackage{{{name}}}" for name in ("booktabs", "adjustbox", "multirow"))
    path = tmp_path / "report.tex"
    path.write_text(f"\\documentclass{{article}}{packages}\n\\begin{{document}}\n{body}\n\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", path.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


def test_a_row_is_marked_where_it_is_worse_than_the_best_beyond_chance(filled):
    cells_of = {one["row"]: one for one in records(filled) if one["metric"] == "CC" and one["dataset"]}
    # the same videos of the same seeds, a row .05 above the other: the difference has no spread
    assert {name: one["worse"] for name, one in cells_of.items()} == {
        "baseline": "True",
        "+ECA <b>bold</b>": "True",
        "full_model & more": "False",
        "STAViS": "False",
    }
    assert render_markdown([report_section(filled)]).count("†") == 2 + 2 + 1  # CC, SIM, legend
