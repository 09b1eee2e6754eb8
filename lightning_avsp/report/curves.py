"""Curves of a sweep's trainings, from the ``metrics.csv`` of their run folders, as inline SVG."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import fmean

from lightning_avsp.errors import InputError
from lightning_avsp.report.published import METRIC_NAMES
from lightning_avsp.report.table import ReportRow, SweepReport

Points = dict[float, float]
"""Value by epoch or step."""

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 40
MOST_POINTS = 200
"""Points of a line; more are averaged in bins."""
COLOURS = 8
"""Different colours of lines; rows beyond them repeat a colour with another dash."""


@dataclass(frozen=True)
class Line:
    """The trainings of one row."""

    row: str
    runs: tuple[Points, ...]
    """One for each training."""

    @property
    def mean(self) -> Points:
        """Mean where every training has a value."""
        shared = set.intersection(*(set(run) for run in self.runs))
        return {x: fmean(run[x] for run in self.runs) for x in sorted(shared)}


@dataclass(frozen=True)
class Chart:
    """One diagram."""

    title: str
    x: str
    y: str
    lines: tuple[Line, ...]


def read_charts(report: SweepReport) -> list[Chart]:
    """Validation metric by epoch and training loss by step; only those for which there is anything.

    Raises:
        InputError: If a metrics file cannot be read.
    """
    printed = report.ordering.metric
    metric = METRIC_NAMES.get(printed, "cc")
    runs = {row.name: [_read_run(folder) for folder in _trainings(row)] for row in report.rows}
    wanted = (
        (f"{printed} on validation videos", "epoch", printed, f"val/{metric}", True),
        ("training loss", "step", "loss", "train/loss", False),
    )
    charts = []
    for title, x, y, column, by_epoch in wanted:
        lines = [
            Line(name, tuple(points for run in of_row if (points := _points(run, column, by_epoch))))
            for name, of_row in runs.items()
        ]
        lines = [line for line in lines if line.runs]
        if lines:
            charts.append(Chart(title, x, y, tuple(lines)))
    return charts


def _trainings(row: ReportRow) -> list[Path]:
    """Run folders of a row's trainings, each once, where they are."""
    found: dict[str, Path] = {}
    for outcome in row.outcomes:
        moved = outcome.path.parents[3] / "trainings" / outcome.training
        for folder in (outcome.run_dir, moved):
            if folder.is_dir():
                found.setdefault(outcome.training, folder)
    return list(found.values())


