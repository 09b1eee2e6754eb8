"""Predictions of a video as one page that loads nothing: frames, maps over them, and their entropy over time."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Sequence
from importlib.resources import files
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


def write_view(folders: Sequence[Path], out: Path, colours: str = Look.colours, notes: str = "") -> Path:
    """Write the page of one or several predictions of one video.

    The video is encoded anew, as H.264 without rotation, which every browser plays.

    Args:
        folders: Folders that ``avsp predict`` wrote.
        out: HTML file to write.
        colours: Name of a matplotlib colour map.
        notes: Text below the curve.

    Raises:
        InputError: If a folder holds no prediction, the video is gone, or they are of different videos.
    """
    records = [_read_record(folder) for folder in folders]
    sources = {(record["video"]["path"], record["frames"]) for record in records}
    if len(sources) != 1:
        raise InputError(
            f"the predictions are of different videos or lengths ({len(sources)}): give those of one"
        )
    path, count = next(iter(sources))
    info = open_video(path, allow_truncated=True)
    stamps: list[int] = []
    with tempfile.TemporaryDirectory(prefix="avsp.") as folder:
        writer = Mp4Writer(Path(folder) / "video.mp4", info)
        try:
            for pts, frame in decode_video(info):
                writer.write(to_rgb(frame, info), pts)
                stamps.append(pts)
                if len(stamps) == count:
                    break
            writer.close()
        except BaseException:
            writer.abort()
            raise
        video = _encode(Path(folder) / "video.mp4")
    times = [float((stamp - stamps[0]) * info.time_base) for stamp in stamps]
    models = [
        {
            "name": f"{folder.resolve().name}: {record['network']}, {record['modality']}",
            "saliency": _encode(folder / "saliency.mp4"),
            "entropy": read_entropy(folder / "saliency.mp4"),
        }
        for folder, record in zip(folders, records, strict=True)
    ]
    data = {
        "video": video,
        "times": times,
        "seconds": times[-1] + 1 / float(info.fps),
        "models": models,
        "notes": notes,
    }
    page = files("lightning_avsp.predict").joinpath("view.html").read_text(encoding="utf-8")
    stops = colour_table(colours)[np.linspace(0, 255, STOPS).round().astype(int)] / 255
    for name, column in zip(("RED", "GREEN", "BLUE"), stops.T, strict=True):
        page = page.replace(f"@{name}@", " ".join(f"{value:.3f}" for value in column))
    # a folder's name may contain the end of a script
    write_atomically(out, page.replace("@DATA@", json.dumps(data).replace("<", "\\u003c")))
    return out


def read_entropy(saliency: Path) -> list[float]:
    """Return the entropy of each frame of a saliency video, as a share of that of an even map."""
    found = []
    for _, frame in decode_video(open_video(saliency)):
        levels = frame.to_ndarray(format="gray").astype(np.float64)
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


def _encode(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")
