"""GPU hours of a table, from the counts of its sweep's plan and two measured speeds of one GPU."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lightning_avsp.errors import InputError
from lightning_avsp.sweep.costs import RunCost


@dataclass(frozen=True)
class GPUHours:
    """Hours of one GPU."""

    runs: int
    """Training runs, first stages among them."""
    tests: int
    training: float
    validation: float
    test: float
    unknown: int
    """Runs that are not counted: without epochs, or on corpora whose frames were never counted."""

    @property
    def total(self) -> float:
        """All of it."""
        return self.training + self.validation + self.test

    def sentence(self) -> str:
        """The hours in one sentence."""
        left_out = (
            f", {self.unknown} of them not counted: their frames or epochs are not known"
            if self.unknown
            else ""
        )
        return (
            f"GPU hours: {self.total:.1f} for {self.runs} training runs and {self.tests} tests{left_out} "
            f"({self.training:.1f} training, {self.validation:.1f} validation, {self.test:.1f} test)."
        )


def count_gpu_hours(runs: Iterable[RunCost], train_clips_per_s: float, eval_clips_per_s: float) -> GPUHours:
    """Divide clips and frames by speeds.

    Args:
        runs: Every training run of a plan once, with its tests.
        train_clips_per_s: Training clips per second of one GPU.
        eval_clips_per_s: Predicted frames (a clip each) per second of one GPU, with the row's denoising steps.

    Raises:
        InputError: If a speed is not above 0.
    """
    if min(train_clips_per_s, eval_clips_per_s) <= 0:
        raise InputError(
            f"speeds must be above 0, got {train_clips_per_s} training and {eval_clips_per_s} predicted clips per "
            "second; measure them with `avsp bench train --inference`"
        )
    clips = validation = test = 0.0
    count = tests = unknown = 0
    for run in runs:
        count, tests = count + 1, tests + run.tests
        known = (run.epochs, run.clips, run.validation_frames, run.test_frames)
        if None in known:
            unknown += 1
            continue
        epochs, of_epoch, validated, tested = (float(value or 0) for value in known)
        clips += epochs * of_epoch
        validation += epochs * validated
        test += tested
    training, validation, test = (
        amount / speed / 3600
        for amount, speed in (
            (clips, train_clips_per_s),
            (validation, eval_clips_per_s),
            (test, eval_clips_per_s),
        )
    )
    return GPUHours(count, tests, training, validation, test, unknown)
