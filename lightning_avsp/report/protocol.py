"""The protocol of our numbers in a table: scores of a result by it, and its difference to ``plain``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from lightning_avsp.evaluation.test_scores import published_protocol
from lightning_avsp.report.results import RunResult


def in_protocol(result: RunResult, protocol: str = "") -> RunResult:
    """Return a result with the scores of another protocol than ``plain``.

    Args:
        result: The result; videos that were not scored so keep their scores by ``plain``.
        protocol: Name of the protocol; by default that in which papers score each video's corpus.
    """
    scored = {
        (name, row["corpus"], row["video"]): {**row, "protocol": name}
        for name, rows in result.protocols.items()
        for row in rows
    }
    shown = [
        scored.get((protocol or published_protocol(row["corpus"]), row["corpus"], row["video"]), row)
        for row in result.videos
    ]
    return replace(result, videos=tuple(shown))


def protocol_notes(results: Sequence[RunResult], protocol: str) -> list[str]:
    """Name the protocols of the numbers with their difference to ``plain``."""
    shown: dict[str, dict[str, list[float]]] = {}
    lacking: dict[str, int] = {}
    for one in results:
        wanted = set()
        for plain, row in zip(one.videos, in_protocol(one, protocol).videos, strict=True):
            moved = shown.setdefault(row.get("protocol", "plain"), {})
            wanted |= {protocol or published_protocol(row["corpus"])} - {row.get("protocol", "plain")}
            for metric in ("cc", "sim", "nss", "auc_judd"):
                if row is not plain and plain.get(metric) is not None and row.get(metric) is not None:
                    moved.setdefault(metric, []).append(row[metric] - plain[metric])
        for name in wanted:
            lacking[name] = lacking.get(name, 0) + 1
    notes = []
    for name, moved in shown.items():
        changes = ", ".join(f"{metric} {fmean(values):+.4f}" for metric, values in moved.items())
        notes.append(
            f"ours are scored by the protocol {name}"
            + (f"; against plain, on average over videos: {changes}" if changes else "")
        )
    notes += [
        f"{count} results have no scores by {name} and are shown by plain" for name, count in lacking.items()
    ]
    return notes
