"""Speeds of training and prediction as tables: on the terminal and in markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from lightning_avsp.profiling.tables import Rows, markdown_table, print_table
from lightning_avsp.profiling.timeline import SECTIONS
from lightning_avsp.profiling.train import Speed, Speeds
from lightning_avsp.run_folder import write_atomically, write_json

if TYPE_CHECKING:
    from rich.console import Console


def speed_table(speeds: Sequence[Speed]) -> Rows:
    """Return one row for each configuration below a row of titles."""
    steps = list(dict.fromkeys(name for speed in speeds for name in speed.clips_per_s))
    titles = ["configuration", "training clips/s", "ratio", "ms a step", "MFU", "peak GiB", "compiling s"]
    rows = [titles + [f"predicted clips/s, {_steps(name)}" for name in steps]]
    for speed in speeds:
        cells = ["-"] * (len(titles) - 1)
        if speed.samples_per_s and speed.batch is not None:
            cells = [
                _spread(speed.samples_per_s),
                _spread(speed.ratios) if speed.ratios else "-",
                f"{1000 * speed.batch / speed.median:.1f}",
                "-" if speed.utilisation is None else f"{100 * speed.utilisation:.1f} %",
                "-" if speed.peak_bytes is None else f"{speed.peak_bytes / 2**30:.1f}",
                f"{speed.compile_s:.0f}" if speed.compile_s else "-",
            ]
        predicted = speed.clips_per_s
        cells += [f"{median(predicted[name]):.3g}" if name in predicted else "-" for name in steps]
        if speed.error is not None:
            cells[0] = f"{cells[0]}; {speed.error}".removeprefix("-; ")
        rows.append([speed.name, *cells])
    return rows


def section_table(speeds: Sequence[Speed]) -> Rows:
    """Return the share of each section in a training step, a row for each configuration."""
    shares = {speed.name: speed.shares for speed in speeds if speed.sections}
    names = [name for name in SECTIONS if any(name in found for found in shares.values())]
    cells = [
        [name, *(f"{100 * found[part]:.1f} %" if part in found else "-" for part in names)]
        for name, found in shares.items()
    ]
    return [["share of a step", *names], *cells]


def operator_table(speed: Speed) -> Rows:
    """Return the largest operators of a configuration's training step, and beside them the largest kernels."""
    columns = {"operator": speed.operators, **({"kernel": speed.kernels} if speed.kernels else {})}
    rows = [[title for name in columns for title in (name, "ms", "calls")]]
    for line in zip_longest(*columns.values()):
        cells = [
            ("", "", "") if one is None else (one.name[:60], f"{one.ms:.2f}", f"{one.calls:g}")
            for one in line
        ]
        rows.append([cell for three in cells for cell in three])
    return rows


def print_report(found: Speeds, console: Console) -> None:
    """Print all tables."""
    for title, rows in _tables(found):
        print_table(title, rows, console)
    console.print(_notes(found), markup=False)


def write_report(found: Speeds, folder: Path) -> None:
    """Write ``speeds.json`` and ``speeds.md`` into a folder."""
    write_json(folder / "speeds.json", asdict(found))
    parts = [markdown_table(title, rows) for title, rows in _tables(found)]
    write_atomically(folder / "speeds.md", "\n\n".join([*parts, _notes(found)]) + "\n")


def _tables(found: Speeds) -> Iterator[tuple[str, Rows]]:
    where = f"{found.machine.get('device')}, torch {found.machine.get('torch')}"
    yield f"training steps on {where}", speed_table(found.speeds)
    yield "sections", section_table(found.speeds)
    for speed in found.speeds:
        if speed.operators:
            yield f"largest operators, {speed.name}", operator_table(speed)


def _notes(found: Speeds) -> str:
    peak = found.machine.get("matrix_peak")
    notes = [
        "Median over the rounds (least to most); ratio: to the first configuration. A step is forward, backward and "
        "update of the task, without the trainer's loop; clips are random and lie on the device unless there is a "
        "section data. Section other: normalising, noising, loss. Times of operators are those of the profiler."
    ]
    if peak:
        notes.append(
            f"MFU: operations of forward and backward pass over {peak / 1e12:.0f} TFLOP/s, the data sheet's dense "
            "bfloat16 rate, for float32 too."
        )
    else:
        notes.append("On the CPU the peak of memory is that of the whole process.")
    return " ".join(notes)


def _steps(name: str) -> str:
    return name if name == "one pass" else f"{name} step{'s' if name != '1' else ''}"


def _spread(values: Sequence[float]) -> str:
    least, most = f"{min(values):.3g}", f"{max(values):.3g}"
    return f"{median(values):.3g}" + (f" ({least} to {most})" if least != most else "")
