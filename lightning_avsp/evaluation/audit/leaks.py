"""Test-set contamination: runs tested on videos that their training, pretraining or selection has seen."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from lightning_avsp.callbacks.origins import (
    published_training_data,
    reported_sources,
    started_from,
    weight_options,
)
from lightning_avsp.data.partition import shared_films
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.audit.report import AuditReport
from lightning_avsp.evaluation.formatting import shorten
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
        # a folder's later commands go on from the weights of its earlier ones
        for part in [record, *[entry for entry in record.get("earlier") or [] if isinstance(entry, dict)]]:
            videos = part.get("videos") or {}
            facts.train |= video_keys(videos.get("train"), synthetic)
            facts.selection |= video_keys(videos.get("validation"), synthetic)
        facts.test = video_keys((record.get("videos") or {}).get("test"), synthetic)
        facts.selected_on_test = "TEST" in str(record.get("selection"))
        if not facts.train:
            facts.unknown.append(f"{run.record} names no training video")
    _read_origins(config, record, facts)
    validation = (config.get("data") or {}).get("validation") or {}
    facts.selected_on_test |= validation.get("selection") == "test"
    if (run.results / "test.json").is_file():
        _read_results(run, facts, synthetic)
    if record is not None and not facts.test and not facts.tested_elsewhere:
        facts.unknown.append(f"{run.record} names no test video")


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
    # a run that was moved names its checkpoints at their old place
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
        # the weights are another run's, so its training is what counts
        facts.tested_elsewhere[Path(checkpoint)] = tested


def video_keys(pairs: Any, synthetic: frozenset[str]) -> frozenset[Video]:
    """Parse (corpus, video) pairs of a record and mark those of generated corpora; anything else is left out."""
    keys = [pair for pair in pairs if isinstance(pair, (list, tuple)) and len(pair) == 2] if pairs else []
    # a generated video may have the name of a real one
    return frozenset(
        (f"{corpus} (SYNTHETIC)" if str(corpus) in synthetic else str(corpus), str(video))
        for corpus, video in keys
    )


State = Literal["leak", "unknown", "clean"]


@dataclass(frozen=True)
class Exposure:
    """Videos that contributed to a model, and their role."""

    how: str
    """``its training``, ``its selection``, ``training of <run>, from which it started``, ..."""
    videos: frozenset[Video]


@dataclass
class LeakFinding:
    """One model and the videos that it is tested on."""

    run: Path
    """Run folder."""
    what: str
    """The test."""
    test: frozenset[Video]
    """Videos that it is tested on."""
    leaks: list[Exposure] = field(default_factory=list)
    """Test videos that were seen."""
    unknown: list[str] = field(default_factory=list)
    """Origins that could not be followed."""
    checked: list[str] = field(default_factory=list)
    """Sets of videos that were compared with the test videos."""

    @property
    def state(self) -> State:
        """``leak`` if one was found, whatever else is unknown; ``clean`` only if nothing is unknown."""
        if self.leaks:
            return "leak"
        return "unknown" if self.unknown else "clean"


def audit_leaks(paths: Iterable[Path]) -> list[LeakFinding]:
    """Examine runs, and results that a run folder holds of another run's checkpoint.

    Args:
        paths: Run folders, their checkpoints, or folders that hold runs.
    """
    findings = []

    def examine(finding: LeakFinding, model: RunFacts) -> None:
        for exposure in _exposures(model, finding.unknown, set()):
            finding.checked.append(f"{exposure.how}: {len(exposure.videos)} videos")
            if seen := exposure.videos & finding.test:
                finding.leaks.append(Exposure(exposure.how, seen))
            # the published splits divide films, so this is no leak of the run's
            if films := shared_films(exposure.videos, finding.test - exposure.videos):
                finding.checked.append(
                    f"{exposure.how}: other parts of films that are tested: {', '.join(films)}"
                )

    for path in find_runs(paths):
        facts = read_run(path)
        if facts.test or not facts.tested_elsewhere:
            findings.append(LeakFinding(path, "its test videos", facts.test))
            examine(findings[-1], facts)
        for checkpoint, tested in facts.tested_elsewhere.items():
            findings.append(LeakFinding(path, f"in its results of {checkpoint}", tested))
            origin, state = _run_behind(str(checkpoint), path)
            if origin is None:
                findings[-1].unknown.append(f"{checkpoint} {state}: its training data are unknown")
            else:
                examine(findings[-1], read_run(origin))
    return findings


def _exposures(facts: RunFacts, unknown: list[str], followed: set[Path]) -> list[Exposure]:
    """Collect the videos that a run's weights have seen: its own, and those of all that it started from."""
    unknown += facts.unknown
    followed.add(facts.path.resolve())
    found = [Exposure("its training", facts.train), Exposure("its selection", facts.selection)]
    # a record that admits it is believed, whatever its lists say
    if facts.selected_on_test and not facts.test <= facts.selection:
        found.append(Exposure("its selection on its test list", facts.test))
    for option, value in facts.origins.items():
        found += follow_origin(option, value, facts.path, followed, unknown)
    return found


