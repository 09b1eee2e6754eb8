"""Results of a sweep's trials, and which row of its table each belongs to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from lightning_avsp.errors import InputError
from lightning_avsp.sweep import Sweep, Trial
from lightning_avsp.sweep.parameters import Parameter, flatten
from lightning_avsp.sweep.sweep_file import canonical_json

RESULT = "result.json"


@dataclass(frozen=True)
class Outcome:
    """What a finished trial measured, as its ``result.json`` says."""

    path: Path
    trial: str
    training: str
    """Name of the training by content; several trials may share it."""
    run_dir: Path
    """The training's run folder."""
    videos: tuple[Mapping[str, Any], ...]
    """Records of tested videos: corpus, video, frames and each metric, None where it is undefined."""
    synthetic: frozenset[str]
    """Corpora that our generator made."""
    selection: str
    """What chose the checkpoint."""
    seed: int | None
    split: int | None
    wall_s: float | None
    """Seconds of the test."""
    train_wall_s: float | None
    """Seconds of the training."""
    device: str
    parameters: int | None = None
    """Parameters of the trained network, where the result says."""
    leaks: tuple[str, ...] = ()
    """What the start is known to have seen of the test videos."""

    def corpus_values(self, corpus: str, metric: str) -> list[tuple[str, float]]:
        """(video, value) of one corpus; NaN where the metric is undefined; nothing where it was not computed."""
        return [
            (str(row["video"]), float("nan") if row[metric] is None else float(row[metric]))
            for row in self.videos
            if row["corpus"] == corpus and metric in row
        ]


def read_outcome(path: Path) -> Outcome:
    """One result file.

    Raises:
        InputError: If it cannot be read, or lacks something.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        run_dir = Path(content["run_dir"])
        return Outcome(
            path=path,
            trial=str(content["trial"]),
            training=str(content["training"]),
            run_dir=run_dir,
            videos=tuple(
                {"corpus": str(row["corpus"]), "video": str(row["video"]), **row} for row in content["videos"]
            ),
            synthetic=frozenset(content.get("synthetic") or ()),
            selection=str(content.get("selection") or ""),
            seed=_whole(content.get("seed")),
            split=_whole(content.get("split")),
            wall_s=_seconds(content.get("wall_s")),
            train_wall_s=_seconds(content.get("train_wall_s")),
            device=str(content.get("device") or ""),
            parameters=sum(map(int, content["parameters"].values())) if content.get("parameters") else None,
            leaks=tuple(content.get("leaks") or ()),
        )
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is no result of a trial ({type(error).__name__}: {error}); remove it and run the trial again"
        ) from error


def trial_folder(runs: Path, sweep: str) -> Path:
    """Where the trials of a sweep lie: ``runs/sweeps/<sweep>/<trial>/result.json``."""
    return runs / "sweeps" / sweep


def find_outcomes(sweep: Sweep, trials: list[Trial], runs: Path) -> tuple[dict[str, Outcome], list[str]]:
    """Results of a sweep's trials by trial, and names of trials with results that the file no longer lists."""
    folder = trial_folder(runs, sweep.name)
    known = {trial.id for trial in trials}
    found: dict[str, Outcome] = {}
    strays: list[str] = []
    for path in sorted(folder.glob(f"*/{RESULT}")):
        name = path.parent.name
        if name not in known:
            strays.append(name)
            continue
        outcome = read_outcome(path)
        if outcome.trial != name:
            raise InputError(
                f"{path} is the result of trial {outcome.trial}, not of {name}; it was moved: put it back"
            )
        found[name] = outcome
    return found, strays


class RowIndex:
    """Which row of its table a trial belongs to.

    Rows are told apart by what a sweep varies beside seed, split, corpora and starting checkpoint: by its list of
    models, of trainings, of ways to sample. The position in that list is the row's index.

    Args:
        sweep: The sweep.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._varied = [
            (parameter, [canonical_json(value) for value in parameter.grid() or []])
            for parameter in flatten(sweep.parameters)
            if not _repeats(parameter) and len(parameter.grid() or []) > 1
        ]

    @property
    def count(self) -> int:
        """Number of rows."""
        return prod(len(values) for _, values in self._varied)

    def of(self, overrides: Mapping[str, Any]) -> int:
        """Index of the row that a trial's overrides belong to."""
        index = 0
        for parameter, values in self._varied:
            value: Any = overrides
            for name in parameter.path:
                value = value[name]
            index = index * len(values) + values.index(canonical_json(value))
        return index


_REPEATED = {("seed_everything",), ("data", "split"), ("data", "corpora"), ("data", "root"), ("init_from",)}


def _repeats(parameter: Parameter) -> bool:
    """Whether a parameter makes repetitions of a row: other seeds, splits or corpora."""
    if parameter.path in _REPEATED:
        return True
    values = parameter.grid() or []
    return parameter.path == ("data",) and all(
        isinstance(value, Mapping) and set(value) <= {"split", "corpora", "root"} for value in values
    )


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _seconds(value: Any) -> float | None:
    return None if value is None else float(value)
