"""Run folders as the leak audit reads them: videos of training, selection and test of each run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

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

    def load(self, path: Path) -> dict[str, Any] | None:
        """Read a JSON or YAML file of the folder; one that is absent or broken is noted as unknown."""
        try:
            text = path.read_text(encoding="utf-8")
            content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        except FileNotFoundError:
            self.unknown.append(f"{self.path} has no {path.relative_to(self.path)}")
            return None
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            self.unknown.append(f"{path} cannot be read ({str(error).splitlines()[0]})")
            return None
        if not isinstance(content, dict):
            self.unknown.append(f"{path} holds no mapping")
            return None
        return content


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """Find run folders at or below the given paths, each once; a path without any is returned as it is."""
    found: list[Path] = []
    for path in paths:
        given = path.parent.parent if path.is_file() and path.parent.name == "checkpoints" else path
        inside = sorted(record.parent for record in given.rglob("run.json")) if given.is_dir() else []
        here = any((given / name).exists() for name in ("run.json", "checkpoints", "config.yaml"))
        found += [given] if here or not inside else inside
    return list(dict.fromkeys(run.resolve() for run in found))


def read_run(path: Path) -> RunFacts:
    """Read the facts of a run folder; missing and unreadable ones are noted, not guessed."""
    facts = RunFacts(path)
    if not path.is_dir():
        facts.unknown.append(f"{path} is not there")
        return facts
    try:
        _collect(path, facts)
    except (AttributeError, TypeError, ValueError) as error:
        facts.unknown.append(f"{path} holds records of another kind ({error})")
    return facts


def _collect(path: Path, facts: RunFacts) -> None:
    run = RunFolder(path)
    settings = path / "config.yaml"
    config = (facts.load(settings) or {}) if settings.is_file() else {}
    record = facts.load(run.record)
    synthetic = frozenset(map(str, (record or {}).get("synthetic") or []))
    if record is not None:
        _read_videos(record, facts, synthetic)
    _read_origins(config, record, facts)
    validation = (config.get("data") or {}).get("validation") or {}
    facts.selected_on_test |= validation.get("selection") == "test"
    if (run.results / "test.json").is_file():
        _read_results(run, facts, synthetic)
    if record is not None and not facts.test and not facts.tested_elsewhere:
        facts.unknown.append(f"{run.record} names no test video")


def _read_videos(record: dict[str, Any], facts: RunFacts, synthetic: frozenset[str]) -> None:
    for part in [record, *[entry for entry in record.get("earlier") or [] if isinstance(entry, dict)]]:
        videos = part.get("videos") or {}
        facts.train |= video_keys(videos.get("train"), synthetic)
        facts.selection |= video_keys(videos.get("validation"), synthetic)
    facts.test = video_keys((record.get("videos") or {}).get("test"), synthetic)
    facts.selected_on_test = "TEST" in str(record.get("selection"))
    if not facts.train:
        facts.unknown.append(f"{facts.path / 'run.json'} names no training video")


def _read_origins(config: dict[str, Any], record: dict[str, Any] | None, facts: RunFacts) -> None:
    """Read all initial weights that the folder names: in its record, its configuration, and earlier records."""
    absolute = started_from(config, facts.path)
    named = {
        option: absolute.get(option, value)
        for option, value in weight_options(config).items()
        if not _own_checkpoint(value, config, facts.path)
    }
    if record is not None:
        lines = record.get("weights")
        known = {Path(value).name for value in named.values()}
        reported = reported_sources(lines if isinstance(lines, list) else [])
        named |= {part: source for part, source in reported.items() if Path(source).name not in known}
        for index, entry in enumerate([record, *(record.get("earlier") or [])]):
            for option, value in (entry.get("started_from") or {}).items():
                named[option if index == 0 else f"{option} (earlier command {index})"] = value
        if "started_from" not in record and not config:
            facts.unknown.append(f"{facts.path} does not state what the run started from")
    facts.origins = named


def _own_checkpoint(value: str, config: dict[str, Any], run: Path) -> bool:
    """Return True if a path is a checkpoint of this folder, here or at the folder's path during the run."""
    path, before = Path(value), config.get("run_dir")
    if path.exists():
        return run.resolve() in path.resolve().parents
    return bool(before) and Path(str(before)) in path.parents


def _read_results(run: RunFolder, facts: RunFacts, synthetic: frozenset[str]) -> None:
    results = facts.load(run.results / "test.json")
    if results is None:
        return
    rows = [row for row in results.get("videos") or [] if isinstance(row, dict)]
    pairs = [[row.get("corpus"), row.get("video")] for row in rows]
    tested = video_keys(pairs, synthetic | frozenset(results.get("synthetic") or []))
    checkpoint, command = results.get("checkpoint"), run.path / "config-test.yaml"
    config = (facts.load(command) or {}) if command.is_file() else {}
    if checkpoint is None or _own_checkpoint(str(checkpoint), config, run.path):
        facts.test |= tested
    else:
        facts.tested_elsewhere[Path(checkpoint)] = tested


def video_keys(pairs: Any, synthetic: frozenset[str]) -> frozenset[Video]:
    """Parse (corpus, video) pairs of a record and mark those of generated corpora; anything else is left out."""
    keys = [pair for pair in pairs if isinstance(pair, (list, tuple)) and len(pair) == 2] if pairs else []
    # a generated video may have the name of a real one
    return frozenset(
        (f"{corpus} (SYNTHETIC)" if str(corpus) in synthetic else str(corpus), str(video))
        for corpus, video in keys
    )
