"""The demo's one table: mean and spread over seeds, per condition, sound and number of denoising steps."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

from lightning_avsp.demo.evaluate import CONDITIONS

HEADER = ("model", "sound heard", "steps", *CONDITIONS.values())


def table_rows(rows: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Rows of text in the order of first appearance; each cell holds CC / NSS, with the spread over seeds if any."""
    groups: dict[tuple[Any, ...], dict[str, list[dict[str, Any]]]] = {}
    for row in rows:
        group = groups.setdefault((row["model"], row["audio"], row["steps"]), {})
        group.setdefault(row["condition"], []).append(row)
    names = {"true": "its own", "other_video": "another video's", None: "-"}
    return [
        (
            model,
            names[audio],
            "-" if steps is None else str(steps),
            *(cell(conditions.get(condition, [])) for condition in CONDITIONS.values()),
        )
        for (model, audio, steps), conditions in groups.items()
    ]


def cell(rows: Sequence[dict[str, Any]]) -> str:
    """``CC / NSS``, each the mean over seeds, with the standard deviation over seeds when there are several."""
    if not rows:
        return "-"
    return " / ".join(
        number([row[name] for row in rows if row[name] is not None], digits)
        for name, digits in (("cc", 3), ("nss", 2))
    )


def number(values: Sequence[float], digits: int) -> str:
    """Mean of the values with their standard deviation, or a dash for none."""
    if not values:
        return "-"
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{fmean(values):.{digits}f}{spread}"


def as_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The table as Markdown."""
    lines = [HEADER, ("---",) * len(HEADER), *table_rows(rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