def _read_run(folder: Path) -> list[Mapping[str, str]]:
    """Rows of all metrics files of a training, those of its later parts last."""

    def part(path: Path) -> int:
        number = re.fullmatch(r"fit-(\d+)", path.parent.name)
        return int(number[1]) if number else 1

    rows: list[Mapping[str, str]] = []
    for path in sorted(folder.glob("metrics/fit*/metrics.csv"), key=part):
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows += list(csv.DictReader(file))
        except (OSError, csv.Error, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the curves in {path}: {error}") from error
    return rows


def _points(rows: Sequence[Mapping[str, str]], column: str, by_epoch: bool) -> Points:
    """Values of a column; a later part of a training replaces what it repeats."""
    found: Points = {}
    for row in rows:
        try:
            x, y = float(row.get("epoch" if by_epoch else "step") or "nan"), float(row.get(column) or "nan")
        except ValueError:  # half a line, where a run was killed while it wrote
            continue
        if not math.isnan(x) and math.isfinite(y):
            found[x + 1 if by_epoch else x] = y
    return _thinned(dict(sorted(found.items())))


def _thinned(points: Points) -> Points:
    size = math.ceil(len(points) / MOST_POINTS)
    if size <= 1:
        return points
    items = list(points.items())
    bins = [items[start : start + size] for start in range(0, len(items), size)]
    return {fmean(x for x, _ in some): fmean(y for _, y in some) for some in bins}


def as_svg(chart: Chart, name: str) -> str:
    """The diagram with its legend; colours come from the page.

    Args:
        chart: What to draw.
        name: Distinguishes its ids from those of other diagrams of the page.
    """
    values = [(x, y) for line in chart.lines for run in line.runs for x, y in run.items()]
    across, ys = [x for x, _ in values], _ticks([y for _, y in values])
    xs = _ticks(across, chart.x == "epoch")
    if min(across) < max(across):  # lines go from edge to edge
        xs = [x for x in xs if min(across) <= x <= max(across)]
        place = _Place((min(across), max(across)), (ys[0], ys[-1]))
    else:
        place = _Place((xs[0], xs[-1]), (ys[0], ys[-1]))
    parts = [*_axes(chart, xs, ys, place)]
    for index, line in enumerate(chart.lines):
        style = f"line c{index % COLOURS} d{index // COLOURS % 3}"
        faint = line.runs if len(line.runs) > 1 else ()
        parts += [f'<path class="{style} one" d="{place.path(run)}"/>' for run in faint]
        mean = line.mean or line.runs[0]
        parts.append(f'<path class="{style}" d="{place.path(mean)}"><title>{escape(line.row)}</title></path>')
        x, y = list(mean.items())[-1]
        parts.append(f'<circle class="dot c{index % COLOURS}" cx="{place.x(x)}" cy="{place.y(y)}" r="3"/>')
    legend = "".join(
        f'<li><svg class="key" viewBox="0 0 28 8" aria-hidden="true"><path class="line c{index % COLOURS} '
        f'd{index // COLOURS % 3}" d="M0 4H28"/></svg>{escape(line.row)} '
        f'<span class="quiet">({len(line.runs)} training{"s" if len(line.runs) > 1 else ""})</span></li>'
        for index, line in enumerate(chart.lines)
    )
    return (
        f'<figure class="chart"><figcaption>{escape(chart.title)}: thick, the mean over a row\'s trainings; thin, '
        f'each</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{name}">'
        f'<title id="{name}">{escape(chart.title)} by {chart.x}: {escape(_spoken(chart))}</title>'
        f'{"".join(parts)}</svg><ul class="legend">{legend}</ul></figure>'
    )


def _spoken(chart: Chart) -> str:
    """Last values, for those who cannot see the lines."""
    last = [(line.row, list((line.mean or line.runs[0]).values())[-1]) for line in chart.lines]
    return "; ".join(f"{row} ends at {value:.4g}" for row, value in last)


def _axes(chart: Chart, xs: Sequence[float], ys: Sequence[float], place: _Place) -> list[str]:
    low, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for y in ys:
        parts.append(f'<path class="grid" d="M{LEFT} {place.y(y)}H{right}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 6}" y="{place.y(y) + 4:.1f}" text-anchor="end">{y:g}</text>'
        )
    parts += [
        f'<text class="tick" x="{place.x(x)}" y="{low + 16}" text-anchor="middle">{x:g}</text>' for x in xs
    ]
    middle = (LEFT + right) / 2
    parts.append(f'<path class="axis" d="M{LEFT} {TOP}V{low}H{right}"/>')
    parts.append(f'<text class="tick" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{chart.x}</text>')
    return parts


class _Place:
    """From values to places in the picture."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self._x, self._y = x, y

    def x(self, value: float) -> float:
        low, high = self._x
        return round(LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        low, high = self._y
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    def path(self, points: Points) -> str:
        places = [f"{self.x(x)} {self.y(y)}" for x, y in points.items()]
        return "M" + "L".join(places) + ("h0.1" if len(places) == 1 else "")


def _ticks(values: Sequence[float], whole: bool = False) -> list[float]:
    """Round numbers that span the values, about five."""
    low, high = min(values), max(values)
    if low == high:
        low, high = (low - 1, high + 1) if whole or low == 0 else (low - abs(low) / 10, high + abs(high) / 10)
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    step = max(1.0, float(math.ceil(step))) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]
