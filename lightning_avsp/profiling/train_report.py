"""Speeds of training and prediction as tables: on the terminal and in markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from lightning_avsp.profiling.timeline import SECTIONS
from lightning_avsp.run_folder import write_atomically, write_json

if TYPE_CHECKING:
    from rich.console import Console

Rows = list[list[str]]


def speed_table(report: Mapping[str, Any]) -> Rows:
    """Return one row for each configuration below a row of titles."""
    speeds = report["speeds"]
    steps = list(dict.fromkeys(name for speed in speeds for name in speed["clips_per_s"]))
    titles = ["configuration", "training clips/s", "ratio", "ms a step", "MFU", "peak GiB", "compiling s"]
    rows = [titles + [f"predicted clips/s, {_steps(name)}" for name in steps]]
    for speed in speeds:
        values = speed["samples_per_s"]
        ratios, use = speed.get("ratios_to_first"), speed["utilisation"]
        cells = ["-"] * (len(titles) - 1)
        if values:
            cells = [
                _spread(values),
                _spread(ratios) if ratios else "-",
                f"{1000 * speed['batch'] / median(values):.1f}",
                "-" if use is None else f"{100 * use:.1f} %",
                "-" if speed["peak_bytes"] is None else f"{speed['peak_bytes'] / 2**30:.1f}",
                f"{speed['compile_s']:.0f}" if speed["compile_s"] else "-",
            ]
        predicted = speed["clips_per_s"]
        cells += [f"{median(predicted[name]):.3g}" if name in predicted else "-" for name in steps]
        if speed["error"] is not None:
            cells[0] = f"{cells[0]}; {speed['error']}".removeprefix("-; ")
        rows.append([speed["name"], *cells])
    return rows


def section_table(report: Mapping[str, Any]) -> Rows:
    """Return the share of each section in a training step, a row for each configuration."""
    speeds = [speed for speed in report["speeds"] if speed["sections"]]
    names = [name for name in SECTIONS if any(name in speed["sections"] for speed in speeds)]
    rows = [["share of a step", *names]]
    for speed in speeds:
        total = sum(speed["sections"].values())
        shares = [speed["sections"].get(name) for name in names]
        rows.append([speed["name"], *("-" if s is None else f"{100 * s / total:.1f} %" for s in shares)])
    return rows


def operator_table(speed: Mapping[str, Any]) -> Rows:
    """Return the largest operators of a configuration's training step, and beside them the largest kernels."""
    titles = ["operator", "ms", "calls", *(["kernel", "ms", "calls"] if speed["kernels"] else [])]
    columns = [speed["operators"], *([speed["kernels"]] if speed["kernels"] else [])]
    rows = [titles]
    for place in range(max(len(column) for column in columns)):
        cells: list[str] = []
        for column in columns:
            one = column[place] if place < len(column) else None
            cells += (
                ["", "", ""] if one is None else [one["name"][:60], f"{one['ms']:.2f}", f"{one['calls']:g}"]
            )
        rows.append(cells)
    return rows


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """Print all tables."""
    from rich.table import Table

    for title, rows in _tables(report):
        table = Table(title=title, title_justify="left")
        for number, name in enumerate(rows[0]):
            table.add_column(name, justify="right" if number else "left")
        for row in rows[1:]:
            table.add_row(*row)
        console.print(table)
    console.print(_notes(report), markup=False)


def write_report(report: Mapping[str, Any], folder: Path) -> None:
    """Write ``speeds.json`` and ``speeds.md`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "speeds.json", report)
    parts = []
    for title, (titles, *rows) in _tables(report):
        lines = [titles, ["---"] * len(titles), *rows]
        parts.append(f"## {title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))
    write_atomically(folder / "speeds.md", "\n\n".join([*parts, _notes(report)]) + "\n")


def _tables(report: Mapping[str, Any]) -> Sequence[tuple[str, Rows]]:
    machine = report["machine"]
    where = f"{machine.get('device')}, torch {machine.get('torch')}"
    found = [(f"training steps on {where}", speed_table(report)), ("sections", section_table(report))]
    return found + [
        (f"largest operators, {speed['name']}", operator_table(speed))
        for speed in report["speeds"]
        if speed["operators"]
    ]


def _notes(report: Mapping[str, Any]) -> str:
    peak = report["machine"].get("matrix_peak")
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
