"""Predictions of a video as one page that loads nothing: frames, maps over them, and a curve over time."""

from __future__ import annotations

import csv
import json
import math
import tempfile
from base64 import b64encode
from collections.abc import Sequence
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lightning_avsp.errors import InputError
from lightning_avsp.media.mp4_writer import Mp4Writer
from lightning_avsp.media.video import decode_video, open_video, to_rgb
from lightning_avsp.predict.overlay import Look, colour_table
from lightning_avsp.run_folder import write_atomically

STOPS = 17
"""Colours of the page's heat map, between which browsers interpolate."""


def write_view(
    folders: Sequence[Path],
    out: Path,
    colours: str = Look.colours,
    notes: str = "",
    scores: Sequence[Path] = (),
    metric: str = "cc",
) -> Path:
    """Write the page of one or several predictions of one video.

    Args:
        folders: Folders that ``avsp predict`` wrote.
        out: HTML file to write.
        colours: Name of a matplotlib colour map.
        notes: Text below the curve.
        scores: Tables of scores by frame, one for each folder; without them the curve is the maps' entropy.
        metric: Column of these tables.

    Raises:
        InputError: If a folder holds no prediction, the video is gone, they are of different videos, or scores are
            missing.
    """
    records = [_read_record(folder) for folder in folders]
    if scores and len(scores) != len(folders):
        raise InputError(f"{len(scores)} tables of scores for {len(folders)} predictions: give one for each")
    # curves of different films have no common time
    sources = {(record["video"]["path"], record["frames"]) for record in records}
    if len(sources) != 1:
        raise InputError(f"the predictions are of {len(sources)} videos or lengths: give those of one")
    path, count = sources.pop()
    curves = [read_scores(table, Path(path).stem, metric, count) for table in scores]
    curves = curves or [read_entropy(folder / "saliency.mp4") for folder in folders]
    # a damaged film was predicted up to its damage
    info = open_video(path, allow_truncated=True)
    stamps: list[int] = []
    with tempfile.TemporaryDirectory(prefix="avsp.") as folder:
        # encoded anew, as H.264 without rotation, which every browser plays
        with Mp4Writer(Path(folder) / "video.mp4", info) as writer:
            for pts, frame in islice(decode_video(info), count):
                writer.write(to_rgb(frame, info), pts)
                stamps.append(pts)
        video = b64encode((Path(folder) / "video.mp4").read_bytes()).decode()
    times = [float((stamp - stamps[0]) * info.time_base) for stamp in stamps]
    models = [
        {
            # two models' folders of one video have its name both
            "name": f"{'/'.join(folder.resolve().parts[-2:])}: {record['network']}, {record['modality']}",
            "saliency": b64encode((folder / "saliency.mp4").read_bytes()).decode(),
            "curve": curve,
        }
        for folder, record, curve in zip(folders, records, curves, strict=True)
    ]
    data = {
        "video": video,
        "times": times,
        "seconds": times[-1] + 1 / float(info.fps),
        "models": models,
        "curve": f"{metric} of each frame" if scores else "Entropy of each map (1 = even)",
        "notes": notes,
    }
    page = files("lightning_avsp.predict").joinpath("view.html").read_text(encoding="utf-8")
    stops = colour_table(colours)[np.linspace(0, 255, STOPS).round().astype(int)] / 255
    for name, column in zip(("RED", "GREEN", "BLUE"), stops.T, strict=True):
        page = page.replace(f"@{name}@", " ".join(f"{value:.3f}" for value in column))
    # a folder's name may contain the end of a script
    write_atomically(out, page.replace("@DATA@", json.dumps(data).replace("<", "\\u003c")))
    return out


def read_scores(table: Path, video: str, metric: str, count: int) -> list[float | None]:
    """Return a metric of each frame of a video; None where it was not scored.

    Args:
        table: ``*_frames.csv`` of ``avsp evaluate``, or ``results/test_frames.csv`` of a run.
        video: Name of the video.
        metric: Column of the table.
        count: Number of frames.

    Raises:
        InputError: If the table has no such video, or no such metric.
    """
    text = table.read_text(encoding="utf-8") if table.is_file() else ""
    rows = [row for row in csv.DictReader(text.splitlines()) if row.get("video") == video and metric in row]
    if not rows:
        raise InputError(
            f"{table} has no {metric} of a video {video}: give the ..._frames.csv that `avsp evaluate` wrote of it"
        )
    found = {int(row["frame"]): round(float(row[metric] or "nan"), 4) for row in rows}
    # frames that a protocol leaves out or that are degenerate are gaps; NaN is no JSON
    return [None if math.isnan(value := found.get(k, math.nan)) else value for k in range(1, count + 1)]


def read_entropy(saliency: Path) -> list[float | None]:
    """Return the entropy of each frame of a saliency video, as a share of that of an even map."""
    found: list[float | None] = []
    for _, frame in decode_video(open_video(saliency)):
        levels = frame.to_ndarray(format="gray").astype(np.float64)
        # zero times its logarithm is zero
        shares = levels[levels > 0] / max(levels.sum(), 1)
        found.append(round(float(-(shares * np.log(shares)).sum() / np.log(levels.size)), 4))
    return found


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / "prediction.json"
    if not path.is_file() or not (folder / "saliency.mp4").is_file():
        raise InputError(f"{folder} holds no prediction: give a folder that `avsp predict` wrote")
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if not Path(record["video"]["path"]).is_file():
        raise InputError(f"{folder} is of {record['video']['path']}, which is gone: put the video back there")
    return record
