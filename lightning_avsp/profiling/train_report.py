"""Speeds of training and prediction as tables: on the terminal and in markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pandas as pd

from lightning_avsp.evaluation.formatting import as_markdown, print_table
from lightning_avsp.profiling.timeline import SECTIONS
from lightning_avsp.profiling.train import Speed, Speeds
from lightning_avsp.run_folder import write_atomically, write_json

if TYPE_CHECKING:
    from rich.console import Console


def speed_table(speeds: Sequence[Speed]) -> pd.DataFrame:
    """Tabulate one row for each configuration."""
    rows: list[dict[str, str]] = []
    for speed in speeds:
        rows.append(row := {})
        if speed.samples_per_s and speed.batch is not None:
            row["training clips/s"] = _spread(speed.samples_per_s)
            row |= {"ratio": _spread(speed.ratios)} if speed.ratios else {}
            row["ms a step"] = f"{1000 * speed.batch / speed.median:.1f}"
            row |= {"MFU": f"{100 * speed.utilisation:.1f} %"} if speed.utilisation is not None else {}
            row |= {"peak GiB": f"{speed.peak_bytes / 2**30:.1f}"} if speed.peak_bytes is not None else {}
            row |= {"compiling s": f"{speed.compile_s:.0f}"} if speed.compile_s else {}
        for name, found in speed.clips_per_s.items():
            steps = name if name == "one pass" else f"{name} step{'s' if name != '1' else ''}"
            row[f"predicted clips/s, {steps}"] = f"{median(found):.3g}"
        if speed.error is not None:
            row["training clips/s"] = f"{row.get('training clips/s', '')}; {speed.error}".removeprefix("; ")
    titles = ["training clips/s", "ratio", "ms a step", "MFU", "peak GiB", "compiling s"]
    predicted = dict.fromkeys(name for row in rows for name in row if name not in titles)
    names = pd.Index([speed.name for speed in speeds])
    frame = pd.DataFrame(rows, index=names, columns=pd.Index([*titles, *predicted]))
    return frame.astype(object).fillna("-").rename_axis(columns="configuration")


def section_table(speeds: Sequence[Speed]) -> pd.DataFrame:
    """Tabulate the share of each section in a training step, a row for each configuration."""
    known = [speed for speed in speeds if speed.sections]
    shares = pd.DataFrame([speed.shares for speed in known], index=[speed.name for speed in known])
    shares = shares[[name for name in SECTIONS if name in shares]].rename_axis(columns="share of a step")
    return shares.map(lambda share: "-" if pd.isna(share) else f"{100 * share:.1f} %")


def operator_table(speed: Speed) -> pd.DataFrame:
    """Tabulate the largest operators of a configuration's training step, and beside them the largest kernels."""
    kinds = {"operator": speed.operators, **({"kernel": speed.kernels} if speed.kernels else {})}
    rows = [
        {
            f"{kind}{suffix}": text
            for kind, one in zip(kinds, line, strict=True)
            for suffix, text in (
                ("", one["name"][:60] if one else ""),
                (" ms", f"{one['ms']:.2f}" if one else ""),
                (" calls", f"{one['calls']:g}" if one else ""),
            )
        }
        for line in zip_longest(*kinds.values())
    ]
    return pd.DataFrame(rows).set_index("operator").rename_axis(columns="operator")


def print_report(found: Speeds, console: Console) -> None:
    """Print all tables."""
    for title, frame in _tables(found):
        print_table(title, frame, console)
    console.print(_notes(found), markup=False)


def write_report(found: Speeds, folder: Path) -> None:
    """Write ``speeds.json`` and ``speeds.md`` into a folder."""
    write_json(folder / "speeds.json", asdict(found))
    parts = [f"## {title}\n\n{as_markdown(frame)}" for title, frame in _tables(found)]
    write_atomically(folder / "speeds.md", "\n\n".join([*parts, _notes(found)]) + "\n")


def _tables(found: Speeds) -> Iterator[tuple[str, pd.DataFrame]]:
    where = f"{found.machine.get('device')}, torch {found.machine.get('torch')}"
    yield f"training steps on {where}", speed_table(found.speeds)
    if any(speed.sections for speed in found.speeds):
        yield "sections", section_table(found.speeds)
    for speed in found.speeds:
        if speed.operators:
            yield f"largest operators, {speed.name}", operator_table(speed)


def _notes(found: Speeds) -> str:
    peak = found.machine.get("matrix_peak")
    last = "On the CPU the peak of memory is that of the whole process."
    if peak:
        last = (
            f"MFU: operations of forward and backward pass over {peak / 1e12:.0f} TFLOP/s, the data sheet's dense "
            "bfloat16 rate, for float32 too."
        )
    return (
        "Median over the rounds (least to most); ratio: to the first configuration. A step is forward, backward and "
        "update of the task, without the trainer's loop; clips are random and lie on the device unless there is a "
        f"section data. Section other: normalising, noising, loss. Times of operators are those of the profiler. {last}"
    )


def _spread(values: Sequence[float]) -> str:
    least, most = f"{min(values):.3g}", f"{max(values):.3g}"
    return f"{median(values):.3g}" + (f" ({least} to {most})" if least != most else "")