def follow_origin(
    option: str, value: str, run: Path, followed: set[Path], unknown: list[str]
) -> list[Exposure]:
    """Collect the videos behind a checkpoint or weight file.

    Args:
        option: Option that named it.
        value: Path, or name of published weights.
        run: Folder of the run that started from it; relative paths are tried from there and from its parents too.
        followed: Runs that were followed already; the ones of this chain are added.
        unknown: Receives what is not known about it.
    """
    # published weights saw other data than gaze, or data that are known
    if known := published_training_data(value):
        return [Exposure(f"{option}={value} ({known})", frozenset())]
    origin, state = _run_behind(value, run)
    if origin is None:
        unknown.append(f"it started from {option}={value}, which {state}: its training data are unknown")
        return []
    # two runs that started from each other would be followed for ever
    if origin.resolve() in followed:
        return []
    # what is unknown there is unknown here, with the way that leads to it
    gaps: list[str] = []
    name = f"{origin.parent.name}/{origin.name}"
    found = []
    for seen in _exposures(read_run(origin), gaps, followed):
        own = seen.how.removeprefix("its ")
        how = f"{own} of {name}, from which it started ({option})"
        found.append(Exposure(how if own != seen.how else f"{seen.how}, through {name}", seen.videos))
    unknown += [f"{gap} (started from through {option})" for gap in gaps]
    return found


def _run_behind(value: str, run: Path) -> tuple[Path | None, str]:
    """Find the run folder of ``<run>/checkpoints/<name>.ckpt``, whose file may be gone; else None and the reason."""
    # a relative path counts from where the run was started, most likely a parent of its folder
    for base in (Path(), run, *run.parents):
        candidate = base / value  # an absolute path stays as it is
        folder = candidate.parent
        if folder.name == "checkpoints" and folder.parent.is_dir():
            return folder.parent, ""
        if candidate.exists():
            return None, "lies in no run folder"
    return None, "is not there"


def seen_test_videos(
    option: str,
    checkpoint: str,
    run: Path,
    test: Iterable[tuple[str, str]],
    synthetic: Iterable[str] = (),
    allow: bool = False,
) -> list[str]:
    """List what the initial weights have seen of a run's test videos, one line each.

    Args:
        option: Option that named the checkpoint: ``init_from`` or ``ckpt_path``.
        checkpoint: Its path.
        run: Folder of the new run.
        test: (corpus, video) of everything that the new run is tested on.
        synthetic: Generated corpora among them.
        allow: Return the findings instead of refusing them.

    Raises:
        InputError: If the checkpoint, or one that it started from, was fitted to or chosen by one of the videos.
    """
    wanted = video_keys([list(key) for key in test], frozenset(synthetic))
    unknown: list[str] = []
    exposures = follow_origin(option, checkpoint, run, set(), unknown)
    lines = [f"unknown: {gap}" for gap in unknown]
    for exposure in exposures:
        seen = _names(exposure.videos & wanted)
        if not seen:
            continue
        found = f"{len(seen)} of {len(wanted)} test videos were seen by {exposure.how}: {shorten(seen, 3)}"
        # refused before the first step: a trained model cannot forget
        if not allow:
            raise InputError(
                f"{found}; each split is a model of its own: start from a checkpoint of the same split, "
                "or give --allow_seen_test_videos=true, and the results will be marked as leaked"
            )
        lines.append(f"LEAK: {found}")
    return lines


def leak_report(findings: Sequence[LeakFinding]) -> AuditReport:
    """Format a line per run, one per leak, gap and comparison below it, and the counts."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.state.upper():<8}{finding.run}: {len(finding.test)} videos, {finding.what}")
        lines += [
            f"        seen by {leak.how}: {len(leak.videos)} of them, {shorten(_names(leak.videos))}"
            for leak in finding.leaks
        ]
        lines += [f"        unknown: {gap}" for gap in finding.unknown]
        lines += [f"        compared with {text}" for text in finding.checked]
    counts = [sum(finding.state == state for finding in findings) for state in ("leak", "unknown", "clean")]
    record = [
        {
            "run": str(finding.run),
            "what": finding.what,
            "state": finding.state,
            "test": _names(finding.test),
            "leaks": [{"how": leak.how, "videos": _names(leak.videos)} for leak in finding.leaks],
            "unknown": finding.unknown,
            "checked": finding.checked,
        }
        for finding in findings
    ]
    return AuditReport(record, notes=[*lines, "{} with a leak, {} unknown, {} clean".format(*counts)])


def _names(videos: frozenset[Video]) -> list[str]:
    return ["/".join(key) for key in sorted(videos)]
