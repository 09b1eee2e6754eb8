"""Results on disk: those of a sweep's trials, and those of single runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lightning_avsp.errors import InputError
from lightning_avsp.profiling.model import NetworkCost
from lightning_avsp.sweep import Sweep, Trial
from lightning_avsp.sweep.status import find_results


@dataclass(frozen=True)
class RunResult:
    """Scores of a test, by video."""

    path: Path
    training: str
    """Name of the training run by content, which several trials may share; empty for a single run."""
    run_dir: Path
    videos: tuple[Mapping[str, Any], ...]
    """Records of tested videos: corpus, video, frames and each metric, None where it is undefined."""
    synthetic: frozenset[str]
    """Corpora made by our generator."""
    selection: str
    """Rule by which the checkpoint was chosen."""
    seed: int | None
    split: int | None
    label: str = ""
    """Values of the trial's row with its ``--args``, or experiment of a single run with what limits its test."""
    row: int | None = None
    """Row of the sweep's table, from 0; None for a single run, and for trials with ``--args`` or of ``wandb agent``."""
    official: str = ""
    """File name of the official checkpoint that was tested; empty for weights of a run."""
    wall_s: float | None = None
    """Seconds of the test."""
    train_wall_s: float | None = None
    """Seconds of the training."""
    device: str = ""
    parameters: int | None = None
    """Parameters of the trained network, where the result has them."""
    protocols: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    """Records of tested videos by published protocol; `videos` are those of ``plain``."""
    starts: Mapping[str, str] = field(default_factory=dict)
    """Source of the weights that each encoder of the training started from."""
    commit: str = ""
    """Commit of this package that trained, where it ran from a checkout."""
    contamination: tuple[str, ...] = ()
    """Test videos that the start of the training has seen."""
    limits: tuple[str, ...] = ()
    """Options of the test that keep its scores from being compared with others."""

    def corpus_values(self, corpus: str, metric: str) -> list[tuple[str, float]]:
        """List (video, value) of one corpus; NaN where the metric is undefined; empty where it was not computed."""
        return [
            (str(row["video"]), float("nan") if row[metric] is None else float(row[metric]))
            for row in self.videos
            if row["corpus"] == corpus and metric in row
        ]

    def run_folder(self) -> Path | None:
        """Locate the training's run folder, also where all runs were moved together; None where it is gone."""
        # runs/sweeps/<sweep>/<trial>/result.json
        moved = self.path.parents[3] / "trainings" / self.training
        return next((path for path in (self.run_dir, moved) if path.is_dir()), None)


@dataclass(frozen=True)
class ReportRow:
    """One row's runs and network."""

    results: tuple[RunResult, ...]
    planned: int
    """Trials of the sweep that belong to it."""
    cost: NetworkCost | str | None
    """Cost of its network, or why it cannot be built; None for networks of others or when not asked for."""


def read_trial_results(
    sweep: Sweep, trials: Sequence[Trial], runs: Path, args: list[str] | None = None
) -> tuple[dict[str, RunResult], list[str]]:
    """Read the results of a sweep's trials by trial, and list trials with results that its file no longer contains.

    Raises:
        InputError: If a result cannot be read, or was moved, or there are results of different ``--args``.
    """
    known = {trial.id for trial in trials}
    found: dict[str, RunResult] = {}
    strays: list[str] = []
    for name, path in find_results(sweep, runs, args).items():
        # the folder's name has the trial's content, so a copy under another would count for it
        if name != path.parent.name.partition("-")[0]:
            raise InputError(
                f"{path} is the result of trial {name}, not of {path.parent.name}; it was moved: put it back"
            )
        if name in known:
            found[name] = _read_trial(path)
        else:
            strays.append(name)
    return found, sorted(strays)


def read_all_results(runs: Path) -> Iterator[tuple[str, RunResult]]:
    """Read every result below a folder with the name of its sweep, which is empty for single runs.

    Tests of runs that belong to trials are left out.

    Raises:
        InputError: If a result cannot be read.
    """
    trained: set[Path] = set()
    for path in sorted(runs.glob("sweeps/*/*/result.json")):
        result = _read_trial(path)
        # there, or where all runs were moved together
        trained |= {result.run_dir.resolve(), (runs / "trainings" / result.training).resolve()}
        yield path.parents[1].name, result
    for path in sorted(runs.glob("**/results/test.json")):
        of_trial = path.relative_to(runs).parts[0] in ("sweeps", "tests")
        if not of_trial and path.parents[1].resolve() not in trained:
            yield "", _read_run(path)


