"""Test-set contamination: runs tested on videos that their training, pretraining or selection has seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lightning_avsp.callbacks.origins import published_training_data
from lightning_avsp.evaluation.audit.report import AuditReport
from lightning_avsp.evaluation.audit.runs import RunFacts, Video, find_runs, read_run

State = Literal["leak", "unknown", "clean"]
NAMED = 5
"""Videos that a line names before it gives the number of the others."""


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
    for path in find_runs(paths):
        facts = read_run(path)
        if facts.test or not facts.tested_elsewhere:
            findings.append(_examine(facts, "its test videos", facts.test))
        for checkpoint, tested in facts.tested_elsewhere.items():
            findings.append(_examine_foreign(facts, checkpoint, tested))
    return findings


def _examine(facts: RunFacts, what: str, test: frozenset[Video]) -> LeakFinding:
    finding = LeakFinding(facts.path, what, test)
    _compare(finding, _exposures(facts, finding.unknown, set()))
    return finding


def _examine_foreign(facts: RunFacts, checkpoint: Path, tested: frozenset[Video]) -> LeakFinding:
    """Examine results of a model that lies in another folder."""
    finding = LeakFinding(facts.path, f"in its results of {checkpoint}", tested)
    path = _find(str(checkpoint), facts.path)
    origin = None if path is None else _run_of(path)
    if origin is None:
        state = "is not there" if path is None else "lies in no run folder"
        finding.unknown.append(f"{checkpoint} {state}: its training data are unknown")
        return finding
    model = read_run(origin)
    _compare(finding, _exposures(model, finding.unknown, set()))
    return finding


def _compare(finding: LeakFinding, exposures: list[Exposure]) -> None:
    for exposure in exposures:
        finding.checked.append(f"{exposure.how}: {len(exposure.videos)} videos")
        if seen := exposure.videos & finding.test:
            finding.leaks.append(Exposure(exposure.how, seen))


def _exposures(facts: RunFacts, unknown: list[str], followed: set[Path]) -> list[Exposure]:
    """Collect the videos that a run's weights have seen: its own, and those of all that it started from."""
    unknown += facts.unknown
    followed.add(facts.path.resolve())
    found = [Exposure("its training", facts.train), Exposure("its selection", facts.selection)]
    if facts.selected_on_test and not facts.test <= facts.selection:
        found.append(Exposure("its selection on its test list", facts.test))
    for option, value in facts.origins.items():
        exposures, gaps = follow_origin(option, value, facts.path, followed)
        found += exposures
        unknown += gaps
    return found


def follow_origin(
    option: str, value: str, run: Path, followed: set[Path]
) -> tuple[list[Exposure], list[str]]:
    """Collect the videos behind a checkpoint or weight file, and what is unknown about it.

    Args:
        option: Option that named it.
        value: Path, or name of published weights.
        run: Folder of the run that started from it; relative paths are tried from there and from its parents too.
        followed: Runs that were followed already; the ones of this chain are added.
    """
    if known := published_training_data(value):
        return [Exposure(f"{option}={value} ({known})", frozenset())], []
    path = _find(value, run)
    origin = None if path is None else _run_of(path)
    if origin is None:
        state = "is not there" if path is None else "lies in no run folder"
        return [], [f"it started from {option}={value}, which {state}: its training data are unknown"]
    if origin.resolve() in followed:
        return [], []
    facts = read_run(origin)
    unknown: list[str] = []
    exposures = _exposures(facts, unknown, followed)
    name = f"{origin.parent.name}/{origin.name}"
    own = {"its training", "its selection", "its selection on its test list"}
    return (
        [
            Exposure(
                f"{seen.how.removeprefix('its ')} of {name}, from which it started ({option})"
                if seen.how in own
                else f"{seen.how}, through {name}",
                seen.videos,
            )
            for seen in exposures
        ],
        [f"{gap} (started from through {option})" for gap in unknown],
    )


def _find(value: str, run: Path) -> Path | None:
    """Find a file, or the run folder it belonged to, from a path that may be relative to where the run was started."""
    path = Path(value)
    bases = [Path(), run, *run.parents]
    for candidate in [path] if path.is_absolute() else [base / path for base in bases]:
        if candidate.exists() or _run_of(candidate) is not None:
            return candidate
    return None


def _run_of(checkpoint: Path) -> Path | None:
    """Return the run folder of ``<run>/checkpoints/<name>.ckpt``; the file itself may be gone."""
    folder = checkpoint.parent
    return folder.parent if folder.name == "checkpoints" and folder.parent.is_dir() else None


def leak_report(findings: Sequence[LeakFinding]) -> AuditReport:
    """Format a line per run, one per leak, gap and comparison below it, and the counts."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.state.upper():<8}{finding.run}: {len(finding.test)} videos, {finding.what}")
        lines += [
            f"        seen by {leak.how}: {len(leak.videos)} of them, {_named(leak.videos)}"
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
            "test": ["/".join(key) for key in sorted(finding.test)],
            "leaks": [
                {"how": leak.how, "videos": ["/".join(key) for key in sorted(leak.videos)]}
                for leak in finding.leaks
            ],
            "unknown": finding.unknown,
            "checked": finding.checked,
        }
        for finding in findings
    ]
    return AuditReport(record, notes=[*lines, "{} with a leak, {} unknown, {} clean".format(*counts)])


def _named(videos: frozenset[Video]) -> str:
    """Name the first videos, and the number of the others."""
    names = ["/".join(key) for key in sorted(videos)]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
