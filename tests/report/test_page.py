from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from lightning_avsp.report.curves import Chart, Line, as_svg, read_charts
from lightning_avsp.report.leaderboard import read_leaderboard
from lightning_avsp.report.page import render_page
from lightning_avsp.report.strips import StripReader
from lightning_avsp.report.table import read_report

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Reader(HTMLParser):
    """Checks that elements are closed in order, and keeps what was seen."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def text(table) -> str:
    """A page with an incomplete sweep and a leaderboard."""
    for trial in table.trials()[:-1]:
        table.finish(trial, synthetic=True)
    report = read_report(table.path, table.runs)
    return render_page([report], read_leaderboard("AVAD", "cc", table.runs, table.sweeps))


def test_the_page_is_well_formed_and_escapes_what_it_is_given(text: str):
    page = Reader(text)
    assert len(page.all("script")) == 1  # none came with a title
    assert not page.all("b")  # nor with a row's name
    assert any("<script>alert(1)</script>" in word for word in page.words)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)


def test_the_page_asks_for_nothing_from_outside(text: str):
    page = Reader(text)
    assert not page.all("link")
    for tag, attributes in page.elements:
        for name in ("src", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/jpeg;base64,")), (tag, value)
    assert "url(" not in text
    assert "@import" not in text
    (policy,) = [one["content"] or "" for one in page.all("meta") if one.get("http-equiv")]
    assert policy.startswith("default-src 'none'; img-src data:;")
    for tag in ("style", "script"):
        body = re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert body is not None
        assert base64.b64encode(hashlib.sha256(body[1].encode()).digest()).decode() in policy


def test_tables_can_be_read_out_and_sorted_from_the_keyboard(text: str):
    page = Reader(text)
    tables = len(page.all("table"))
    assert tables == text.count("<caption") == text.count('class="sortable"') == 5
    assert {one.get("scope") for one in page.all("th")} == {"col", "row"}
    columns = [one for one in page.all("th") if one["scope"] == "col"]
    assert len(page.all("button")) == len(columns)
    assert {one["data-first"] for one in columns} == {"ascending", "descending"}
    assert all(one.get("alt") for one in page.all("img"))
    assert any(one.get("aria-live") == "polite" for one in page.all("p"))
    assert "prefers-color-scheme: dark" in text


def test_synthetic_numbers_are_marked_in_their_cells(text: str):
    marked = re.findall(r'<td class="ours cell"[^>]*>(.*?)</td>', text)
    assert len(marked) == 6
    assert all("SYNTHETIC" in cell for cell in marked)


def test_curves_join_the_parts_of_a_training(table):
    path = table.finish(table.trials()[0])
    (run,) = (table.runs / "trainings").iterdir()
    later = run / "metrics" / "fit-2"
    later.mkdir()
    (later / "metrics.csv").write_text("epoch,step,train/loss,val/cc\n3,39,,0.9\n4,49,,0.95\n4,4")
    charts = {chart.y: chart for chart in read_charts(read_report(table.path, table.runs))}
    (line,) = charts["CC"].lines
    assert list(line.mean) == [1, 2, 3, 4, 5]
    assert (line.mean[4], line.mean[5]) == (0.9, 0.95)  # what the later part repeats counts
    assert list(charts["loss"].lines[0].mean) == [0, 10, 20, 30]
    assert path.is_file()


def test_curves_are_found_where_runs_were_moved_as_a_whole(table):
    table.finish(table.trials()[0])
    moved = table.root / "elsewhere"
    table.runs.rename(moved)
    assert len(read_charts(read_report(table.path, moved))) == 2


@pytest.mark.parametrize(
    "values", [{1.0: 0.5}, {1.0: 0.0, 2.0: 0.0}, {float(n): n**2 / 7 for n in range(900)}]
)
def test_any_curve_can_be_drawn(values: dict[float, float]):
    svg = as_svg(Chart("<CC>", "epoch", "CC", (Line("a & b", (values,)),)), "chart")
    page = Reader(svg)
    for path in page.all("path"):
        assert "nan" not in (path["d"] or "")
    for number in re.findall(r'c[xy]="([^"]+)"', svg):
        assert -1 <= float(number) <= 641
    assert "a &amp; b" in svg


def test_pictures_are_scaled_and_stop_at_the_limit(table):
    table.finish_all()
    big = Image.new("RGB", (3000, 300), (200, 30, 30))
    for figures in (table.runs / "trainings").glob("*/figures"):
        big.save(figures / "epoch_004.png")
    report = read_report(table.path, table.runs)
    strips = StripReader().of(report)
    assert [strip.size for strip in strips] == [(1400, 140)] * 3
    coded = strips[0].uri.removeprefix("data:image/jpeg;base64,")
    with Image.open(io.BytesIO(base64.b64decode(coded))) as picture:
        assert picture.size == (1400, 140)
    few = StripReader(budget=len(coded) + 1).of(report)
    assert [bool(strip.uri) for strip in few] == [True, False, False]
    assert "left out" in few[1].why


def test_a_picture_that_cannot_be_read_is_named_not_hidden(table):
    table.finish(table.trials()[0])
    for path in (table.runs / "trainings").glob("*/figures/*.png"):
        path.write_bytes(b"no picture")
    (strip,) = StripReader().of(read_report(table.path, table.runs))
    assert strip.uri == ""
    assert strip.why.startswith("cannot be read")
