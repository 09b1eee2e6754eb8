from __future__ import annotations

import json

import pandas as pd
import pytest
import yaml

from lightning_avsp.errors import InputError
from lightning_avsp.profiling.model import NetworkCost
from lightning_avsp.report import published_tables
from lightning_avsp.report.table import CostCounter, SweepReport, read_report, report_published
from lightning_avsp.sweep.costs import DeviceSpeed


def cells(report: SweepReport, metric: str = "CC", dataset: str = "AVAD") -> pd.DataFrame:
    frame = report.frame
    return frame[(frame.metric == metric) & (frame.dataset == dataset)].set_index("row")


def test_finished_trials_fill_their_rows(table):
    report = table.report()
    assert cells(report).state.tolist() == ["missing"] * 3 + ["external"]
    assert cells(report).paper.tolist() == [0.70, 0.71, 0.72, 0.608]
    assert (report.done, report.planned, report.complete) == (0, 18, False)
    table.finish_all()
    report = table.report()
    assert report.complete
    cell = cells(report).iloc[1]
    # per split s of 2 + s videos: 0.65 + 0.02 s + 0.05 (mean place - 2), and 0.005 more on average over both seeds
    pooled = sum(0.02 * s + 0.05 * (n - 2) for s in (1, 2, 3) for n in range(2 + s)) / 12
    assert cell.ours == pytest.approx(0.65 + 0.005 + pooled)
    assert (cell.runs, cell.seeds, cell.splits, cell.averaging) == (6, "0 1", "1 2 3", "pooled")
    assert cell.difference == pytest.approx(cell.ours - 0.71)
    assert cell.low < cell.ours < cell.high
    assert cell.ours_other_averaging != pytest.approx(cell.ours)
    assert [cells(report, f"{name}_wall_s", "").ours.iloc[1] for name in ("train", "test")] == [100.0, 12.0]
    assert report.ordering.pairs.verdict.tolist() == ["holds"] * 3
    assert cells(report)["rank"].tolist() == [0, 2, 1, 0]


def test_a_trial_of_wandb_agent_names_no_row_and_is_found_by_its_values(table):
    table.finish(table.trials()[0], row=None)
    assert table.report().done == 1


def test_a_dataset_that_no_trial_tests_is_not_missing_but_not_planned(table):
    table.finish_all()
    for row in table.printed["rows"]:
        row["ETMD"] = [0.5, 0.5]
    report = table.report()
    assert cells(report, dataset="ETMD").state.iloc[0] == "not planned"
    assert report.complete
    # corpora of the experiment (AVAD in smoke.yaml) count where the sweep names none
    del table.content["parameters"]["data"]["parameters"]["corpora"]
    table.write()
    report = table.report()
    assert [cells(report, dataset=name).planned.iloc[0] for name in ("AVAD", "ETMD")] == [6, 0]
    # a planned cell without a number keeps a table incomplete
    table.printed["metrics"].append("KLD")
    for row in table.printed["rows"]:
        row["AVAD"].append(None)
        row["ETMD"].append(None)
    assert not table.report().complete


def test_rows_with_synthetic_results_are_named_where_others_are_real(table):
    for trial in table.trials():
        table.finish(trial, synthetic=trial.row == 1)
    (note,) = [one for one in table.report().notes if "SYNTHETIC" in one]
    assert "on AVAD (+ECA <b>bold</b>) are" in note


def test_results_of_trials_that_the_file_no_longer_lists_are_left_out_and_named(table):
    table.finish_all()
    gone = {trial.id for trial in table.trials()}
    table.content["parameters"]["seed_everything"]["values"] = [1]
    table.write()
    report = table.report()
    assert (report.done, report.planned) == (9, 9)
    (note,) = [note for note in report.notes if note.startswith("9 results belong to trials that the sweep")]
    named = set(note.split(": ")[1].removesuffix(", ...").split(", "))
    assert len(named) == 5
    assert named <= gone - {trial.id for trial in table.trials()}


def test_selection_and_contamination_are_noted(table):
    first, second = table.trials()[:2]
    table.finish(first, selection="chosen on the TEST list: scores are optimistic")
    table.finish(second, leaks=["LEAK: 3 test videos were seen by init_from"], test_every=10)
    notes = table.report().notes
    assert "limited test: every 10th frame only" in notes
    assert "scored frames: 30 in the 3 test videos of AVAD" in notes  # of one split, whatever the seeds
    assert "checkpoints chosen on the TEST list: scores are optimistic" in notes
    assert "LEAK: 3 test videos were seen by init_from" in notes