def read_official_results(experiment: str, runs: Path) -> dict[str, tuple[RunResult, ...]]:
    """Read the tests of official checkpoints with an experiment, by file name; its splits are results of their own.

    Files that are named by the split that they are tested on (``best_split2.pth``) are one row, ``best_split*.pth``.
    """
    found: dict[str, tuple[RunResult, ...]] = {}
    for _, result in read_all_results(runs):
        if result.official and result.label.partition(" ")[0] == experiment:
            file = re.sub(rf"(?i)(split[_-]?){result.split}(?![0-9])", r"\1*", result.official)
            name = f"official checkpoint {file}"
            found[name] = (*found.get(name, ()), result)
    return found


_FAULTS = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError),
    yaml.YAMLError,
)
"""Errors that a truncated or foreign result file provokes."""


def _read_trial(path: Path) -> RunResult:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        sizes, args = content.get("parameters"), content.get("args") or []
        return _result(
            path,
            content,
            content,
            training=str(content["training"]),
            run_dir=Path(content["run_dir"]),
            label=" ".join([str(content["label"]), *args]),
            # options change the run, so it is not the paper's row any more
            row=None if args or content["row"] is None else int(content["row"]),
            wall_s=content.get("wall_s"),
            train_wall_s=content.get("train_wall_s"),
            parameters=sum(map(int, sizes.values())) if sizes else None,
        )
    except _FAULTS as error:
        raise _unreadable(path, "the result of a trial", "run the trial again", error) from error


def _read_run(path: Path) -> RunResult:
    folder = path.parents[1]
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        record_path, config_path = folder / "run.json", folder / "config-test.yaml"  # of a test alone
        # that of the training, where the test followed it
        config_path = config_path if config_path.is_file() else folder / "config.yaml"
        record = json.loads(record_path.read_text(encoding="utf-8")) if record_path.is_file() else {}
        protocols = path.with_name("test_protocols.json")
        if protocols.is_file():
            record["protocols"] = json.loads(protocols.read_text(encoding="utf-8"))
        config = yaml.safe_load(config_path.read_text(encoding="utf-8")) if config_path.is_file() else {}
        split = (config.get("data") or {}).get("split")
        words = [str(record.get("experiment") or config.get("experiment") or folder.name)]
        official = Path(config["official"]).name if config.get("official") else ""
        words += [f"(official checkpoint {official})"] if official else []
        words += [f"({limit})" for limit in _limits(content)]
        origin = {**record, "split": split if isinstance(split, int) else None}
        return _result(
            path, content, origin, training="", run_dir=folder, label=" ".join(words), official=official
        )
    except _FAULTS as error:
        raise _unreadable(path, "a result of `lightning test`", "test the run again", error) from error


def _limits(content: Mapping[str, Any]) -> tuple[str, ...]:
    """List options of a test that keep its scores from being compared with others."""
    every = content.get("test_every") or 1
    # a report names them, so that nobody takes such a score for the published protocol's
    changed = [
        f"{name}: {content[key]}"
        for name, key in (("frames", "test_frames"), ("audio", "test_audio"), ("captions", "test_text"))
        if content.get(key) not in (None, "true", "all")
    ]
    return (*([f"every {every}th frame only"] if every > 1 else []), *changed)


def _result(path: Path, content: Mapping[str, Any], origin: Mapping[str, Any], **own: Any) -> RunResult:
    """Build a result from a test's content, and the seed, split and device of its run."""
    seed, split = origin.get("seed"), origin.get("split")
    return RunResult(
        path=path,
        videos=tuple(
            {**row, "corpus": str(row["corpus"]), "video": str(row["video"])} for row in content["videos"]
        ),
        synthetic=frozenset(content.get("synthetic") or ()),
        selection=str(content.get("selection") or ""),
        seed=None if seed is None else int(seed),
        split=None if split is None else int(split),
        device=str(origin.get("device") or ""),
        contamination=tuple(content.get("leaks") or ()),
        limits=_limits(content),
        protocols={name: tuple(one["videos"]) for name, one in (origin.get("protocols") or {}).items()},
        starts=dict(origin.get("starts") or {}),
        commit=str((origin.get("versions") or {}).get("commit") or ""),
        **own,
    )


def _unreadable(path: Path, kind: str, remedy: str, error: Exception) -> InputError:
    why = " ".join(str(error).split())
    return InputError(f"{path} is not {kind} ({type(error).__name__}: {why}); remove it, or {remedy}")
