"""Whether a run is tested on videos that its training, its pretraining or its selection has seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lightning_avsp.callbacks.origins import published_training_data
from lightning_avsp.evaluation.audit.runs import RunFacts, Video, find_runs, read_run

State = Literal["leak", "unknown", "clean"]


@dataclass(frozen=True)
class Exposure:
    """Videos that had a part in a model, and in what way."""

    how: str
    """``its training``, ``its selection``, ``training of <run>, from which it started``, ..."""
    videos: frozenset[Video]


@dataclass
class LeakFinding:
    """One model and the videos that it is tested on."""

    run: Path
    """Run folder."""
    what: str
    """Which test this is about."""
    test: frozenset[Video]
    """Videos that it is tested on."""
    leaks: list[Exposure] = field(default_factory=list)
    """Test videos that were seen."""
    unknown: list[str] = field(default_factory=list)
    """What could not be followed."""
    checked: list[str] = field(default_factory=list)
    """What was compared with the test videos."""

    @property
    def state(self) -> State:
        """A leak that was found stays one whatever else is unknown; nothing unknown is clean."""
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
    """Results that lie here, of a model that lies elsewhere."""
    finding = LeakFinding(facts.path, f"in its results of {checkpoint}", tested)
    path = _find(str(checkpoint), facts.path)
    origin = None if path is None else _run_of(path)
    if origin is None:
        state = "is not there" if path is None else "lies in no run folder"
        finding.unknown.append(f"{checkpoint} {state}: nobody knows what it was trained on")
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
    """What a run's weights have seen: its own videos, and those of all that it started from."""
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
    """Videos behind a checkpoint or weight file, and what cannot be known about it.

    Args:
        option: What named it.
        value: Path, or name of published_training_data weights.
        run: Folder of the run that started from it; relative paths are tried from there and from its parents too.
        followed: Runs that were followed already; the ones of this chain are added.
    """
    if known := published_training_data(value):
        return [Exposure(f"{option}={value} ({known})", frozenset())], []
    path = _find(value, run)
    origin = None if path is None else _run_of(path)
    if origin is None:
        state = "is not there" if path is None else "lies in no run folder"
        return [], [f"it started from {option}={value}, which {state}: nobody knows what that was trained on"]
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
    """The file or the run folder it belonged to, from a path that may be relative to where the run was started."""
    path = Path(value)
    bases = [Path(), run, *run.parents]
    for candidate in [path] if path.is_absolute() else [base / path for base in bases]:
        if candidate.exists() or _run_of(candidate) is not None:
            return candidate
    return None


def _run_of(checkpoint: Path) -> Path | None:
    """Run folder of ``<run>/checkpoints/<name>.ckpt``; the file itself may be gone."""
    folder = checkpoint.parent
    return folder.parent if folder.name == "checkpoints" and folder.parent.is_dir() else None
