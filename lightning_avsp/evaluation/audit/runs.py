"""Run folders as the leak audit reads them: videos of training, selection and test of each run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_avsp.callbacks.origins import reported_sources, started_from, weight_options
from lightning_avsp.run_folder import RunFolder

Video = tuple[str, str]
"""(corpus, video); videos of a generated corpus carry ``(SYNTHETIC)`` in the corpus' name."""


@dataclass
class RunFacts:
    """Facts in a run folder."""

    path: Path
    train: frozenset[Video] = frozenset()
    """Videos that weights were fitted to, in this and earlier commands of the folder."""
    selection: frozenset[Video] = frozenset()
    """Videos that chose the checkpoint."""
    test: frozenset[Video] = frozenset()
    """Videos that the run is tested on, by its settings and by its results."""
    tested_elsewhere: dict[Path, frozenset[Video]] = field(default_factory=dict)
    """Videos in this folder's results whose checkpoint lies in another folder, by checkpoint."""
    selected_on_test: bool = False
    """True if the record states that the test list chose the checkpoint."""
    origins: dict[str, str] = field(default_factory=dict)
    """Weights and checkpoints the run started from, by option."""
    unknown: list[str] = field(default_factory=list)
    """Facts that the folder lacks."""


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """Find run folders at or below the given paths, each once; a path without any is returned as it is."""
    found: list[Path] = []
    for path in paths:
        given = path.parent.parent if path.is_file() and path.parent.name == "checkpoints" else path
        inside = sorted(record.parent for record in given.rglob("run.json")) if given.is_dir() else []
        own = RunFolder(given)
        here = own.record.is_file() or own.checkpoints.is_dir() or (given / "config.yaml").is_file()
        found += [given] if here or not inside else inside
    return list(dict.fromkeys(run.resolve() for run in found))


def read_run(path: Path) -> RunFacts:
    """Read the facts of a run folder; missing and unreadable ones are noted, not guessed."""
    run, facts = RunFolder(path), RunFacts(path)
    if not path.is_dir():
        facts.unknown.append(f"{path} is not there")
        return facts
    config = _config(path / "config.yaml", facts)
    record = _json(run.record, facts, "run.json")
    if record is not None:
        _read_record(record, facts)
    _read_origins(config, record, facts)
    validation = (config.get("data") or {}).get("validation") or {}
    if validation.get("selection") == "test":
        facts.selected_on_test = True
    _read_results(run, facts, _synthetic(record or {}))
    if record is not None and not facts.test and not facts.tested_elsewhere:
        facts.unknown.append(f"{run.record} names no test video")
    return facts


def _read_record(record: dict[str, Any], facts: RunFacts) -> None:
    synthetic = _synthetic(record)
    parts = [record, *[entry for entry in record.get("earlier") or [] if isinstance(entry, dict)]]
    for index, part in enumerate(parts):
        videos = part.get("videos") or {}
        facts.train |= video_keys(videos.get("train"), synthetic)
        facts.selection |= video_keys(videos.get("validation"), synthetic)
        if index == 0:
            facts.test |= video_keys(videos.get("test"), synthetic)
    if not facts.train:
        facts.unknown.append(f"{facts.path / 'run.json'} names no training video")
    facts.selected_on_test |= "TEST" in str(record.get("selection"))


def _read_origins(config: dict[str, Any], record: dict[str, Any] | None, facts: RunFacts) -> None:
    """Read all initial weights that the folder names: in its record, its configuration, and earlier records."""
    named = {
        option: value
        for option, value in weight_options(config).items()
        if not _own_checkpoint(value, config, facts.path)
    }
    named |= {k: v for k, v in started_from(config, facts.path).items() if k in named}
    if record is not None:
        lines = record.get("weights")
        known = set(named.values())
        for part, source in reported_sources(lines if isinstance(lines, list) else []).items():
            if source not in known and Path(source).name not in {Path(value).name for value in known}:
                named[part] = source
        for index, entry in enumerate([record, *(record.get("earlier") or [])]):
            for option, value in (entry.get("started_from") or {}).items():
                named[option if index == 0 else f"{option} (earlier command {index})"] = value
        if "started_from" not in record and not config:
            facts.unknown.append(f"{facts.path} does not state what the run started from")
    facts.origins = named


def _own_checkpoint(value: str, config: dict[str, Any], run: Path) -> bool:
    """Return True if a path is a checkpoint of this folder, here or at the folder's path during the run."""
    path = Path(value)
    if path.exists():
        return run.resolve() in path.resolve().parents
    before = config.get("run_dir")
    return bool(before) and Path(str(before)) in path.parents


def _read_results(run: RunFolder, facts: RunFacts, synthetic: frozenset[str]) -> None:
    path = run.results / "test.json"
    if not path.is_file():
        return
    results = _json(path, facts, "results/test.json")
    if results is None:
        return
    made = synthetic | frozenset(results.get("synthetic") or [])
    rows = [row for row in results.get("videos") or [] if isinstance(row, dict)]
    tested = video_keys([[row.get("corpus"), row.get("video")] for row in rows], made)
    checkpoint = results.get("checkpoint")
    command = _config(run.path / "config-test.yaml", facts)
    if checkpoint is None or _own_checkpoint(str(checkpoint), command, run.path):
        facts.test |= tested
    else:
        facts.tested_elsewhere[Path(checkpoint)] = tested


def _synthetic(record: dict[str, Any]) -> frozenset[str]:
    return frozenset(str(name) for name in record.get("synthetic") or [])


def video_keys(pairs: Any, synthetic: frozenset[str]) -> frozenset[Video]:
    """Parse (corpus, video) pairs of a record and mark those of generated corpora; anything else is left out."""
    if not isinstance(pairs, list):
        return frozenset()
    keys = [
        (str(pair[0]), str(pair[1])) for pair in pairs if isinstance(pair, (list, tuple)) and len(pair) == 2
    ]
    # a generated video may have the name of a real one
    return frozenset((f"{c} (SYNTHETIC)" if c in synthetic else c, video) for c, video in keys)


def _json(path: Path, facts: RunFacts, name: str) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        facts.unknown.append(f"{facts.path} has no {name}")
        return None
    except (OSError, ValueError) as error:
        facts.unknown.append(f"{path} cannot be read ({error})")
        return None
    if not isinstance(content, dict):
        facts.unknown.append(f"{path} is no record")
        return None
    return content


def _config(path: Path, facts: RunFacts) -> dict[str, Any]:
    import yaml

    if not path.is_file():
        return {}
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        facts.unknown.append(f"{path} cannot be read ({str(error).splitlines()[0]})")
        return {}
    return content if isinstance(content, dict) else {}
