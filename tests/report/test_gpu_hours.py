from __future__ import annotations

import pytest

from lightning_avsp.errors import InputError
from lightning_avsp.report.costs import count_gpu_hours
from lightning_avsp.report.table import read_report
from lightning_avsp.sweep.costs import RunCost


def run(**changes) -> RunCost:
    counts = {"epochs": 12, "clips": 9_000, "validation_frames": 6_000, "tests": 2, "test_frames": 36_000}
    return RunCost(**{"name": "n", "label": "l", "is_stage": False, "steps": None} | counts | changes)


def test_hours_are_clips_and_frames_over_speeds():
    stage = run(epochs=5, clips=7_200, validation_frames=14_400, tests=0, test_frames=0)
    # (2 * 12 * 9,000 + 5 * 7,200) / 2, (2 * 12 * 6,000 + 5 * 14,400) / 10 and 2 * 36,000 / 10 seconds
    assert count_gpu_hours([run(), run(), stage], train_clips_per_s=2.0, eval_clips_per_s=10.0) == (
        "GPU hours: 43.0 for 3 training runs and 4 tests (35.0 training, 6.0 validation, 2.0 test)."
    )


@pytest.mark.parametrize("unknown", [run(epochs=None), run(clips=None), run(test_frames=None)])
def test_runs_of_unknown_size_are_named_not_guessed(unknown: RunCost):
    known = run(clips=3_600, validation_frames=1_800)
    assert count_gpu_hours([known, unknown], 1.0, 1.0) == (
        "GPU hours: 28.0 for 2 training runs and 4 tests, 1 of them not counted: their frames or epochs are not known "
        "(12.0 training, 6.0 validation, 10.0 test)."
    )


def test_a_report_has_the_gpu_hours_of_its_plan(table):
    report = read_report(table.path, table.runs, None, table.published, None, (2.0, 10.0))
    assert report.notes[0].startswith("GPU hours: ")
    assert "for 18 training runs and 18 tests" in report.notes[0]
    for speeds in ((0.0, 1.0), (1.0, -1.0)):
        with pytest.raises(InputError, match="above 0"):
            count_gpu_hours([], *speeds)
