"""Costs of sweeps, counted from their own plan: epochs, clips, frames and hours of every training and test."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from lightning_avsp.clip_policy import ClipPolicy
from lightning_avsp.data.catalogue import Corpus, Part
from lightning_avsp.data.clips import training_count
from lightning_avsp.data.lists import list_path, parse_fold_list
from lightning_avsp.errors import InputError
from lightning_avsp.run_folder import RunFolder, read_run_json
from lightning_avsp.sweep.child import Attempts
from lightning_avsp.sweep.composition import lookup
from lightning_avsp.sweep.identity import corpora_of, tested_data
from lightning_avsp.sweep.planning import SweepPlan, TrialPlan


@dataclass(frozen=True)
class RunCost:
    """One training with everything that it computes, and the tests of it."""

    name: str
    label: str
    experiment: str
    """Experiment of its configuration, by which speeds are known."""
    is_stage: bool
    """True for a training that no trial tests."""
    epochs: int | None
    """None where the training is bounded by `steps` alone."""
    steps: int | None
    """Most optimiser steps, or None."""
    clips: int | None
    """Training clips of an epoch; None where a corpus' frames were never counted."""
    validation_frames: int | None
    """Frames that validation predicts after each epoch."""
    tests: int
    """Different tests of it."""
    test_frames: int | None
    """Frames that all its tests predict together."""


@dataclass(frozen=True)
class DeviceSpeed:
    """Measured clips per second of one device."""

    train: float
    """Training clips."""
    predict: float
    """Predicted frames, a clip each, with the denoising steps of the experiment."""


def plan_costs(plan: SweepPlan) -> list[RunCost]:
    """Count the work of a plan, from the fold lists where the data are, else from the published counts.

    Args:
        plan: Trials of one or several sweeps; what they share is counted once.
    """
    tests = {trial.test: trial for trial in plan.trials}
    costs = []
    for name, training in plan.trainings.items():
        config = training.config
        data = config.get("data") or {}
        own = [trial for trial in tests.values() if trial.training.name == name]
        limits = (lookup(config, f"trainer.{key}") for key in ("max_epochs", "max_steps"))
        epochs, steps = (None if limit in (None, -1) else int(limit) for limit in limits)
        tested = len(own), _sum([_test_frames(trial) for trial in own])
        names = name, training.label, str(config.get("experiment") or ""), name in plan.stages
        costs.append(RunCost(*names, epochs, steps, *_clips_and_validation(data), *tested))
    return costs


def count_hours(
    runs: Sequence[RunCost],
    speeds: Mapping[str, DeviceSpeed],
    finished: Iterable[str] = (),
    where: str = "GPU",
) -> str:
    """Divide clips and frames by speeds, and report the hours of one device in a sentence.

    Runs without epochs or speed, or on corpora whose frames were never counted, are left out and reported as such.

    Args:
        runs: Trainings of a plan, each once, with the tests that are counted.
        speeds: Speeds by experiment, or by its paper, the word before the first underscore.
        finished: Names of trainings that cost nothing any more.
        where: The device.
    """
    totals, done, unknown = [0.0, 0.0, 0.0], set(finished), 0
    for run in runs:
        speed = speeds.get(run.experiment) or speeds.get(run.experiment.partition("_")[0])
        epochs = 0 if run.name in done else run.epochs
        amounts = (epochs, run.clips, run.validation_frames, run.test_frames)
        if speed is None or None in amounts:
            unknown += 1
            continue
        rounds, clips, validated, tested = (amount or 0 for amount in amounts)
        seconds = rounds * clips / speed.train, rounds * validated / speed.predict, tested / speed.predict
        totals = [total + one / 3600 for total, one in zip(totals, seconds, strict=True)]
    left_out = f", {unknown} of them not counted: their frames, epochs or speeds are not known"
    runs_left, tests = sum(run.name not in done for run in runs), sum(run.tests for run in runs)
    return (
        f"{where} hours: {sum(totals):.1f} for {runs_left} training runs and {tests} tests"
        f"{left_out if unknown else ''} ({totals[0]:.1f} training, {totals[1]:.1f} validation, {totals[2]:.1f} test)"
    )


