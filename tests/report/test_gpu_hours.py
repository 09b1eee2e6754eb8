from __future__ import annotations

import pytest

from lightning_avsp.errors import InputError
from lightning_avsp.report.gpu_hours import count_gpu_hours
from lightning_avsp.report.table import read_report
from lightning_avsp.sweep.costs import RunCost


def run(**changes) -> RunCost:
    counts = {"epochs": 12, "clips": 90, "validation_frames": 600, "tests": 2, "test_frames": 6_400}
    return RunCost(**{"name": "n", "label": "l", "is_stage": False, "steps": None} | counts | changes)


def test_hours_are_clips_and_frames_over_speeds():
    stage = run(epochs=5, clips=4_800, validation_frames=8_000, tests=0, test_frames=0)
    hours = count_gpu_hours([run(), run(), stage], train_clips_per_s=2.0, eval_clips_per_s=10.0)
    assert (hours.runs, hours.tests, hours.unknown) == (3, 4, 0)
    assert hours.training == pytest.approx((2 * 12 * 90 + 5 * 4_800) / 2 / 3600)
    assert hours.validation == pytest.approx((2 * 12 * 600 + 5 * 8_000) / 10 / 3600)
    assert hours.test == pytest.approx(2 * 6_400 / 10 / 3600)
    assert f"GPU hours: {hours.total:.1f} for 3 training runs and 4 tests (" in hours.sentence()


@pytest.mark.parametrize("unknown", [run(epochs=None), run(clips=None), run(test_frames=None)])
def test_runs_of_unknown_size_are_named_not_guessed(unknown: RunCost):
    hours = count_gpu_hours([run(), unknown], 1.0, 1.0)
    assert (hours.runs, hours.unknown, hours.total) == (2, 1, count_gpu_hours([run()], 1.0, 1.0).total)
    assert "1 of them not counted" in hours.sentence()


@pytest.mark.parametrize("speeds", [(0.0, 1.0), (1.0, -1.0)])
def test_impossible_speeds_are_refused(speeds: tuple[float, float]):
    with pytest.raises(InputError, match="above 0"):
        count_gpu_hours([], *speeds)


def test_a_report_has_the_gpu_hours_of_its_plan(table):
    report = read_report(table.path, table.runs, None, table.published, None, (2.0, 10.0))
    assert report.notes[0].startswith("GPU hours: ")
    assert "for 18 training runs and 18 tests" in report.notes[0]