def test_the_papers_protocol_or_another_is_shown_and_random_starts_are_noted(table):
    first = table.trials()[0]
    stage = "/data/runs/stage/seed0/checkpoints/best.ckpt, itself from "
    starts = {"core.video_encoder": f"{stage}random", "core.audio_encoder": f"{stage}vggish"}
    content = json.loads(table.finish(first, starts=starts).read_text())
    plain = table.report()
    assert "ours are scored by the protocol plain" in plain.notes
    assert "1 results have no scores by stavis and are shown by plain" in plain.notes
    short = "stage/seed0/checkpoints/best.ckpt, itself from "
    assert f"encoders started from core.audio_encoder ({short}vggish)" in plain.notes
    assert f"encoders that started at random: core.video_encoder ({short}random)" in plain.notes
    protocols = {
        name: {"videos": [{**row, "cc": row["cc"] + more} for row in content["videos"]], "averages": {}}
        for name, more in (("stavis", 0.125), ("vinet", 0.25))
    }
    table.finish(first, protocols=protocols)
    before = plain.frame.ours.dropna().iloc[0]
    for protocol, shown, more in (("", "stavis", 0.125), ("vinet", "vinet", 0.25)):
        report = table.report(protocol=protocol)
        assert report.frame.ours.dropna().iloc[0] == pytest.approx(before + more)  # sums of a few float64
        (note,) = [note for note in report.notes if note.startswith("ours are scored")]
        assert note.startswith(f"ours are scored by the protocol {shown}; against plain, on average over")
        assert f"cc {more:+.4f}, sim +0.0000" in note
    assert table.report(protocol="plain").frame.ours.dropna().iloc[0] == before


@pytest.mark.parametrize(
    ("file", "row"), [("best.pth", "best.pth"), ("weights/best_split{}.pth", "best_split*.pth")]
)
def test_an_official_checkpoint_stands_beside_the_papers_own_row(table, file, row):
    """Its splits are results of `lightning test --official`, each in a folder of its own."""
    table.finish_all()
    table.printed["official"] = "released"
    for split in (1, 2):
        folder = table.runs / "released" / f"official-split{split}"
        (folder / "results").mkdir(parents=True)
        options = {"experiment": "released", "official": file.format(split), "data": {"split": split}}
        (folder / "config-test.yaml").write_text(yaml.safe_dump(options))
        videos = [{"corpus": "AVAD", "video": f"{split}_{n}", "frames": 3, "cc": 0.5} for n in range(2)]
        content = {"videos": videos, "selection": None}
        (folder / "results" / "test.json").write_text(json.dumps(content))
        shifted = [{**row, "cc": 0.5 * split} for row in videos]
        protocols = {"stavis": {"averages": {}, "videos": shifted}}
        (folder / "results" / "test_protocols.json").write_text(json.dumps(protocols))
    report = table.report()
    found = cells(report).loc[[f"official checkpoint {row}"]]
    assert found.paper.tolist() == [0.70, 0.71, 0.72]  # of all of the paper's own rows
    assert found.ours.unique().tolist() == [0.75]
    assert (report.done, report.planned, report.complete) == (20, 20, True)
    assert found.splits.unique().tolist() == ["1 2"]


def test_a_report_has_the_gpu_hours_of_its_plan(table):
    speeds = {"smoke": DeviceSpeed(2.0, 10.0)}
    report = read_report(table.path, table.runs, None, table.published, None, speeds)
    assert report.notes[0].startswith("GPU hours: ")
    assert "for 18 training runs and 18 tests" in report.notes[0]


def test_caveats_of_the_printed_numbers_are_noted():
    (suspect,) = [
        note for note in report_published(published_tables()["tavdiff_table3"]).notes if "misprint" in note
    ]
    assert suspect.startswith("U-Net (ETMD), DiT (ETMD): contradicts")
    notes = report_published(published_tables()["mubic_table42"]).notes
    assert any("STAViS params_M (DiffSal 6: 20.76)" in note for note in notes)


def test_a_result_that_is_broken_or_of_another_trial_is_refused(table):
    first, second = table.trials()[:2]
    content = table.finish(first).read_text()
    path = table.finish(second)
    path.write_text(content)
    with pytest.raises(InputError, match=f"is the result of trial {first.id}"):
        table.report()
    path.write_text('{"trial": "x"')
    with pytest.raises(InputError, match=r"result.json is not the result of a trial"):
        table.report()


def test_a_sweep_with_other_rows_than_its_table_is_refused(table):
    table.content["parameters"]["model"]["values"].pop()
    table.write()
    with pytest.raises(InputError, match=r"lists 2 rows, but DiffSal table 1 has 3 of its own: baseline, "):
        table.report()


