"""Films and gaze tables made on the spot."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def make_film(tmp_path: Path) -> Callable[..., Path]:
    """A film whose frame i has grey level 40 + 7 i, with a tone."""

    def make(
        name: str = "film.mp4",
        times_ms: Sequence[int] = tuple(range(0, 800, 40)),
        size: tuple[int, int] = (48, 96),
        sound: bool = True,
        rotation: int = 0,
    ) -> Path:
        import av

        path, base, rate = tmp_path / name, Fraction(1, 1000), 48_000
        with av.open(str(path), "w") as container:
            video = container.add_stream("libx264", rate=25, options={"crf": "10", "preset": "ultrafast"})
            video.height, video.width = size
            video.pix_fmt, video.codec_context.time_base = "yuv420p", base
            if rotation:
                video.set_display_rotation(rotation)
            track = container.add_stream("aac", rate=rate, layout="stereo") if sound else None
            for index, time in enumerate(times_ms):
                picture = np.full((*size, 3), min(40 + 7 * index, 255), np.uint8)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
                frame.pts, frame.time_base = time, base
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
            if track is not None:
                seconds = np.arange(round((times_ms[-1] + 40) * rate / 1000)) / rate
                wave = np.tile(0.5 * np.sin(2 * np.pi * 440 * seconds), (2, 1)).astype(np.float32)
                for start in range(0, wave.shape[1], 1024):
                    block = np.ascontiguousarray(wave[:, start : start + 1024])
                    piece = av.AudioFrame.from_ndarray(block, "fltp", "stereo")
                    piece.sample_rate, piece.time_base, piece.pts = rate, Fraction(1, rate), start
                    container.mux(track.encode(piece))
                container.mux(track.encode(None))
        return path

    return make


Row = tuple[str, float, float, float, int]


@pytest.fixture
def make_table(tmp_path: Path) -> Callable[..., Path]:
    """A CSV of (observer, time, x, y, valid)."""

    def make(rows: Sequence[Sequence[object]], name: str = "gaze.csv", delimiter: str = ",") -> Path:
        path = tmp_path / name
        with path.open("w", newline="") as file:
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerow(("observer", "time", "x", "y", "valid"))
            writer.writerows(rows)
        return path

    return make


@pytest.fixture
def gaze_rows() -> list[Row]:
    """Three observers at 100 samples per second over 0.8 s in a film of 96 x 48; every tenth sample invalid."""
    rng = np.random.default_rng(0)
    rows = []
    for observer in ("anna", "ben", "cleo"):
        place = rng.uniform(20, 40, size=2)
        for index in range(80):
            place = np.clip(place + rng.normal(0, 1.5, size=2), 2, 45)
            rows.append(
                (observer, 10.0 * index, round(place[0] * 2, 3), round(place[1], 3), int(index % 10 != 9))
            )
    return rows
