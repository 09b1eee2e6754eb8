from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_avsp.errors import InputError
from lightning_avsp.report.efficiency import CostCounter, NetworkCost
from lightning_avsp.report.outcomes import RowIndex
from lightning_avsp.report.table import SweepReport, read_printed, read_report
from lightning_avsp.sweep import expand, load_sweep


def report(table, **more) -> SweepReport:
    return read_report(table.path, table.runs, **more)


def test_without_any_run_every_cell_is_missing(table):
    found = report(table)
    assert [row.cells["AVAD", "CC"].state for row in found.rows] == ["missing"] * 3 + ["external"]
    assert [row.cells["AVAD", "CC"].paper for row in found.rows] == [0.70, 0.71, 0.72, 0.608]
    assert (found.done, found.planned, found.complete) == (0, 18, False)


def test_finished_trials_fill_their_rows(table):
    table.finish_all()
    found = report(table)
    assert found.complete
    row = found.rows[1]
    ours = row.cells["AVAD", "CC"].ours
    assert ours is not None
    # per split s of 2 + s videos: 0.65 + 0.02 s + 0.05 (mean place - 2), and 0.005 more on average over both seeds
    pooled = sum(0.02 * s + 0.05 * (n - 2) for s in (1, 2, 3) for n in range(2 + s)) / 12
    assert ours.interval.mean == pytest.approx(0.65 + 0.005 + pooled)
    assert (ours.runs, ours.seeds, ours.splits, ours.averaging) == (6, (0, 1), (1, 2, 3), "pooled")
    assert row.cells["AVAD", "CC"].difference == pytest.approx(ours.interval.mean - 0.71)
    assert (row.train_wall_s, row.test_wall_s, row.device) == (100.0, 12.0, "cpu")
    assert found.ordering.count("holds") == 3


def test_a_trial_that_is_not_finished_makes_its_row_incomplete(table):
    for trial in table.trials()[:-1]:
        table.finish(trial)
    found = report(table)
    states = [row.cells["AVAD", "CC"].state for row in found.rows]
    assert states.count("incomplete") == 1
    assert (found.done, found.complete) == (17, False)


def test_a_cell_without_a_number_keeps_a_table_incomplete(table):
    table.finish_all()
    table.expected["metrics"].append("KLD")
    table.write()
    found = report(table)
    assert found.rows[0].cells["AVAD", "KLD"].state == "missing"
    assert not found.complete


def test_a_dataset_that_no_trial_tests_is_not_missing_but_not_planned(table):
    table.finish_all()
    table.expected["datasets"].append("ETMD")
    table.write()
    found = report(table)
    assert found.rows[0].cells["ETMD", "CC"].state == "not planned"
    assert found.complete


def test_corpora_of_the_experiment_count_where_the_sweep_names_none(table):
    del table.content["parameters"]["data"]["parameters"]["corpora"]
    table.expected["datasets"].append("DIEM")
    table.write()
    cells = report(table).rows[0].cells  # smoke.yaml tests AVAD
    assert [cells["AVAD", "CC"].planned, cells["DIEM", "CC"].planned] == [6, 0]


def test_synthetic_results_are_marked_and_not_compared(table):
    table.finish_all(synthetic=True)
    found = report(table)
    assert found.synthetic
    assert found.ordering.sentence().startswith("SYNTHETIC")
    assert found.rows[0].cells["AVAD", "CC"].difference is None
    assert found.notes[0].startswith("SYNTHETIC")


def test_results_of_trials_that_the_file_no_longer_lists_are_left_out_and_named(table):
    table.finish_all()
    gone = {trial.id for trial in table.trials()}
    table.content["parameters"]["seed_everything"]["values"] = [1]
    table.write()
    found = report(table)
    assert (found.done, found.planned) == (9, 9)
    (note,) = [note for note in found.notes if note.startswith("9 results belong to trials that the sweep")]
    named = set(note.split(": ")[1].removesuffix(", ...").split(", "))
    assert len(named) == 5
    assert named <= gone - {trial.id for trial in table.trials()}


def test_what_chose_the_checkpoint_and_leaks_are_noted(table):
    trials = table.trials()
    table.finish(trials[0], selection="chosen on the TEST list: scores are optimistic")
    table.finish(trials[1], leaks=["LEAK: 3 test videos were seen by init_from"])
    notes = report(table).notes
    assert "checkpoints chosen on the TEST list: scores are optimistic" in notes
    assert "LEAK: 3 test videos were seen by init_from" in notes


def test_a_broken_result_is_named(table):
    path = table.finish(table.trials()[0])
    path.write_text('{"trial": "x"')
    with pytest.raises(InputError, match=r"result.json is no result of a trial"):
        report(table)


