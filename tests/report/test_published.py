from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lightning_avsp.errors import InputError
from lightning_avsp.report import published, published_tables
from lightning_avsp.report.published import FLAGS, printed

RENAMED = {"UNISAL (printed UNIVSAL)": "UNIVSAL"}
"""A row that the reference names by two names; ours keeps the printed one."""


@pytest.mark.shared
def test_every_cell_is_that_of_the_reference(shared: Path):
    reference = yaml.safe_load((shared / "reference" / "paper_tables.yaml").read_text())
    # the survey of table 2.5 is no comparison of the thesis' own
    tables = [one for one in published_tables().values() if one.id != "mubic_table25"]
    ours = {(one.paper, one.table): one for one in tables}
    assert [(one["paper"], one["table"]) for one in reference] == list(ours)
    for theirs in reference:
        table = ours[theirs["paper"], theirs["table"]]
        assert (table.kind, list(table.metrics)) == (theirs["kind"], theirs["metrics"])
        assert (list(table.corpora), table.title) == (theirs["datasets"], theirs["title"])
        wanted = [
            (RENAMED.get(row["name"], row["name"]), corpus, metric, value)
            for row in theirs["rows"]
            for corpus, values in (*row["values"].items(), ("", row.get("efficiency", {})))
            for metric, value in values.items()
        ]
        cells = table.cells[["row", "corpus", "metric", "value"]].astype(object)
        found = cells.where(cells.notna(), None).itertuples(index=False, name=None)
        assert sorted(found, key=str) == sorted(wanted, key=str)
        external = [row["overrides"].startswith("external") for row in theirs["rows"]]
        assert list(table.rows.external) == external


def test_all_tables_and_rows_are_there():
    assert len(published_tables()) == 27
    assert sum(len(table.rows) for table in published_tables().values()) == 150
    assert len(published()) == 1406


def test_a_query_narrows_down_by_every_name():
    found = published(paper="tavdiff", table="I", model="casp-net", corpus="avad", metric="auc_judd")
    assert found[["row", "value", "inputs"]].values.tolist() == [["CASP(AV)", 0.933, "AV"]]
    assert set(published(model="Vinet(AV)").model) == {"ViNet"}
    assert published(corpus="AVAD", metric="AUC-J").equals(published(corpus="AVAD", metric="auc_judd"))
    assert published("DiffSal", "4", metric="memory_G").value.tolist() == [5.32, 1.2]
    # one model has one name in all papers
    assert set(published(model="ViNet").row) == {
        *("ViNet", "Vinet(AV)", "AViNet", "AviNet"),
        *("ViNet(V)", "ViNet(AV)"),
    }
    shown = [printed(0.58, "CC"), printed(2.1, "NSS"), printed(2.541, "NSS"), printed(76.6, "params_M")]
    assert shown == ["0.580", "2.10", "2.541", "76.6"]


@pytest.mark.parametrize("name", ["paper", "table", "model", "corpus", "metric"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str):
    with pytest.raises(InputError, match=f"no {name} 'nowhere' among"):
        published(**{name: "nowhere"})


def test_disagreements_are_found_on_both_sides():
    found = (
        published(model="STAViS", corpus="Coutrot1", metric="NSS").set_index(["place", "inputs"]).disagrees
    )
    assert found["TAVDiff II", "AV"] == "DiffSal 6: 2.11; MUBiC 2.5: 2.11; AVRSP II: 2.11"
    assert found["AVRSP II", "AV"] == "TAVDiff II: 2.21"
    assert found["AVRSP II", "V"] == ""  # another network, not another opinion
    (same_paper,) = published("AVRSP", "V", "Visual-only baseline", "DIEM", "SIM").disagrees
    assert same_paper == "AVRSP I: 0.545; AVRSP III: 0.545; AVRSP IV: 0.545"


def test_rounding_is_no_disagreement():
    sizes = published(model="DiffSal", metric="params_M")
    sizes = sizes[(sizes.inputs == "AV") & (sizes.setting == "")].set_index("place")
    assert (sizes.value["MUBiC 4.2"], sizes.disagrees["MUBiC 4.2"]) == (76.6, "")
    assert (sizes.value["DiffSal 6"], sizes.disagrees["DiffSal 6"]) == (76.57, "")
    assert published("MUBiC", "4.2", "STAViS", metric="params_M").disagrees.tolist() == ["DiffSal 6: 20.76"]


def test_flags_name_reasons_for_care():
    found = published()
    suspect = found[(found["flags"] == "suspect") & (found.place == "TAVDiff III")]
    assert set(zip(suspect.row, suspect.corpus, strict=True)) == {("U-Net", "ETMD"), ("DiT", "ETMD")}
    assert set(found.row[found["flags"] == "derived"]) == {"steps=12"}
    copied = found[found["flags"] == "duplicate"]
    assert set(copied.row) == {"AviNet", "TSFP-Net(V)"}
    original, copy = published("DiffSal", "6", "ACLNet"), published("MUBiC", "2.5", "AviNet")
    assert sorted(original.value[original.corpus != ""]) == sorted(copy.value)
    assert found.value[found["flags"].isin(["plot_only", "not_printed"])].isna().all()
    assert set(found["flags"]) - {""} == set(FLAGS)
