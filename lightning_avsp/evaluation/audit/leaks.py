"""Test-set contamination: runs tested on videos that their training, pretraining or selection has seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lightning_avsp.callbacks.origins import published_training_data
from lightning_avsp.data.partition import shared_films
from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.audit.report import AuditReport
from lightning_avsp.evaluation.audit.runs import RunFacts, Video, find_runs, read_run, video_keys
from lightning_avsp.evaluation.formatting import shorten

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
    if known := published_training_data(value):
        return [Exposure(f"{option}={value} ({known})", frozenset())]
    origin, state = _run_behind(value, run)
    if origin is None:
        unknown.append(f"it started from {option}={value}, which {state}: its training data are unknown")
        return []
    if origin.resolve() in followed:
        return []
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
    """Find the run folder of ``<run>/checkpoints/<name>.ckpt``, whose file may be gone.

    Args:
        value: Path that may be relative to where the run was started.
        run: Folder of that run.

    Returns:
        The folder, or None and the reason.
    """
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
