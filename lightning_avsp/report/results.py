"""Results on disk: those of a sweep's trials, those of single runs, and the table row that a trial belongs to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lightning_avsp.errors import InputError
from lightning_avsp.sweep import Sweep, Trial
from lightning_avsp.sweep.status import find_results

RESULT = "result.json"
"""Result of a trial: ``RUNS/sweeps/<sweep>/<trial>-<test>/result.json``."""
TEST = "results/test.json"
"""Result of a single run, below its run folder."""


@dataclass(frozen=True)
class RunResult:
    """Scores of a test, by video."""

    path: Path
    trial: str
    """Name of the trial; empty for a single run."""
    training: str
    """Name of the training run by content; several trials may share it."""
    run_dir: Path
    videos: tuple[Mapping[str, Any], ...]
    """Records of tested videos: corpus, video, frames and each metric, None where it is undefined."""
    synthetic: frozenset[str]
    """Corpora made by our generator."""
    selection: str
    """How the checkpoint was chosen."""
    seed: int | None
    split: int | None
    wall_s: float | None = None
    """Seconds of the test."""
    train_wall_s: float | None = None
    """Seconds of the training."""
    device: str = ""
    parameters: int | None = None
    """Parameters of the trained network, where the result has them."""
    contamination: tuple[str, ...] = ()
    """Test videos that the start of the training has seen."""

    def corpus_values(self, corpus: str, metric: str) -> list[tuple[str, float]]:
        """(video, value) of one corpus; NaN where the metric is undefined; empty where it was not computed."""
        return [
            (str(row["video"]), float("nan") if row[metric] is None else float(row[metric]))
            for row in self.videos
            if row["corpus"] == corpus and metric in row
        ]

    def run_folder(self) -> Path | None:
        """The training's run folder, also where all runs were moved together; None where it is gone."""
        moved = self.path.parents[3] / "trainings" / self.training
        return next((path for path in (self.run_dir, moved) if path.is_dir()), None)


def read_trial_result(path: Path) -> RunResult:
    """The result file of a trial.

    Raises:
        InputError: If it cannot be read, or lacks a key.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        sizes = content.get("parameters")
        return RunResult(
            path=path,
            trial=str(content["trial"]),
            training=str(content["training"]),
            run_dir=Path(content["run_dir"]),
            **_shared(content, content.get("seed"), content.get("split"), content.get("device")),
            wall_s=content.get("wall_s"),
            train_wall_s=content.get("train_wall_s"),
            parameters=sum(map(int, sizes.values())) if sizes else None,
        )
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not the result of a trial ({type(error).__name__}: {error}); remove it and run the trial again"
        ) from error


def read_trial_results(
    sweep: Sweep, trials: Sequence[Trial], runs: Path, args: list[str] | None = None
) -> tuple[dict[str, RunResult], list[str]]:
    """Results of a sweep's trials by trial, and names of trials with results that the file no longer lists.

    Raises:
        InputError: If a result cannot be read, or was moved, or there are results of different ``--args``.
    """
    known = {trial.id for trial in trials}
    found: dict[str, RunResult] = {}
    strays: list[str] = []
    for name, path in find_results(sweep, runs, args).items():
        if name != path.parent.name.partition("-")[0]:
            raise InputError(
                f"{path} is the result of trial {name}, not of {path.parent.name}; it was moved: put it back"
            )
        if name in known:
            found[name] = read_trial_result(path)
        else:
            strays.append(name)
    return found, sorted(strays)


def read_all_results(runs: Path) -> Iterator[tuple[str, str, RunResult]]:
    """Every result below a folder: (sweep, label, result), the sweep empty for single runs.

    The label is what repetitions over seeds and splits share: the values that a trial sets, or the experiment of a
    single run with what limits its test. Tests of runs that belong to trials are left out.

    Raises:
        InputError: If a result cannot be read.
    """
    trained: set[Path] = set()
    for path in sorted(runs.glob(f"sweeps/*/*/{RESULT}")):
        result = read_trial_result(path)
        trained |= {result.run_dir.resolve(), (runs / "trainings" / result.training).resolve()}
        content = json.loads(path.read_text(encoding="utf-8"))
        overrides = content.get("overrides")
        words = [_label(overrides if isinstance(overrides, dict) else {}), *content.get("args", [])]
        yield path.parents[1].name, " ".join(words).strip(), result
    for path in sorted(runs.glob(f"**/{TEST}")):
        if (
            path.relative_to(runs).parts[0] not in ("sweeps", "tests")
            and path.parents[1].resolve() not in trained
        ):
            yield "", *_read_run(path)


def _read_run(path: Path) -> tuple[str, RunResult]:
    folder = path.parents[1]
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        record_path, config_path = folder / "run.json", folder / "config.yaml"
        record = json.loads(record_path.read_text(encoding="utf-8")) if record_path.is_file() else {}
        config = yaml.safe_load(config_path.read_text(encoding="utf-8")) if config_path.is_file() else {}
        split = (config.get("data") or {}).get("split")
        words = [str(record.get("experiment") or folder.name)]
        if (content.get("test_every") or 1) > 1:
            words.append(f"(every {content['test_every']}th frame only)")
        for name, key in (("audio", "test_audio"), ("captions", "test_text")):
            if content.get(key) not in (None, "true"):
                words.append(f"({name}: {content[key]})")
        return " ".join(words), RunResult(
            path=path,
            trial="",
            training="",
            run_dir=folder,
            **_shared(
                content, record.get("seed"), split if isinstance(split, int) else None, record.get("device")
            ),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise InputError(
            f"{path} is not a result of `lightning test` ({type(error).__name__}: {error}); "
            "remove it, or test the run again"
        ) from error


def _shared(content: Mapping[str, Any], seed: Any, split: Any, device: Any) -> dict[str, Any]:
    """Fields that results of trials and of single runs have alike."""
    return {
        "videos": tuple(
            {**row, "corpus": str(row["corpus"]), "video": str(row["video"])} for row in content["videos"]
        ),
        "synthetic": frozenset(content.get("synthetic") or ()),
        "selection": str(content.get("selection") or ""),
        "seed": None if seed is None else int(seed),
        "split": None if split is None else int(split),
        "device": str(device or ""),
        "contamination": tuple(content.get("leaks") or ()),
    }


_REPEATED_DATA = ("split", "corpora", "root")


def _label(overrides: Mapping[str, Any]) -> str:
    """The values of a trial without seed, split and corpora, in one line: ``modality=v, steps=4``."""
    words: list[str] = []

    def walk(value: Any, name: str) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                walk(inner, str(key))
        else:
            words.append(f"{name}={value}")

    for key, value in overrides.items():
        if key == "data" and isinstance(value, Mapping):
            walk({name: one for name, one in value.items() if name not in _REPEATED_DATA}, key)
        elif key not in ("seed_everything", "init_from"):
            walk(value, key)
    return ", ".join(words)


def metrics_files(folder: Path) -> list[Path]:
    """CSV files of a training's metrics, those of resumed parts (``fit-2``, ``fit-3``) after the first."""

    def part(path: Path) -> int:
        number = re.fullmatch(r"fit-(\d+)", path.parent.name)
        return int(number[1]) if number else 1

    return sorted(folder.glob("metrics/fit*/metrics.csv"), key=part)