def test_a_result_of_another_trial_is_refused(table):
    first, second = table.trials()[:2]
    content = json.loads(table.finish(first).read_text())
    table.finish(second).write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"is the result of trial {first.id}"):
        report(table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": None}, "lacks something"),
        ({"metrics": 3}, "lacks something"),
        ({"rows": [{"name": "a", "index": 3, "values": {}}]}, "lists 3"),
        ({"rows": [{"name": "a", "index": 0}, {"name": "a", "index": 1}]}, "more than one row called a"),
    ],
)
def test_printed_rows_that_do_not_fit_are_refused(table, change: dict[str, Any], message: str):
    table.expected.update(change)
    table.write()
    with pytest.raises(InputError, match=message):
        report(table)


def test_a_sweep_without_printed_rows_says_which_file_it_needs(table):
    table.path.with_name("paper_table1.expected.yaml").unlink()
    with pytest.raises(InputError, match=r"paper_table1.expected.yaml"):
        report(table)


def index_of(tmp_path: Path, parameters: dict[str, Any]) -> list[int]:
    path = tmp_path / "s.yaml"
    content = {"method": "grid", "program": "p", "parameters": parameters}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    sweep = load_sweep(path)
    return [RowIndex(sweep).of(trial.overrides) for trial in expand(sweep)]


def test_rows_may_differ_in_anything_but_seed_split_and_corpora(tmp_path: Path):
    repeated = {
        "seed_everything": {"values": [0, 1]},
        "data": {"parameters": {"split": {"values": [1, 2]}, "corpora": {"values": [["AVAD"], ["ETMD"]]}}},
    }
    assert index_of(tmp_path, repeated) == [0] * 8
    assert index_of(tmp_path, {"trainer": {"values": [{"max_epochs": 5}, {"max_epochs": 12}]}}) == [0, 1]
    nested = {"model": {"parameters": {"a": {"values": ["x", "y", "z"]}}}, **repeated}
    assert sorted(set(index_of(tmp_path, nested))) == [0, 1, 2]
    whole = {"data": {"values": [{"split": 1}, {"split": 2}]}, "model": {"values": [{"a": 2.0}, {"a": 1}]}}
    assert index_of(tmp_path, whole) == [0, 1, 0, 1]


def test_networks_are_counted_before_any_training(table):
    found = report(table, counter=CostCounter())
    costs = [row.cost for row in found.rows]
    assert costs[3] is None  # somebody else's
    tiny = [cost for cost in costs if isinstance(cost, NetworkCost)]
    assert len(tiny) == 3
    assert tiny[0].params < tiny[1].params  # sound adds an encoder
    assert tiny[1].memory > tiny[2].memory  # standard attention's matrices against compressed ones
    assert all(cost.all_params >= cost.params > 100_000 for cost in tiny)
    assert all(0 < 2 * cost.macs < 3 * cost.flops for cost in tiny)


def test_a_row_whose_network_cannot_be_built_says_why(table):
    table.vary_sampling()
    table.content["parameters"]["model"]["values"][1] = {
        "init_args": {"network": {"init_args": {"interaction": "not there yet"}}}
    }
    table.write()
    found = report(table, counter=CostCounter())
    assert isinstance(found.rows[1].cost, str)
    assert isinstance(found.rows[2].cost, NetworkCost)
    command = table.content["command"]
    command[command.index("--config") + 1] = "experiments/gone.yaml"
    table.write()
    costs = [row.cost for row in report(table, counter=CostCounter()).rows[:3]]
    assert all(
        isinstance(cost, str) and "no experiment file at experiments/gone.yaml" in cost for cost in costs
    )


def test_runs_of_another_network_than_the_sweep_describes_are_told(table):
    table.vary_sampling()
    trial = table.trials()[0]
    table.finish(trial, parameters={"trainable": 1_000, "frozen": 234})
    notes = report(table, counter=CostCounter()).notes
    assert any("trained a network of 0.00 M parameters" in note for note in notes)


def test_equal_networks_are_counted_once(table, monkeypatch: pytest.MonkeyPatch):
    from lightning_avsp.report import efficiency

    calls: list[int] = []
    real = efficiency.count

    def counted(*arguments: Any) -> NetworkCost:
        calls.append(1)
        return real(*arguments)

    monkeypatch.setattr(efficiency, "count", counted)
    table.vary_sampling()
    costs = {row.cost for row in report(table, counter=CostCounter()).rows[:3]}
    assert (len(costs), len(calls)) == (1, 1)


def test_printed_rows_without_a_sweep_are_shown_alone(table):
    table.expected["rows"] = [row | {"index": None} for row in table.expected["rows"]]
    table.write()
    found = read_printed(table.path.with_name("paper_table1.expected.yaml"))
    assert found.complete
    assert found.notes[0].startswith("no sweep reproduces this table")
    assert {cell.state for row in found.rows for cell in row.cells.values()} == {"not planned", "external"}
