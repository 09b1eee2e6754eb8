"""Curves of a sweep's training runs, and their sample pictures, as images that lie inside a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lightning_avsp.errors import InputError
from lightning_avsp.evaluation.formatting import METRIC_NAMES
from lightning_avsp.report.table import SweepReport

MOST_POINTS = 200
"""Most points of a curve; more are averaged in bins."""
MOST_WIDTH = 1400
"""Pixels of a picture; wider ones are scaled down."""
PAGE_BYTES = 8_000_000
"""Sample pictures of a page, encoded; further ones are named but left out."""


@dataclass(frozen=True)
class Picture:
    """An image for a page."""

    caption: str
    description: str
    """Alternative text for screen readers."""
    uri: str = ""
    """``data:`` address; empty where the picture was left out."""


Curves = Mapping[str, Sequence["pd.Series[float]"]]
"""By row, one series for each training run: values by epoch or step."""


def read_curves(report: SweepReport) -> dict[tuple[str, str, str], Curves]:
    """Read the validation metric by epoch and the training loss by step, as far as there are any, by (title, x, y).

    Raises:
        InputError: If a metrics file cannot be read.
    """
    metric = report.ordering.metric
    runs: dict[str, list[pd.DataFrame]] = {}
    for name, row in report.rows.items():
        folders = {one.training: folder for one in row.results if (folder := one.run_folder()) is not None}
        runs[name] = [_read_run(folder) for folder in folders.values()]
    wanted = {
        (f"{metric} on validation videos", "epoch", metric): f"val/{METRIC_NAMES.get(metric, 'cc')}",
        ("training loss", "step", "loss"): "train/loss",
    }
    charts: dict[tuple[str, str, str], Curves] = {}
    for key, column in wanted.items():
        curves = {name: [_curve(run, column, key[1]) for run in of_row] for name, of_row in runs.items()}
        curves = {name: [one for one in of_row if len(one)] for name, of_row in curves.items()}
        if any(curves.values()):
            charts[key] = {name: of_row for name, of_row in curves.items() if of_row}
    return charts


def _read_run(folder: Path) -> pd.DataFrame:
    """Read the metrics of a training run, those of its resumed parts last."""
    parts = []
    files = folder.glob("metrics/fit*/metrics.csv")
    for path in sorted(files, key=lambda file: int(file.parent.name.partition("-")[2] or 1)):
        try:
            # a killed run may leave half a line
            parts.append(pd.read_csv(path, on_bad_lines="skip"))
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read the curves in {path}: {error}; remove or repair it") from error
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _curve(run: pd.DataFrame, column: str, by: str) -> pd.Series[float]:
    """Return the values of a column by epoch or step; a resumed part replaces those that it repeats."""
    if not {column, by} <= set(run.columns):
        return pd.Series(dtype=float)
    points = run[[by, column]].apply(pd.to_numeric, errors="coerce").dropna()
    values = points.groupby(by)[column].last()
    values = values[values.abs() < float("inf")]
    values.index = values.index + (by == "epoch")
    size = -(-len(values) // MOST_POINTS)
    if size <= 1:
        return values
    bins = pd.RangeIndex(len(values)) // size
    return pd.Series(values.groupby(bins).mean().values, values.index.to_series().groupby(bins).mean())


def mean_curve(runs: Sequence[pd.Series[float]]) -> pd.Series[float]:
    """Average over runs where every run has a value; returns the first run where they share none."""
    mean = pd.concat(list(runs), axis=1).dropna().mean(axis=1).sort_index()
    return mean if len(mean) else runs[0]


def draw_curves(title: str, x: str, y: str, curves: Curves) -> Picture:
    """Draw a diagram: thick, the mean over a row's training runs; thin, each."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.add_subplot()
    ends = []
    for position, (row, runs) in enumerate(curves.items()):
        style: dict[str, Any] = {
            "color": colormaps["tab10"](position % 10),
            "linestyle": ("-", "--", ":")[position // 10 % 3],
        }
        mean = mean_curve(runs)
        for run in runs if len(runs) > 1 else ():
            axes.plot(run.index, run.values, linewidth=0.7, alpha=0.35, **style)
        label = f"{row} ({len(runs)} run{'s'[: len(runs) > 1]})".replace("$", r"\$")
        axes.plot(mean.index, mean.values, linewidth=1.8, label=label, **style)
        axes.plot(mean.index[-1:], mean.values[-1:], "o", markersize=4, color=style["color"])
        ends.append(f"{row} ends at {mean.iloc[-1]:.4g}")
    axes.set(xlabel=x, ylabel=y)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    encoded = io.BytesIO()
    figure.savefig(encoded, format="png", dpi=110)
    caption = f"{title}: thick, the mean over a row's runs; thin, each"
    return Picture(caption, f"{title} by {x}: {'; '.join(ends)}", _data_uri(encoded, "png"))


def read_samples(report: SweepReport, budget: int = PAGE_BYTES) -> list[Picture]:
    """Read the last sample figure of each row's first run that has any; rows that share a run show it once.

    Args:
        report: Report on a sweep.
        budget: Bytes left for encoded pictures; those that do not fit are named but left out.
    """
    pictures: list[Picture] = []
    shown: set[str] = set()
    for name, row in report.rows.items():
        for result in row.results:
            folder = result.run_folder()
            paths = [] if folder is None else sorted((folder / "figures").glob("*.png"))
            if paths and result.training not in shown:
                shown.add(result.training)
                pictures.append(_encode(name, paths[-1], bool(result.synthetic), budget))
                budget -= len(pictures[-1].uri)
                break
    return pictures


def _encode(row: str, path: Path, synthetic: bool, budget: int) -> Picture:
    from PIL import Image, UnidentifiedImageError

    caption = f"{row}: {path.stem}{', SYNTHETIC' * synthetic}"
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        return Picture(f"{caption}, cannot be read: {error}", "")
    image.thumbnail((MOST_WIDTH, image.height), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=80)
    uri = _data_uri(encoded, "jpeg")
    if len(uri) > budget:
        return Picture(f"{caption}, left out: the page is full", "")
    return Picture(caption, f"{row}: frames, ground truth, predictions and denoising steps", uri)


def _data_uri(encoded: io.BytesIO, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(encoded.getvalue()).decode()}"