def test_a_sweep_names_its_table_by_its_description_or_its_file(table):
    with pytest.raises(InputError, match="no published table is called paper_table1; name the one"):
        read_report(table.path, table.runs)
    table.content["description"] = "diffsal_table5"  # three rows, too
    table.write()
    assert read_report(table.path, table.runs).title.startswith("DiffSal table 5: ")
    del table.content["description"]
    path = table.path.rename(table.path.with_name("tavdiff_table3.yaml"))
    path.write_text(yaml.safe_dump(table.content))
    assert read_report(path, table.runs).title.startswith("TAVDiff table III: ")


REPEATED = {
    "seed_everything": {"values": [0, 1]},
    "data": {"parameters": {"split": {"values": [1, 2]}, "corpora": {"values": [["AVAD"], ["ETMD"]]}}},
}


@pytest.mark.parametrize(
    ("parameters", "rows"),
    [
        (REPEATED, [0] * 8),
        ({"trainer": {"values": [{"max_epochs": 5}, {"max_epochs": 12}]}}, [0, 1]),
        (
            {"data": {"values": [{"split": 1}, {"split": 2}]}, "model": {"values": [{"a": 2.0}, {"a": 1}]}},
            [0, 1] * 2,
        ),
    ],
)
def test_rows_may_differ_in_anything_but_seed_split_and_corpora(table, parameters, rows: list[int]):
    table.content["parameters"] = parameters
    table.write()
    assert [trial.row for trial in table.trials()] == rows


def test_networks_are_counted_before_any_training(table):
    report = table.report(CostCounter())
    *ours, external = [row.cost for row in report.rows.values()]
    assert external is None
    assert all(isinstance(cost, NetworkCost) for cost in ours)
    assert ours[0].params < ours[1].params  # audio adds an encoder
    assert ours[1].memory > ours[2].memory  # standard attention's matrices against compressed ones
    assert all(cost.all_params >= cost.params > 100_000 for cost in ours)
    assert all(0 < 2 * cost.macs < 3 * cost.flops for cost in ours)
    assert cells(report, "params_M", "").ours.iloc[2] == pytest.approx(ours[2].params / 1e6)
    assert cells(report, "params_M", "").paper.iloc[2] == 76.57


def test_a_table_without_a_sweep_is_shown_alone():
    report = report_published(published_tables()["mubic_fig41"])
    assert report.complete
    assert report.notes[0].startswith("no sweep of this table is here")
    assert "training courses of mubic_table43, row MUBiC (Full)" in report.notes[1]
    assert report.frame.paper.tolist() == [436, 310, 153]
    assert set(report.frame.state) == {"not planned"}


def test_runs_of_a_trial_result_are_found_where_they_were_moved(table):
    result = json.loads(table.finish(table.trials()[0]).read_text())
    moved = table.root / "elsewhere"
    table.runs.rename(moved)
    report = read_report(table.path, moved, None, table.published)
    (found,) = [one for row in report.rows.values() for one in row.results]
    assert found.run_folder() == moved / "trainings" / result["training"]


def test_equal_networks_are_counted_once_and_a_fault_is_the_reason(table):
    table.vary_sampling()
    counter = CostCounter()
    costs = {row.cost for row in list(table.report(counter).rows.values())[:3]}
    assert len(counter.known) == 1
    once, step = (min(one.encode_macs for one in costs), next(one.macs - one.encode_macs for one in costs))
    assert step > 0
    assert sorted(one.prediction_macs for one in costs) == [once + n * step for n in (1, 2, 4)]
    table.content["parameters"]["model"]["values"][1] = {
        "init_args": {"network": {"init_args": {"interaction": "not there yet"}}}
    }
    table.write()
    table.finish(table.trials()[0], parameters={"trainable": 1_000, "frozen": 234})
    report = table.report(counter)
    costs = [row.cost for row in report.rows.values()]
    assert isinstance(costs[1], str)
    assert isinstance(costs[2], NetworkCost)
    assert cells(report, "params_M", "").state.iloc[1] == f"cannot be built: {costs[1]}"
    assert any("trained a network of 0.00 M parameters" in note for note in report.notes)


def test_a_trial_that_is_not_finished_makes_its_row_incomplete(filled):
    assert cells(filled).state.tolist().count("incomplete") == 1
    assert (filled.done, filled.complete) == (17, False)


def test_synthetic_results_are_marked_and_not_compared(table):
    table.finish_all(synthetic=True)
    report = table.report()
    assert cells(report).difference.isna().all()
    assert report.notes[0].startswith("SYNTHETIC: ours on AVAD are of a generated corpus")
