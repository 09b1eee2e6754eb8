"""One video, one model, one output folder: the work behind ``avsp predict``, with progress and a record."""

from __future__ import annotations

import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from lightning_avsp.errors import AVSPError
from lightning_avsp.media.video import VideoInfo
from lightning_avsp.predict.captions import VideoCaptions
from lightning_avsp.predict.predictor import Modality, PredictionReport, predict_video
from lightning_avsp.predict.writer import PredictionWriter
from lightning_avsp.tasks.loading import LoadedModel

PACKAGES = ("lightning-avsp", "torch", "torchaudio", "av", "numpy")
"""Packages whose versions are part of a prediction's record."""


def predict_to_folder(
    writer: PredictionWriter,
    model: LoadedModel,
    video: VideoInfo,
    stride: int,
    modality: Modality,
    captions: VideoCaptions | None,
    batch: int,
) -> tuple[int, float, str]:
    """Predict and write everything, with a progress bar, going on where an earlier start stopped.

    Args:
        writer: Output folder, not yet entered; its request names the checkpoint.
        model: See :func:`~lightning_avsp.predict.predictor.predict_video`, as the next five.
        video: The video.
        stride: Distance of predicted frames.
        modality: Inputs that are used.
        captions: Captions, for a network that reads text.
        batch: Clips per forward pass.

    Returns:
        Frames written, seconds that it took, and the modalities that the maps depend on.

    Raises:
        AVSPError: If the video ends in damage: the frames before it are written all the same.
        KeyboardInterrupt: With a line on what is kept.
    """
    begin, report = perf_counter(), PredictionReport()
    record = {
        "checkpoint": writer.request["checkpoint"],
        "format": writer.format,
        "colours": writer.colours,
        "opacity": writer.opacity,
        **describe_model(model, video, stride, modality, captions, batch),
    }
    speed = TextColumn("{task.fields[speed]:.1f} frames/s")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        speed,
        TimeRemainingColumn(),
    )
    with writer, Progress(*columns, console=Console(stderr=True)) as bar:
        start = writer.resume(stride)
        if start:
            print(f"{start} frames of an interrupted prediction are there: going on behind them", flush=True)

        def follow(task: TaskID, done: int) -> None:
            elapsed = bar.tasks[task].elapsed or 0.0
            bar.update(task, completed=done, speed=done / elapsed if elapsed else 0.0)

        predicting = bar.add_task("predicting", total=video.frames - start, speed=0.0)
        done = start
        try:
            for index, saliency in predict_video(
                model, video, stride=stride, modality=modality, captions=captions, batch=batch, start=start,
                report=report,
            ):  # fmt: skip
                with report.timed("write"):
                    writer.write(index, saliency)
                done = index + 1
                follow(predicting, done - start)
            seconds = perf_counter() - begin
            writing = bar.add_task("writing", total=done, speed=0.0)
            record |= {
                "modality_used": report.used,
                "damage": report.damage or video.damage,
                "frames_per_second": round((done - start) / seconds, 3),
                "seconds": round(seconds, 3),
            }
            with report.timed("write"):
                record["seconds_by_part"] = {name: round(value, 3) for name, value in report.seconds.items()}
                frames = writer.finish(record, lambda count: follow(writing, count))
        except (KeyboardInterrupt, OSError):
            if done:
                print(
                    f"maps of {done} frames are kept in {writer.folder}: the same command goes on behind them"
                )
            raise
    if frames < done or report.damage:
        reason = report.damage or f"{video.path} changed while it was read"
        raise AVSPError(
            f"{reason}. Frames 1 to {frames} are written to {writer.out}; frames {frames + 1} to "
            f"{max(video.frames, frames + 1)} are missing"
        )
    return frames, perf_counter() - begin, report.used


def describe_model(
    model: LoadedModel,
    video: VideoInfo,
    stride: int,
    modality: Modality,
    captions: VideoCaptions | None,
    batch: int,
) -> dict[str, Any]:
    """Describe model, video and settings for ``prediction.json``, before anything is predicted."""
    audio = None if video.audio is None else {**asdict(video.audio), "start": float(video.audio.start)}
    texts = None if captions is None else captions.texts
    return {
        "model": model.source,
        "network": type(model.network).__name__,
        "sampling": None if model.sampling is None else asdict(model.sampling),
        "input": model.spec.as_plain(),
        "modality": modality,
        "captions": texts if model.network.uses_text else "not read",
        "stride": stride,
        "interpolated_between": stride > 1,
        "seed": model.seed,
        "batch": batch,
        "device": str(model.device),
        "video": {
            "path": str(video.path),
            "width": video.width,
            "height": video.height,
            "fps": str(video.fps),
            "video_stream": video.video_index,
            "video_codec": video.codec,
            "rotation": video.rotation,
            "audio": audio,
            "notes": video.notes,
        },
        "versions": {
            "python": platform.python_version(),
            **{name: installed_version(name) for name in PACKAGES},
        },
    }


def installed_version(package: str) -> str | None:
    """Return the version of a package, or None where it is installed without a record (a copied folder)."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def describe_prediction(video: VideoInfo, modality: Modality, stride: int) -> list[str]:
    """Describe a video and its prediction before the work starts, one line each."""
    audio = (
        "no audio"
        if video.audio is None
        else f"{video.audio.codec} {video.audio.layout} {video.audio.rate} Hz"
    )
    frames = f"{video.width}x{video.height}, {float(video.fps):.3f} frames/s, {video.frames} frames"
    lines = [f"{video.path}: {frames}, {audio}", *video.notes]
    if video.audio is None:
        lines.append("this video has no audio: predicting from its frames alone (video-only path)")
    elif modality == "v":
        lines.append("modality v: audio is not used for prediction, only copied into the written videos")
    elif modality == "a":
        lines.append("modality a: frames are not used for prediction, only drawn under the overlay")
    if stride > 1:
        lines.append(
            f"stride {stride}: every {_ordinal(stride)} frame and the last are predicted, others are interpolated"
        )
    return lines


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
