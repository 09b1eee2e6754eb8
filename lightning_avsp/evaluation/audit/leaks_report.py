"""The leak audit as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning_avsp.evaluation.audit.leaks import LeakFinding
from lightning_avsp.evaluation.audit.runs import Video

NAMED = 5
"""Videos that a line names before it says how many more there are."""


def leak_lines(findings: Sequence[LeakFinding]) -> list[str]:
    """A line per run and one per leak, gap and comparison below it; then the counts."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.state.upper():<8}{finding.run}: {len(finding.test)} videos, {finding.what}")
        lines += [
            f"        seen by {leak.how}: {len(leak.videos)} of them, {named(leak.videos)}"
            for leak in finding.leaks
        ]
        lines += [f"        unknown: {gap}" for gap in finding.unknown]
        lines += [f"        compared with {text}" for text in finding.checked]
    counts = [sum(finding.state == state for finding in findings) for state in ("leak", "unknown", "clean")]
    return [*lines, "{} with a leak, {} unknown, {} clean".format(*counts)]


def named(videos: frozenset[Video]) -> str:
    """The first videos by name, and how many more."""
    names = ["/".join(key) for key in sorted(videos)]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def leak_json(findings: Sequence[LeakFinding]) -> list[dict[str, Any]]:
    """Everything behind the text, with all names."""
    return [
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
