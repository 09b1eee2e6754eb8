from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from PIL import Image

from lightning_avsp.report.frames import leaderboard_section, report_section
from lightning_avsp.report.html_page import draw_courses, read_samples, render_html
from lightning_avsp.report.leaderboard import read_leaderboard

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Reader(HTMLParser):
    """Checks that elements are closed in order, and stores them."""

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


@pytest.fixture(scope="module")
def text(synthetic_table) -> str:
    """A page with an incomplete sweep and a leaderboard."""
    board = read_leaderboard("AVAD", "cc", synthetic_table.runs)
    return render_html([report_section(synthetic_table.report()), leaderboard_section(board)])


def test_the_page_is_well_formed_and_escapes_what_it_is_given(text: str):
    page = Reader(text)
    assert len(page.all("script")) == 1  # none came with a title
    assert any("<script>alert(1)</script>" in word for word in page.words)
    assert "+ECA <b>bold</b>" in page.words  # a row's name
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)


def test_the_page_loads_nothing_from_outside(text: str):
    page = Reader(text)
    assert not page.all("link")
    for tag, attributes in page.elements:
        for name in ("src", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/")), (tag, value)
    assert "url(" not in text
    assert "@import" not in text
    (policy,) = [one["content"] or "" for one in page.all("meta") if one.get("http-equiv")]
    assert policy.startswith("default-src 'none'; img-src data:;")
    for tag in ("style", "script"):
        body = re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert body is not None
        assert base64.b64encode(hashlib.sha256(body[1].encode()).digest()).decode() in policy


def test_tables_can_be_read_out_and_sorted(text: str):
    page = Reader(text)
    assert len(page.all("table")) == text.count("<caption") == text.count('class="sortable"') == 9
    numbers = page.all("data")  # by their values the script sorts
    assert len([one for one in numbers if one["value"]]) > 100
    assert all(one.get("alt") for one in page.all("img"))
    assert any(one.get("aria-live") == "polite" for one in page.all("p"))
    assert "prefers-color-scheme: dark" in text


@pytest.mark.parametrize("epochs", [1, 900])
def test_any_course_is_drawn_with_a_panel_for_each_split(epochs: int):
    sizes = []
    for splits in ([-1], [1, 2]):
        points = [("a_$1 & b", split, 0, "val/cc", n + 1, n / 7) for split in splits for n in range(epochs)]
        columns = ["row", "split", "seed", "quantity", "epoch", "value"]
        (picture,) = draw_courses(pd.DataFrame(points, columns=columns))
        with Image.open(
            io.BytesIO(base64.b64decode(picture.uri.removeprefix("data:image/png;base64,")))
        ) as image:
            sizes.append(image.size)
    assert picture.description.startswith("validation CC by epoch: a_$1 & b, split 1 ends at")
    assert "a_$1 & b, mean over splits ends at" in picture.description
    assert sizes[0][0] == sizes[1][0]
    assert sizes[1][1] > 2 * sizes[0][1]


def test_pictures_are_scaled_and_stop_at_the_limit(table):
    table.finish_all()
    big = Image.new("RGB", (3000, 300), (200, 30, 30))
    for figures in (table.runs / "trainings").glob("*/figures"):
        big.save(figures / "epoch_004.png")
    report = table.report()
    pictures = read_samples(report)
    coded = [picture.uri.removeprefix("data:image/jpeg;base64,") for picture in pictures]
    for one in coded:
        with Image.open(io.BytesIO(base64.b64decode(one))) as image:
            assert image.size == (1400, 140)
    few = read_samples(report, budget=len(pictures[0].uri) + 1)
    assert [bool(picture.uri) for picture in few] == [True, False, False]
    assert "left out" in few[1].caption
    for path in (table.runs / "trainings").glob("*/figures/*.png"):
        path.write_bytes(b"no picture")
    first = read_samples(report)[0]
    assert first.uri == ""
    assert "cannot be read" in first.caption
