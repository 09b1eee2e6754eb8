"""Speeds of training as a table and a chart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from string import ascii_uppercase
from textwrap import fill
from typing import TYPE_CHECKING

import torch

from lightning_avsp.profiling.timeline import SECTIONS
from lightning_avsp.profiling.train import Speed

if TYPE_CHECKING:
    from rich.console import Console

COLOURS = dict(
    zip(SECTIONS, ("#8c6d31", "#3b6ea8", "#c7522a", "#c7522a", "#b8b8b8", "#74a892", "#5c4b7d"), strict=True)
)
"""Colour of each section; no step has both a denoiser and a decoder."""


def print_speeds(speeds: Sequence[Speed], device: torch.device, console: Console | None = None) -> None:
    """Print configurations as columns of one table."""
    from rich.console import Console
    from rich.table import Table

    console = console or Console(highlight=False, soft_wrap=True)
    for letter, speed in zip(ascii_uppercase, speeds, strict=False):
        console.print(f"{letter}: {speed.name}", markup=False)
    table = Table(title=f"training steps on {describe(device)}", title_justify="left")
    table.add_column("", no_wrap=True)
    for letter, _ in zip(ascii_uppercase, speeds, strict=False):
        table.add_column(letter, justify="right", no_wrap=True)
    rounds = len(speeds[0].samples_per_s)
    table.add_row(
        f"samples/s, median of {rounds} round{'s' if rounds > 1 else ''}",
        *(f"{speed.median:.3g}" for speed in speeds),
    )
    table.add_row("  least to most", *(span(speed.samples_per_s) for speed in speeds))
    if len(speeds) > 1:
        ratios = [speed.ratios(speeds[0]) for speed in speeds]
        table.add_row("ratio to A, median", *(f"{median(values):.2f}" for values in ratios))
        table.add_row("  least to most", *(span(values) for values in ratios))
    table.add_row("ms per step", *(f"{1000 * speed.batch / speed.median:.1f}" for speed in speeds))
    for section in SECTIONS:
        if any(section in speed.sections for speed in speeds) or section == "data":
            table.add_row(f"  {section}", *(_share(speed, section) for speed in speeds))
    kind = "peak memory, GiB" if device.type == "cuda" else "peak of the process, GiB"
    table.add_row(kind, *(_gib(speed.peak_bytes) for speed in speeds))
    table.add_row(
        "GFLOPs of a clip",
        *(
            "not counted" if speed.flops_per_clip is None else f"{speed.flops_per_clip / 1e9:.4g}"
            for speed in speeds
        ),
    )
    if any(speed.utilisation is not None for speed in speeds):
        cells = ["-" if speed.utilisation is None else f"{100 * speed.utilisation:.1f} %" for speed in speeds]
        table.add_row("of the bf16 matrix peak", *cells)
    for steps in dict.fromkeys(name for speed in speeds for name in speed.clips_per_s):
        label = steps if steps == "one pass" else f"{steps} denoising step{'s' if steps != '1' else ''}"
        cells = [
            f"{median(speed.clips_per_s[steps]):.3g}" if steps in speed.clips_per_s else "-"
            for speed in speeds
        ]
        table.add_row(f"predicted clips/s, {label}", *cells)
    console.print(table)
    notes = [] if "data" in speeds[0].sections else ["clips are random and lie on the device: no data time"]
    if device.type == "cpu":
        notes.append("configurations share the process, and its memory")
    console.print("; ".join((*notes, "other: normalising, noising, loss; the trainer's loop is not in it")))


def print_fill(speeds: Sequence[Speed], device: torch.device, console: Console | None = None) -> None:
    """Print batches until memory was full."""
    from rich.console import Console
    from rich.table import Table

    console = console or Console(highlight=False)
    table = Table(title=f"batch until memory is full, {describe(device)}", title_justify="left")
    for column in ("batch", "samples/s", "peak, GiB"):
        table.add_column(column, justify="right")
    for speed in speeds:
        done = bool(speed.samples_per_s)
        table.add_row(
            str(speed.batch),
            f"{speed.median:.3g}" if done else "out of memory",
            _gib(speed.peak_bytes) if done else "-",
        )
    console.print(table)


def draw_speeds(speeds: Sequence[Speed], device: torch.device, path: Path) -> None:
    """Draw milliseconds of a clip by section, one bar for each configuration, as PNG."""
    from matplotlib.figure import Figure

    labels = [fill(speed.name, 44) for speed in speeds]
    lines = max(label.count("\n") + 1 for label in labels)
    figure = Figure(figsize=(10, 1.6 + len(speeds) * (0.35 + 0.17 * lines)), layout="constrained")
    axes = figure.add_subplot()
    ends = [0.0] * len(speeds)
    for section in SECTIONS:
        if not any(section in speed.sections for speed in speeds):
            continue
        widths = [1000 * speed.sections.get(section, 0.0) / speed.batch for speed in speeds]
        axes.barh(range(len(speeds)), widths, left=ends, color=COLOURS[section], label=section, height=0.6)
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    for place, (speed, end) in enumerate(zip(speeds, ends, strict=True)):
        axes.text(end, place, f" {speed.median:.3g}/s", va="center")
    axes.set_yticks(range(len(speeds)), labels, fontsize="small")
    axes.invert_yaxis()
    axes.set_xlim(0, 1.2 * max(ends))
    axes.set_xlabel(f"milliseconds per clip of a training step, {describe(device)}")
    axes.legend(ncols=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def describe(device: torch.device) -> str:
    """The device in a few words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"the CPU, {torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''}"


def span(values: Sequence[float]) -> str:
    """Least and most."""
    return f"{min(values):.3g} to {max(values):.3g}"


def _share(speed: Speed, section: str) -> str:
    return f"{100 * speed.shares[section]:.1f} %" if section in speed.sections else "-"


def _gib(size: int | None) -> str:
    return "-" if size is None else f"{size / 2**30:.2f}"
