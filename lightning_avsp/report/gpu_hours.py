"""GPU hours of a table, from the counts of its sweep's plan and two measured speeds of one GPU."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_avsp.errors import InputError
from lightning_avsp.sweep.costs import RunCost


def count_gpu_hours(runs: Sequence[RunCost], train_clips_per_s: float, eval_clips_per_s: float) -> str:
    """Divide clips and frames by speeds, and report the hours in one sentence.

    Runs without epochs, or on corpora whose frames were never counted, are left out and reported as such.

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
    sizes = [(run.epochs, run.clips, run.validation_frames, run.test_frames) for run in runs]
    known = [[value or 0 for value in size] for size in sizes if None not in size]
    training = sum(epochs * clips for epochs, clips, _, _ in known) / train_clips_per_s / 3600
    validation = sum(epochs * frames for epochs, _, frames, _ in known) / eval_clips_per_s / 3600
    test = sum(frames for *_, frames in known) / eval_clips_per_s / 3600
    unknown = len(runs) - len(known)
    left_out = f", {unknown} of them not counted: their frames or epochs are not known" if unknown else ""
    return (
        f"GPU hours: {training + validation + test:.1f} for {len(runs)} training runs and "
        f"{sum(run.tests for run in runs)} tests{left_out} ({training:.1f} training, {validation:.1f} validation, "
        f"{test:.1f} test)."
    )
