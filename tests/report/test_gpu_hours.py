from __future__ import annotations

from dataclasses import dataclass

import pytest

from lightning_avsp.errors import InputError
from lightning_avsp.report.gpu_hours import count_gpu_hours


@dataclass(frozen=True)
class Run:
    epochs: int | None = 12
    clips: int | None = 90
    validation_frames: int | None = 600
    tests: int = 2
    test_frames: int | None = 6_400


def test_hours_are_clips_and_frames_over_speeds():
    stage = Run(epochs=5, clips=4_800, validation_frames=8_000, tests=0, test_frames=0)
    hours = count_gpu_hours([Run(), Run(), stage], train_clips_per_s=2.0, eval_clips_per_s=10.0)
    assert (hours.runs, hours.tests, hours.unknown) == (3, 4, 0)
    assert hours.training == pytest.approx((2 * 12 * 90 + 5 * 4_800) / 2 / 3600)
    assert hours.validation == pytest.approx((2 * 12 * 600 + 5 * 8_000) / 10 / 3600)
    assert hours.test == pytest.approx(2 * 6_400 / 10 / 3600)
    assert f"GPU hours: {hours.total:.1f} for 3 training runs and 4 tests (" in hours.sentence()


@pytest.mark.parametrize("unknown", [Run(epochs=None), Run(clips=None), Run(test_frames=None)])
def test_runs_of_unknown_size_are_named_not_guessed(unknown: Run):
    hours = count_gpu_hours([Run(), unknown], 1.0, 1.0)
    assert (hours.runs, hours.unknown, hours.total) == (2, 1, count_gpu_hours([Run()], 1.0, 1.0).total)
    assert "1 of them not counted" in hours.sentence()


@pytest.mark.parametrize("speeds", [(0.0, 1.0), (1.0, -1.0)])
def test_impossible_speeds_are_refused(speeds: tuple[float, float]):
    with pytest.raises(InputError, match="above 0"):
        count_gpu_hours([], *speeds)
