from __future__ import annotations

import csv
import io
import json

import pytest
import yaml

from lightning_avsp.report import published_tables
from lightning_avsp.report.courses import LOSS, RATE
from lightning_avsp.report.documents import reports_as_csv
from lightning_avsp.report.published import Course
from lightning_avsp.report.table import SweepReport, read_report


def course(report: SweepReport, quantity: str) -> dict[int, float]:
    found = report.courses()
    return found[found.quantity == quantity].set_index("epoch").value.to_dict()


def test_courses_join_the_parts_of_a_run(table):
    table.finish(table.trials()[0])
    (run,) = (table.runs / "trainings").iterdir()
    later = run / "metrics" / "fit-2"
    later.mkdir()
    (later / "metrics.csv").write_text("epoch,step,train/epoch_loss,val/cc\n3,39,,0.9\n4,49,1.5,0.95\n4,4")
    report = table.report()
    cc = course(report, "val/cc")
    assert list(cc) == [1, 2, 3, 4, 5]
    assert [cc[4], cc[5]] == [0.9, 0.95]  # the later part replaces what it repeats
    assert course(report, LOSS) == {1: 2.0, 2: 1.75, 3: 1.5, 4: 1.25, 5: 1.5}
    assert course(report, RATE) == pytest.approx({1: 1.0, 2: 0.1, 3: 0.01, 4: 0.001})


def test_rows_of_training_courses_stand_in_the_csv_file(table):
    table.finish_all()
    rows = list(csv.DictReader(io.StringIO(reports_as_csv([table.report()]))))
    found = [one for one in rows if one["kind"] == "training course" and one["metric"] == LOSS]
    assert len(found) == 3 * 3 * 4  # rows, splits, epochs
    first = found[0]
    assert (first["row"], first["splits"], first["epoch"]) == ("baseline", "1", "1")
    assert (first["ours"], first["spread_seeds"], first["runs"]) == ("2.0", "0.0", "2")


PRINTED = """
- {row: {name: first, model: DiffSal, inputs: AV}, epoch: 1, AVAD_split2: [436]}
- {row: {name: last, model: DiffSal, inputs: AV}, AVAD_split2: [400]}
- {row: {name: never, model: DiffSal, inputs: AV}, epoch: 9, AVAD_split2: [null]}
"""


def test_numbers_printed_along_a_training_are_filled_from_its_course(table, monkeypatch):
    table.finish_all()
    tables = {"paper_table1": table.published}
    monkeypatch.setattr("lightning_avsp.report.table.published_tables", lambda: tables)
    quantity = "train/epoch_mse_per_pixel"
    along = {
        "course": {"sweep": "paper_table1", "row": "full_model & more", "quantity": quantity, "scale": 50}
    }
    table.printed |= along | {"id": "fig", "metrics": ["initial_loss"], "rows": yaml.safe_load(PRINTED)}
    report = read_report(table.path, table.runs, None, table.published)
    assert report.name == "fig"
    cells = report.frame[report.frame.dataset != ""].set_index("row")
    assert cells.ours.tolist()[:2] == pytest.approx([1.0, 1.0])  # .02 a pixel in split 2
    assert cells.state.tolist() == ["complete", "complete", "missing"]
    assert cells.planned.tolist() == [2, 2, 2]  # seeds of that split
    assert report.courses().value.max() == pytest.approx(1.5)
    assert set(report.courses().row) == {"full_model & more"}
    title = "squared error per pixel in training x 50"
    assert set(report.courses().quantity) == {title}
    assert report.notes[0].endswith(f"row full_model & more: {title} of the row's epoch")
    assert not any("protocol" in note or "scored frames" in note for note in report.notes)  # of tests
    for path in (table.runs / "sweeps").glob("*/*/result.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"training": "gone", "run_dir": "gone"}))
    assert set(table.report().frame.query("dataset != ''").state) == {"missing"}


def test_figures_of_mubic_rest_on_the_courses_of_a_table():
    tables = published_tables()
    courses = {name: one.course for name, one in tables.items() if one.course is not None}
    assert courses == {
        # 224 x 224 pixels
        "mubic_fig41": Course("mubic_table43", "MUBiC (Full)", "train/epoch_mse_per_pixel", scale=224 * 224),
        "mubic_fig43c": Course("mubic_table43", "MUBiC (Full)", "val/{metric}"),
    }
    assert tables["mubic_fig43c"].cells.epoch.tolist() == [1, 0]
    for one in courses.values():
        assert one.row in tables[one.sweep].rows.index
