"""Speed of predicting a film, beside a loop that predicts the window of each frame alone."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch

from lightning_avsp.data.clips import evaluation_clip
from lightning_avsp.data.reader import clip_audio, clip_span
from lightning_avsp.media.audio import AudioInput, Wave
from lightning_avsp.media.random_access import PyAVReader
from lightning_avsp.media.video import VideoInfo, open_container, pyav
from lightning_avsp.predict.predictor import PredictionReport, predict_video
from lightning_avsp.predict.writer import PredictionWriter
from lightning_avsp.structures import SaliencyBatch
from lightning_avsp.tasks.loading import LoadedModel

PARTS = ("decode", "audio", "encode", "denoise", "write")
"""Parts of the work: frames, audio, the encoders and what maps the network makes of them, and the result's files."""
EDGE_S = 1.0
"""Audio that the loop reads on either side of a window, in seconds; slices reach 0.3 s beyond it."""


def bench_predict(
    model: LoadedModel, video: VideoInfo, strides: Sequence[int], windows: int, batch: int
) -> list[dict[str, Any]]:
    """Time the prediction of a film at several strides, and a loop over some of its windows.

    The loop opens the film for each window, reads its frames and its audio, runs the encoders in every denoising step,
    as the network's forward pass does, and writes afterwards.

    Args:
        model: The model.
        video: The film.
        strides: Strides; the first must be 1.
        windows: Windows of the loop, evenly spaced.
        batch: Clips per forward pass of the film.

    Returns:
        A record of the loop and of each stride: ``way``, ``frames_per_s``, and seconds a frame of each of
        :data:`PARTS`. Of a film decoding and audio run in a thread beside the network, and ``write`` is the time that
        is left of writing in threads when the network has to wait for it. The loop's record has the largest
        ``difference`` of its maps from those of the film.
    """
    numbers = np.linspace(1, video.frames, windows).round().astype(int).tolist()
    maps: dict[int, np.ndarray] = {}
    films = [_time_film(model, video, stride, batch, maps) for stride in strides]
    report, difference = PredictionReport(), 0.0
    for number in numbers:
        alone = _predict_alone(model, video, number, report)
        difference = max(difference, float(np.abs(alone - maps[number]).max()))
    loop = {name: report.seconds.get(name, 0.0) / windows for name in PARTS}
    loop["write"] = _time_writing(model, video, maps)
    whole = {"way": "each window alone", "frames_per_s": 1 / sum(loop.values()), **loop}
    return [{**whole, "difference": difference}, *films]


def film_speeds(records: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Tabulate records: frames a second, gain over the loop, and milliseconds a frame of each part."""
    loop = records[0]
    rows = []
    for record in records:
        gain = record["frames_per_s"] / loop["frames_per_s"]
        read = sum(loop[name] for name in PARTS[:3]) / max(sum(record[name] for name in PARTS[:3]), 1e-9)
        row = {
            "frames/s": f"{record['frames_per_s']:.2f}",
            "gain": f"{gain:.2f}",
            "decode to encode": f"{read:.1f}",
        }
        rows.append(row | {f"{name} ms": f"{1000 * record[name]:.1f}" for name in PARTS})
    return pd.DataFrame(rows, index=pd.Index([record["way"] for record in records])).rename_axis(
        columns="way"
    )


def _time_film(
    model: LoadedModel, video: VideoInfo, stride: int, batch: int, maps: dict[int, np.ndarray]
) -> dict[str, Any]:
    """Predict the film into a temporary folder; the maps of stride 1 are kept, in half precision."""
    report = PredictionReport()
    with tempfile.TemporaryDirectory(prefix="avsp.") as folder:
        begin = perf_counter()
        with PredictionWriter(Path(folder) / "out", video, {}, model.spec.map_size) as writer:
            for index, saliency in predict_video(model, video, stride=stride, batch=batch, report=report):
                with report.timed("write"):
                    writer.write(index, saliency)
                if stride == 1:
                    maps[index + 1] = saliency.astype(np.float16)
            with report.timed("write"):
                frames = writer.finish({})
        seconds = perf_counter() - begin
    parts = {name: report.seconds.get(name, 0.0) / frames for name in PARTS}
    return {"way": f"stride {stride}", "frames_per_s": frames / seconds, **parts}


def _time_writing(model: LoadedModel, video: VideoInfo, maps: dict[int, np.ndarray]) -> float:
    """Return the seconds a frame that writing takes with nothing beside it."""
    with tempfile.TemporaryDirectory(prefix="avsp.") as folder:
        begin = perf_counter()
        with PredictionWriter(Path(folder) / "out", video, {}, model.spec.map_size) as writer:
            for number in sorted(maps):
                writer.write(number - 1, maps[number].astype(np.float32))
            frames = writer.finish({})
        return (perf_counter() - begin) / frames


def _predict_alone(model: LoadedModel, video: VideoInfo, number: int, report: PredictionReport) -> np.ndarray:
    """Predict the map of one frame (H, W) with nothing kept from another."""
    clip = evaluation_clip(number, video.frames, model.spec.clip)
    with report.timed("decode"):
        pixels = PyAVReader(video).read([frame - 1 for frame in clip.frames], model.spec.size)
    batch: SaliencyBatch = {
        "corpus": [""],
        "video_id": [""],
        "frame": torch.tensor([number]),
        "video": torch.from_numpy(np.stack(pixels))[None],
    }
    with report.timed("audio"):
        if video.audio is not None:
            times = ((video.times - video.times[0]) * float(video.time_base)).tolist()
            span = clip_span(model.spec.audio, clip, float(video.fps), times)
            wave = _read_around(video, model.spec.audio, *span)
            batch["audio"] = clip_audio(model.spec.audio, wave, clip, span)[None]
    with torch.inference_mode():
        with report.timed("encode"):
            inputs = model.inputs(batch)
            for _ in range(_steps(model)):
                encoded = model.encode(inputs)
        with report.timed("denoise"):
            return model.sample(encoded, batch)[0, 0].cpu().numpy()


def _steps(model: LoadedModel) -> int:
    if model.sampling is None or model.diffusion is None:
        return 1
    return model.steps or len(model.sampling.timesteps(model.diffusion))


def _read_around(video: VideoInfo, audio: AudioInput, start_s: float, stop_s: float) -> Wave:
    """Read the audio around a span from the file, as the network's input wants it."""
    assert video.audio is not None
    blocks: list[np.ndarray] = []
    first = 0.0
    convert = pyav().AudioResampler(format="fltp")
    with open_container(video.path) as container:
        stream = container.streams[video.audio.index]
        container.seek(round((float(video.start) + start_s - EDGE_S) / stream.time_base), stream=stream)
        for frame in container.decode(stream):
            time = float(frame.pts * stream.time_base - video.start)
            first = first if blocks else time
            blocks += [each.to_ndarray() for each in convert.resample(frame)]
            if time > stop_s + EDGE_S:
                break
    wave = audio.prepare(torch.from_numpy(np.concatenate(blocks, axis=1)), video.audio.rate)
    return replace(wave, first=round(first * wave.rate))
