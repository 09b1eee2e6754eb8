"""Training courses: loss, learning rate and validation metrics of runs by epoch, from their ``metrics.csv`` files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.formatting import METRIC_NAMES
from lightning_avsp.report.measured import Measured, dataset_corpus, summarise
from lightning_avsp.report.published import Course
from lightning_avsp.report.results import ReportRow, RunResult

KEYS = ["row", "split", "seed", "quantity"]
"""Columns of a course beside ``epoch`` (from 1) and ``value``; split and seed are -1 where there is none."""
LOSS, SQUARED_ERROR = "train/epoch_loss", "train/epoch_mse_per_pixel"
"""Means over the clips of an epoch."""
RATE = "learning rate"
QUANTITIES = {
    LOSS: "training loss",
    SQUARED_ERROR: "squared error per pixel in training",
    "val/loss": "validation loss",
    **{f"val/{ours}": f"validation {printed}" for printed, ours in METRIC_NAMES.items()},
}
"""Titles of the columns of a metrics file that are shown."""


def read_courses(rows: Mapping[str, ReportRow]) -> pd.DataFrame:
    """Read the courses of all trainings behind a table, each training of a row once.

    Returns:
        Columns :data:`KEYS`, ``epoch`` and ``value``.

    Raises:
        InputError: If a metrics file cannot be read.
    """
    parts = [pd.DataFrame(columns=[*KEYS, "epoch", "value"])]
    for name, row in rows.items():
        # trials that differ in their test share a training
        for result in {one.training: one for one in row.results}.values():
            seed, split = (-1 if one is None else one for one in (result.seed, result.split))
            for quantity, values in read_course(result).items():
                part = values.rename_axis("epoch").reset_index(name="value")
                parts.append(part.assign(row=name, split=split, seed=seed, quantity=quantity))
    # pandas warns of empty frames, whose columns have no type
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)


def read_course(result: RunResult) -> dict[str, pd.Series[float]]:
    """Read the values by epoch of a result's training; empty where its folder is gone.

    A resumed part replaces epochs that it repeats. Of an epoch that was resumed in its middle, the training loss is the
    mean over the clips behind that point.

    Raises:
        InputError: If a metrics file cannot be read.
    """
    folder = result.run_folder()
    parts = []
    files = [] if folder is None else folder.glob("metrics/fit*/metrics.csv")
    # fit, fit-2, ..., fit-10 in the order of the resumptions
    for path in sorted(files, key=lambda file: int(file.parent.name.partition("-")[2] or 1)):
        try:
            # a killed run may leave half a line
            parts.append(pd.read_csv(path, on_bad_lines="skip"))
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read the curves in {path}: {error}; remove or repair it") from error
    if not parts or "epoch" not in (run := pd.concat(parts, ignore_index=True)):
        return {}
    run = run.apply(pd.to_numeric, errors="coerce")
    # rates are logged at the start of an epoch, in lines that carry the step alone
    run["epoch"] = run["epoch"].bfill()
    rates = [column for column in run if str(column).startswith("lr-")]
    titles = {column: RATE if len(rates) == 1 else f"{RATE}, {column}" for column in rates}
    found = {}
    for column, title in {**{name: name for name in QUANTITIES}, **titles}.items():
        if column in run:
            points = run[["epoch", column]].dropna()
            # one seed that diverged would make the mean over all seeds infinite
            values = points[points[column].abs() < float("inf")].groupby("epoch")[column].last()
            values.index = values.index.astype(int) + 1  # Lightning counts from 0, papers from 1
            found[title] = values
    return {title: values for title, values in found.items() if len(values)}


def measure_course(
    results: Iterable[RunResult], dataset: str, metric: str, epoch: int, course: Course
) -> Measured | None:
    """Compute our number of a cell that is printed along a training; None if no run has reached the epoch.

    Args:
        results: Results of the course's row.
        dataset: As printed.
        metric: As printed.
        epoch: Epoch of the row, from 1; 0 for the last of a training.
        course: Quantity and scale.

    Raises:
        InputError: If a metrics file cannot be read.
    """
    corpus, only = dataset_corpus(dataset)
    used = {one.training: one for one in results if only in (None, one.split)}
    column = course.quantity.format(metric=METRIC_NAMES.get(metric, metric))
    found: list[tuple[RunResult, list[tuple[str, float]]]] = []
    for result in used.values():
        values = read_course(result).get(column, pd.Series(dtype=float))
        value = values.get(epoch) if epoch else (values.iloc[-1] if len(values) else None)
        if value is not None:
            found.append((result, [("", float(value) * course.scale)]))
    return summarise(found, corpus, "split_means")
