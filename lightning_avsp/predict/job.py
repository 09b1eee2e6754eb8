"""Videos, one model, an output folder each: the work behind ``avsp predict``, with progress and a record."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from lightning_avsp.errors import AVSPError, InputError
from lightning_avsp.media.audio_track import check_audio
from lightning_avsp.media.random_access import VIDEO_SUFFIXES
from lightning_avsp.media.video import VideoInfo
from lightning_avsp.predict.captions import VideoCaptions
from lightning_avsp.predict.predictor import Modality, PredictionReport, predict_video
from lightning_avsp.predict.writer import PredictionWriter, check_space
from lightning_avsp.tasks.loading import LoadedModel

PACKAGES = ("lightning-avsp", "torch", "torchaudio", "av", "numpy")
"""Packages whose versions are part of a prediction's record."""


def find_videos(given: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Find the videos to predict, and the output folder of each.

    Args:
        given: Videos, folders of videos, and patterns such as ``films/*.mp4``.
        out: Output folder of a single video; of several, or of a folder or pattern, the folder of their folders, which
            are named like the videos.

    Raises:
        InputError: If a folder or pattern holds no video, or two videos would share a folder.
    """
    found: list[Path] = []
    for path in given:
        pattern = not path.exists() and any(sign in str(path) for sign in "*?[")
        if not path.is_dir() and not pattern:
            found.append(path)
            continue
        inside = Path(path.anchor).glob(str(path.relative_to(path.anchor))) if pattern else path.iterdir()
        videos = sorted(each for each in inside if each.suffix.lower() in VIDEO_SUFFIXES)
        if not videos:
            raise InputError(f"{path} holds no video ({', '.join(VIDEO_SUFFIXES)}): check the path")
        found += videos
    # a single file is written to --out itself; a pattern that matches one today may match two tomorrow
    if found == list(given) and len(found) == 1:
        return {found[0]: out}
    folders: dict[str, Path] = {}
    for path in dict.fromkeys(found):  # two patterns may match one video
        other = folders.setdefault(path.stem, path)
        if other != path:
            raise InputError(f"{other} and {path} would both be written to {out / path.stem}: rename one")
    return {path: out / name for name, path in folders.items()}


@dataclass(frozen=True)
class Film:
    """A video to predict."""

    video: VideoInfo
    """The video."""
    writer: PredictionWriter
    """Its output folder, not entered; the request names the checkpoint."""
    captions: VideoCaptions | None
    """Captions, for a network that reads text."""


def predict_films(
    model: LoadedModel, films: Sequence[Film], stride: int, modality: Modality, batch: int
) -> None:
    """Predict videos and write their folders, going on where an earlier start stopped.

    Room on the disk, audio and encoders of all of them are tried before the first frame is predicted. A damaged end
    loses the rest of its video alone.

    Args:
        model: See :func:`~lightning_avsp.predict.predictor.predict_video`, as the last three.
        films: The videos.
        stride: Distance of predicted frames.
        modality: Inputs that are used.
        batch: Clips per forward pass.

    Raises:
        AVSPError: If videos end in damage: the frames before it are written all the same.
        KeyboardInterrupt: With a line on what is kept.
    """
    # everything that can fail is tried for all films before hours of prediction
    waiting = [film for film in films if film.writer.finished is None]
    if waiting:
        check_space([film.writer for film in waiting])
    for film in waiting:
        if modality != "v":
            check_audio(film.video)
        with film.writer:  # claims the folder and tries the encoders
            pass
    damaged = []
    for number, film in enumerate(films, start=1):
        if len(films) > 1:
            print(f"{number} of {len(films)}: {film.video.path}", flush=True)
        try:
            _predict_film(model, film, stride, modality, batch)
        except AVSPError as error:
            if len(films) == 1:
                raise
            print(f"error: {error}", file=sys.stderr, flush=True)
            # one damaged film must not stop a night's other ones
            damaged.append(film.video.path.name)
    if damaged:
        raise AVSPError(f"{len(damaged)} of {len(films)} videos are incomplete: {', '.join(damaged)}")


def _predict_film(model: LoadedModel, film: Film, stride: int, modality: Modality, batch: int) -> None:
    """Predict one video with a progress bar; see :func:`predict_films`."""
    video, writer = film.video, film.writer
    if writer.finished is not None:
        damage = writer.finished.get("damage")
        if damage and not video.tolerant:
            raise AVSPError(f"{damage}. The frames before it are in {writer.out} already")
        print(f"{writer.out} holds this prediction already: nothing to do", flush=True)
        return
    begin, report = perf_counter(), PredictionReport()
    # before the first frame: a record that cannot be made must not lose a finished film
    record = describe_model(model, film, stride, modality, batch)
    speed = TextColumn("{task.fields[speed]:.1f} frames/s")
    text, remaining = TextColumn("{task.description}"), TimeRemainingColumn()
    # on stderr: stdout is for what scripts read
    columns = (text, BarColumn(), MofNCompleteColumn(), speed, remaining)
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
                model, video, stride=stride, modality=modality, captions=film.captions, batch=batch, start=start,
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
    if video.audio is not None and modality == "av" and "a" not in report.used:
        print("this network has no audio encoder: the maps do not depend on audio")
    seconds = perf_counter() - begin
    print(
        f"{frames} frames in {seconds:.1f} s ({frames / seconds:.1f} frames/s on {model.device}): "
        f"maps, saliency.mp4, overlay.mp4 and prediction.json are in {writer.out}"
    )


def describe_model(
    model: LoadedModel, film: Film, stride: int, modality: Modality, batch: int
) -> dict[str, Any]:
    """Describe model, video and settings for ``prediction.json``."""
    video = film.video
    # exact fractions are no JSON numbers
    audio = None if video.audio is None else {**asdict(video.audio), "start": float(video.audio.start)}
    texts = None if film.captions is None else film.captions.texts
    return {
        "checkpoint": film.writer.request["checkpoint"],
        "format": film.writer.format,
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
    track = video.audio
    audio = "no audio" if track is None else f"{track.codec} {track.layout} {track.rate} Hz"
    frames = f"{video.width}x{video.height}, {float(video.fps):.3f} frames/s, {video.frames} frames"
    lines = [f"{video.path}: {frames}, {audio}", *video.notes]
    if track is None:
        lines.append("this video has no audio: predicting from its frames alone (video-only path)")
    elif modality == "v":
        lines.append("modality v: audio is not used for prediction, only copied into the written videos")
    elif modality == "a":
        lines.append("modality a: frames are not used for prediction, only drawn under the overlay")
    if stride > 1:
        lines.append(
            f"stride {stride}: one frame in {stride} and the last are predicted, others are interpolated"
        )
    return lines
