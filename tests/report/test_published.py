from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lightning_avsp.errors import InputError
from lightning_avsp.report import published, published_tables
from lightning_avsp.report.published import flag_meanings, paper_titles, printed

RENAMED = {"UNISAL (printed UNIVSAL)": "UNIVSAL"}
"""Rows that the reference names by two names; ours keeps the printed one."""


@pytest.mark.shared
def test_every_cell_is_that_of_the_reference(shared: Path):
    reference = yaml.safe_load((shared / "reference" / "paper_tables.yaml").read_text())
    ours = {(one.paper, one.table): one for one in published_tables()}
    assert [(one["paper"], one["table"]) for one in reference] == list(ours)
    for theirs in reference:
        table = ours[theirs["paper"], theirs["table"]]
        assert (table.kind, list(table.metrics)) == (theirs["kind"], theirs["metrics"])
        assert list(table.corpora) == theirs["datasets"]
        wanted = {
            (index, RENAMED.get(row["name"], row["name"]), corpus, metric): value
            for index, row in enumerate(theirs["rows"])
            for corpus, values in (*row["values"].items(), (None, row.get("efficiency", {})))
            for metric, value in values.items()
        }
        found = {(one.index, one.row, one.corpus, one.metric): one.value for one in table.values}
        assert found == wanted
        externals = {
            index for index, row in enumerate(theirs["rows"]) if row["overrides"].startswith("external")
        }
        assert {one.index for one in table.values if one.external} == externals


def test_all_tables_and_rows_are_there():
    assert len(published_tables()) == 26
    assert len({(one.paper, one.table, one.index) for one in published()}) == 145
    assert {one.paper for one in published()} == set(paper_titles())


def test_a_query_narrows_down_by_every_name():
    found = published(paper="tavdiff", table="I", model="casp-net", corpus="avad", metric="auc_judd")
    assert [(one.row, one.value, one.inputs) for one in found] == [("CASP(AV)", 0.933, "AV")]
    assert {one.model for one in published(model="Vinet(AV)")} == {"ViNet"}
    assert published(corpus="AVAD", metric="AUC-J") == published(corpus="AVAD", metric="auc_judd")
    assert [one.value for one in published("DiffSal", "4", metric="memory_G")] == [5.32, 1.2]


@pytest.mark.parametrize("what", ["paper", "table", "model", "corpus", "metric"])
def test_an_unknown_name_is_refused_with_those_that_there_are(what: str):
    with pytest.raises(InputError, match=f"no {what} 'nowhere'"):
        published(**{what: "nowhere"})


def test_one_model_has_one_name_in_all_papers():
    rows = {one.row for one in published(model="ViNet")}
    assert rows == {"ViNet", "Vinet(AV)", "AViNet", "ViNet(V)", "ViNet(AV)"}
    assert {one.row for one in published(model="UNISAL")} == {"UNIVSAL"}


def test_disagreements_are_found_on_both_sides():
    found = published(model="STAViS", corpus="Coutrot1", metric="NSS")
    audio_visual = {one.place: one for one in found if one.inputs == "AV"}
    assert audio_visual["TAVDiff II"].disagrees == ("DiffSal 6: 2.11", "AVRSP II: 2.11")
    assert audio_visual["AVRSP II"].disagrees == ("TAVDiff II: 2.21",)
    assert [one.disagrees for one in found if one.inputs == "V"] == [
        ()
    ]  # another network, not another opinion


def test_rounding_is_no_disagreement():
    sizes = published(model="DiffSal", metric="params_M")
    as_proposed = {
        (one.place, one.value, one.disagrees) for one in sizes if one.inputs == "AV" and not one.setting
    }
    assert ("MUBiC 4.2", 76.6, ()) in as_proposed
    assert ("DiffSal 6", 76.57, ()) in as_proposed
    assert published("MUBiC", "4.2", "STAViS", metric="params_M")[0].disagrees == ("DiffSal 6: 20.76",)


def test_a_paper_that_contradicts_itself_is_found():
    (cell,) = published("AVRSP", "V", "Visual-only baseline", "DIEM", "SIM")
    assert cell.disagrees == ("AVRSP I: 0.545", "AVRSP III: 0.545", "AVRSP IV: 0.545")


def test_flags_say_what_needs_care():
    suspect = [one for one in published("TAVDiff", "III") if "suspect" in one.flags]
    assert {(one.row, one.corpus) for one in suspect} == {("U-Net", "ETMD"), ("DiT", "ETMD")}
    assert {one.row for one in published() if "derived" in one.flags} == {"steps=12"}
    plotted = [one for one in published() if "plot_only" in one.flags]
    assert plotted
    assert all(one.value is None for one in plotted)
    assert {flag for one in published() for flag in one.flags} == set(flag_meanings())


def test_numbers_are_shown_with_their_decimals():
    assert [printed(0.58, "CC"), printed(2.1, "NSS"), printed(2.541, "NSS"), printed(76.6, "params_M")] == [
        "0.580",
        "2.10",
        "2.541",
        "76.6",
    ]
