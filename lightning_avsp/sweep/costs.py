"""Costs of sweeps, counted from their own plan: epochs, clips and frames of every training and test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_avsp.clip_policy import ClipPolicy
from lightning_avsp.data.catalogue import Corpus, Part
from lightning_avsp.data.clips import training_count
from lightning_avsp.data.lists import list_path, parse_fold_list
from lightning_avsp.errors import InputError
from lightning_avsp.sweep.composition import lookup
from lightning_avsp.sweep.identity import corpora_of
from lightning_avsp.sweep.planning import SweepPlan


@dataclass(frozen=True)
class RunCost:
    """One training with everything that it computes, and the tests of it."""

    name: str
    label: str
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
        own = [trial.config for trial in tests.values() if trial.training.name == name]
        epochs, steps = (lookup(config, f"trainer.{key}") for key in ("max_epochs", "max_steps"))
        validation = data.get("validation") or {}
        on_test = validation.get("selection") == "test"
        share = 0.0 if validation.get("selection") == "none" else float(validation.get("share", 0.1))
        validated = _frames(data, "test" if on_test else "train", int(validation.get("every", 1)))
        clips = _clips(data)
        costs.append(
            RunCost(
                name=name,
                label=training.label,
                is_stage=name in plan.stages,
                epochs=None if epochs in (None, -1) else int(epochs),
                steps=None if steps in (None, -1) else int(steps),
                clips=clips if on_test or clips is None else round(clips * (1 - share)),
                validation_frames=validated if on_test or validated is None else round(validated * share),
                tests=len(own),
                test_frames=_sum(
                    [
                        _frames(c["data"], "test", int((c["data"].get("test") or {}).get("every", 1)))
                        for c in own
                    ]
                ),
            )
        )
    return costs


def _clips(data: dict[str, Any]) -> int | None:
    settings = data.get("clip") or {}
    policy = ClipPolicy(**settings)
    return _sum(
        [None if frames is None else training_count(frames, policy) for frames in _lengths(data, "train")]
    )


def _frames(data: dict[str, Any], part: Part, every: int) -> int | None:
    return _sum([None if frames is None else -(-frames // every) for frames in _lengths(data, part)])


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
                found += [_mean_frames(corpus)] * _count(corpus, part, one)
    return found


def _count(corpus: Corpus, part: Part, split: int) -> int:
    try:
        return corpus.published_count(part, split)
    except InputError:  # one unknown length makes the sum unknown
        return 1


def _mean_frames(corpus: Corpus) -> int | None:
    return round(corpus.frames / corpus.videos) if corpus.frames and corpus.videos else None


def _sum(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
