"""Hours of a plan from its clips and frames and from measured speeds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_sweep import FakeSweep

from lightning_avsp.cli import main
from lightning_avsp.errors import InputError
from lightning_avsp.run_folder import RunFolder
from lightning_avsp.sweep.child import Attempts
from lightning_avsp.sweep.costs import (
    DeviceSpeed,
    RunCost,
    count_hours,
    plan_costs,
    read_speeds,
    recorded_speeds,
)

SPEED = {"smoke": DeviceSpeed(train=2.0, predict=10.0)}


def run(**changes) -> RunCost:
    counts = {"epochs": 12, "clips": 9_000, "validation_frames": 6_000, "tests": 2, "test_frames": 36_000}
    names = {"name": "n", "label": "l", "experiment": "smoke_av6", "is_stage": False, "steps": None}
    return RunCost(**names | counts | changes)


def test_hours_are_clips_and_frames_over_speeds():
    stage = run(name="s", epochs=5, clips=7_200, validation_frames=14_400, tests=0, test_frames=0)
    # (2 * 12 * 9,000 + 5 * 7,200) / 2, (2 * 12 * 6,000 + 5 * 14,400) / 10 and 2 * 36,000 / 10 seconds
    assert count_hours([run(), run(), stage], SPEED) == (
        "GPU hours: 43.0 for 3 training runs and 4 tests (35.0 training, 6.0 validation, 2.0 test)"
    )
    # of a finished training the tests alone are left
    assert count_hours([run(), stage], SPEED, {"n"}, "device") == (
        "device hours: 8.0 for 1 training runs and 2 tests (5.0 training, 2.0 validation, 1.0 test)"
    )


@pytest.mark.parametrize(
    "unknown", [run(epochs=None), run(clips=None), run(test_frames=None), run(experiment="other")]
)
def test_runs_of_unknown_size_are_named_not_guessed(unknown: RunCost):
    known = run(clips=3_600, validation_frames=1_800)
    assert count_hours([known, unknown], {"smoke_av6": DeviceSpeed(1.0, 1.0)}) == (
        "GPU hours: 28.0 for 2 training runs and 4 tests, 1 of them not counted: their frames, epochs or speeds are "
        "not known (12.0 training, 6.0 validation, 10.0 test)"
    )


def test_the_benchmarks_file_gives_speeds_by_paper(tmp_path: Path):
    path = tmp_path / "speeds.json"
    first = {
        "name": "mubic_avad, batch 8",
        "samples_per_s": [4.0, 5.0, 9.0],
        "clips_per_s": {"1": [30.0], "4": [20.0]},
    }
    speeds = [{**first, "samples_per_s": []}, first, {**first, "samples_per_s": [90.0]}]
    direct = {"name": "avrsp_avad", "samples_per_s": [3.0], "clips_per_s": {"one pass": [8.0]}}
    path.write_text(json.dumps({"machine": {}, "speeds": [*speeds, direct]}))
    assert read_speeds(path) == {"mubic": DeviceSpeed(5.0, 20.0), "avrsp": DeviceSpeed(3.0, 8.0)}
    path.write_text(json.dumps({"machine": {}, "speeds": speeds[:1]}))
    with pytest.raises(InputError, match="no configuration with training and prediction"):
        read_speeds(path)
    with pytest.raises(InputError, match=r"holds no speeds .*bench train"):
        read_speeds(tmp_path / "none.json")


def test_finished_runs_give_the_speed_of_what_is_left(make_sweep, capsys: pytest.CaptureFixture[str]):
    """One of two trainings is finished, with its test: 10 s of it validation at the speed of the test."""
    sweep: FakeSweep = make_sweep(0, 1)
    plan = sweep.plan()
    (cost, _) = plan_costs(plan)
    assert cost.clips
    assert cost.validation_frames
    assert cost.test_frames
    trial = plan.trials[0]
    folders = trial.training.folder(sweep.runs), trial.test_folder(sweep.runs)
    spent = cost.validation_frames / cost.test_frames * 20.0 + 40.0
    for folder, seconds in zip(folders, (spent, 20.0), strict=True):
        folder.mkdir(parents=True)
        record = [{"started": 100.0, "ended": 100.0 + seconds, "code": 0}]
        Attempts(RunFolder(folder)).path.write_text(json.dumps(record))
    (folders[0] / "run.json").write_text(json.dumps({"finished": True, "world_size": 1}))
    trial.result(sweep.runs).parent.mkdir(parents=True)
    trial.result(sweep.runs).write_text("{}")
    found = recorded_speeds(plan, sweep.runs)["smoke"]
    assert found.predict == pytest.approx(cost.test_frames / 20.0)
    assert found.train == pytest.approx(cost.clips / 40.0)
    # validation alone would have taken longer than the whole training: nothing is known of its speed
    Attempts(RunFolder(folders[0])).path.write_text(
        json.dumps([{"started": 0.0, "ended": spent - 40.0, "code": 0}])
    )
    assert recorded_speeds(plan, sweep.runs) == {}
    Attempts(RunFolder(folders[0])).path.write_text(json.dumps([{"started": 0.0, "ended": spent, "code": 0}]))
    main(["sweep", "plan", str(sweep.path), f"--runs={sweep.runs}"])
    printed = capsys.readouterr().out
    assert "2 trials, 2 trainings (0 of them earlier stages), 1 of them finished" in printed
    assert "left: device hours: 0.0 for 1 training runs and 1 tests (0.0 training" in printed