def read_speeds(path: Path) -> dict[str, DeviceSpeed]:
    """Read the speeds of ``avsp bench train --inference true --out FOLDER`` by paper: each one's first configuration.

    Raises:
        InputError: If the file holds something else, or no configuration with both speeds.
    """
    found: dict[str, DeviceSpeed] = {}
    try:
        for one in json.loads(path.read_text())["speeds"]:
            by_steps = {name: median(rates) for name, rates in one["clips_per_s"].items()}
            rate = by_steps.get("4") or by_steps.get("one pass")  # four steps in all papers
            if one["samples_per_s"] and rate:
                speed = DeviceSpeed(median(one["samples_per_s"]), rate)
                found.setdefault(one["name"].partition(",")[0].partition("_")[0], speed)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} holds no speeds ({type(error).__name__}); measure them with `avsp bench train --all true "
            "--inference true --out FOLDER`, which writes FOLDER/speeds.json"
        ) from error
    if not found:
        raise InputError(
            f"{path} has no configuration with training and prediction; measure with --inference true"
        )
    return found


def recorded_speeds(plan: SweepPlan, runs: Path) -> dict[str, DeviceSpeed]:
    """Derive speeds by experiment from the finished trainings and tests of a plan: work over the time that it took.

    Loading, starting and saving are part of that time; of trainings on several devices it counts on each. Left out are
    experiments whose validation alone would have taken all the time of their trainings.
    """
    costs = {cost.name: cost for cost in plan_costs(plan)}
    tested: dict[str, list[tuple[float, float]]] = {}
    for trial in {trial.test: trial for trial in plan.trials}.values():
        frames, seconds = _test_frames(trial), Attempts(RunFolder(trial.test_folder(runs))).seconds()
        if trial.result(runs).is_file() and frames and seconds:
            tested.setdefault(costs[trial.training.name].experiment, []).append((frames, seconds))
    found: dict[str, DeviceSpeed] = {}
    for experiment, tests in tested.items():
        predict = sum(frames for frames, _ in tests) / sum(seconds for _, seconds in tests)
        trained = validated = spent = 0.0
        for name, training in plan.trainings.items():
            cost, folder = costs[name], RunFolder(training.folder(runs))
            if cost.experiment == experiment and cost.epochs and cost.clips and folder.is_finished:
                trained += cost.epochs * cost.clips
                validated += cost.epochs * (cost.validation_frames or 0)
                spent += Attempts(folder).seconds() * int(read_run_json(folder.record).get("world_size") or 1)
        # where validation took all of it, by the speed of tests, nothing is known of training alone
        if trained and (alone := spent - validated / predict) > 0:
            speed = DeviceSpeed(trained / alone, predict)
            found.setdefault(experiment.partition("_")[0], speed)  # for stages, which no trial tests
            found[experiment] = speed
    return found


def _clips_and_validation(data: dict[str, Any]) -> tuple[int | None, int | None]:
    """Count the training clips of an epoch and the frames that validation predicts after it."""
    options = data.get("validation") or {}
    selection = options.get("selection")
    share = 0.0 if selection in ("none", "test") else float(options.get("share", 0.1))
    policy = ClipPolicy(**(data.get("clip") or {}))
    clips = _sum([None if n is None else training_count(n, policy) for n in _lengths(data, "train")])
    lengths = _lengths(data, "test" if selection == "test" else "train")
    frames = _sum(lengths)
    if selection == "none" or clips is None or frames is None:
        return clips, 0 if selection == "none" else None
    clips = round(clips * (1 - share))
    part = 1.0 if selection == "test" else share
    every, all_frames = options.get("every"), round(frames * part)
    if every is not None:
        return clips, -(-all_frames // int(every))
    # as `validation_step`: a fifth of the clips, and one frame of each video
    return clips, min(all_frames, max(1, clips // 5, round(len(lengths) * part)))


def _test_frames(trial: TrialPlan) -> int | None:
    data = tested_data(trial.config)
    every = int((data.get("test") or {}).get("every", 1))
    return _sum([None if n is None else -(-n // every) for n in _lengths(data, "test")])


def _lengths(data: dict[str, Any], part: Part) -> list[int | None]:
    """List the frames of every video of a part: of its list, or the corpus' mean; None where nobody counted them."""
    root = Path(str(data.get("root", "data")))
    found: list[int | None] = []
    for corpus, split in corpora_of(data):
        for one in corpus.splits if split == 0 else (split,):
            path = list_path(root, corpus, part, one)
            if path.is_file():
                found += [video.frames or _mean_frames(corpus) for video in parse_fold_list(path)]
            else:
                count = 1  # one unknown length makes the sum unknown
                with suppress(InputError):
                    count = corpus.published_count(part, one)
                found += [_mean_frames(corpus)] * count
    return found


def _mean_frames(corpus: Corpus) -> int | None:
    return round(corpus.frames / corpus.videos) if corpus.frames and corpus.videos else None


def _sum(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
