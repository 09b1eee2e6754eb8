"""Curves of a sweep's training runs, and their sample pictures, as images that lie inside a page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lightning_avsp.report.courses import QUANTITIES
from lightning_avsp.report.table import SweepReport

MOST_WIDTH = 1400
"""Pixels of a picture; wider ones are scaled down."""
ALL_SPLITS = -2
"""Split of means over splits."""
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


def draw_courses(courses: pd.DataFrame) -> list[Picture]:
    """Draw a diagram for each quantity of training courses, with a panel for each split."""
    return [
        _draw_course(QUANTITIES.get(name, name), points)
        for name, points in courses.groupby("quantity", sort=False)
    ]


def _draw_course(title: str, points: pd.DataFrame) -> Picture:
    """Draw a quantity by epoch: thick, the mean over a row's seeds; thin, each."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    splits = sorted(points.split.unique())
    if len(splits) > 1:  # the papers print the average too
        keys = ["row", "seed", "epoch"]
        joint = points.groupby(keys, sort=False).value.mean().reset_index()
        points, splits = pd.concat([points, joint.assign(split=ALL_SPLITS)]), [*splits, ALL_SPLITS]
    rows = list(points.row.unique())
    # narrow and with its legend below, so that it can be read on a phone
    figure = Figure(figsize=(4.8, 2.3 * len(splits) + 0.22 * len(rows)), layout="constrained")
    ends = []
    for axes, split in zip(figure.subplots(len(splits), squeeze=False)[:, 0], splits, strict=True):
        for row, runs in points[points.split == split].groupby("row", sort=False):
            position = rows.index(row)
            style: dict[str, Any] = {
                "color": colormaps["tab10"](position % 10),
                "linestyle": ("-", "--", ":")[position // 10 % 3],
            }
            each = runs.pivot(index="epoch", columns="seed", values="value")
            # where every run has a value, else of those that have
            mean = each.dropna().mean(axis=1) if len(each.dropna()) else each.mean(axis=1)
            if each.shape[1] > 1:
                axes.plot(each.index, each, linewidth=0.7, alpha=0.35, **style)
            label = f"{row} ({each.shape[1]} run{'s'[: each.shape[1] > 1]})".replace("$", r"\$")
            axes.plot(mean.index, mean.values, marker="o", markersize=3, linewidth=1.8, label=label, **style)
            ends.append(f"{row}{_of_split(split)} ends at {mean.iloc[-1]:.4g}")
        axes.set_title(f"{title}{_of_split(split)}", fontsize="medium")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    axes.set_xlabel("epoch")
    figure.legend(
        *axes.get_legend_handles_labels(), fontsize="small", loc="outside lower left", frameon=False
    )
    encoded = io.BytesIO()
    figure.savefig(encoded, format="png", dpi=150)
    caption = f"{title}: thick, the mean over a row's runs; thin, each"
    return Picture(caption, f"{title} by epoch: {'; '.join(ends)}", _data_uri(encoded, "png"))


def _of_split(split: int) -> str:
    return {-1: "", ALL_SPLITS: ", mean over splits"}.get(split, f", split {split}")


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
