"""One film, one model, one output folder: the work behind ``avsp predict``, with progress and a record."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lightning_avsp.errors import InputError
from lightning_avsp.media.video import FilmInfo
from lightning_avsp.predict.maps import MapFormat
from lightning_avsp.predict.predictor import FilmReport, Modality, predict_film
from lightning_avsp.predict.writer import FilmWriter
from lightning_avsp.tasks.loading import LoadedModel


@dataclass
class FilmJob:
    """One film to predict with one model."""

    film: FilmInfo
    model: LoadedModel
    stride: int
    modality: Modality
    seed: int
    batch: int
    device: str
    done: int = 0
    report: FilmReport = field(default_factory=FilmReport)

    def run(
        self,
        out: Path,
        format: MapFormat,
        overwrite: bool,
        colours: str,
        opacity: float,
        request: dict[str, Any],
    ) -> float:
        """Predict and write everything; returns the seconds it took."""
        begin, writing, report = perf_counter(), 0.0, self.report
        with (
            FilmWriter(
                out, self.film, format=format, overwrite=overwrite, colours=colours, opacity=opacity
            ) as writer,
            _progress_bar(self.film.frames) as advance,
        ):
            maps = predict_film(
                self.model.network,
                self.model.diffusion,
                self.model.sampling,
                self.film,
                size=self.model.size,
                map_size=self.model.map_size,
                clip=self.model.clip,
                audio=self.model.audio,
                stride=self.stride,
                modality=self.modality,
                seed=self.seed,
                batch=self.batch,
                device=self.device,
                report=report,
            )
            for index, saliency in maps:
                before = perf_counter()
                writer.write(index, saliency)
                writing += perf_counter() - before
                self.done = index + 1
                advance(self.done)
            seconds = perf_counter() - begin
            parts = {**report.seconds, "write": writing}
            writer.record = {**request, **self.record(), **_speed(self.done, seconds, parts)}
        return perf_counter() - begin

    def record(self) -> dict[str, Any]:
        """What was predicted from what, for ``prediction.json``."""
        film, model = self.film, self.model
        sound = None if film.sound is None else {**asdict(film.sound), "start": float(film.sound.start)}
        return {
            "model": model.source,
            "network": type(model.network).__name__,
            "sampling": asdict(model.sampling),
            "audio": asdict(model.audio),
            "frame_size": model.size,
            "map_size": model.map_size,
            "clip": asdict(model.clip),
            "modality": self.modality,
            "modality_used": self.report.used,
            "stride": self.stride,
            "interpolated_between": self.stride > 1,
            "seed": self.seed,
            "batch": self.batch,
            "device": self.device,
            "film": {
                "path": str(film.path),
                "width": film.width,
                "height": film.height,
                "fps": str(film.fps),
                "video_stream": film.video_index,
                "video_codec": film.codec,
                "rotation": film.rotation,
                "sound": sound,
                "notes": film.notes,
            },
            "versions": _versions(),
        }


def describe(film: FilmInfo, modality: Modality, stride: int) -> list[str]:
    """What a user should know before the work starts, one line each."""
    sound = (
        "no sound" if film.sound is None else f"{film.sound.codec} {film.sound.layout} {film.sound.rate} Hz"
    )
    picture = f"{film.width}x{film.height}, {float(film.fps):.3f} frames/s, {film.frames} frames"
    lines = [f"{film.path}: {picture}, {sound}", *film.notes]
    if film.sound is None:
        lines.append("this film has no sound track: predicting from the picture alone (video-only path)")
    elif modality == "v":
        lines.append("modality v: the sound is not used for prediction, only copied into the films")
    elif modality == "a":
        lines.append("modality a: the picture is not used for prediction, only drawn under the overlay")
    if stride > 1:
        which = f"every {_ordinal(stride)} frame and the last are predicted, those between are interpolated"
        lines.append(f"stride {stride}: {which}")
    return lines


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def pick_device(name: str) -> str:
    """A device that is there; ``auto`` takes an accelerator if there is one.

    Raises:
        InputError: If the named device is unknown or absent.
    """
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return "cpu" if accelerator is None else accelerator.type
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {name!r} cannot be used ({reason}): use --device auto or cpu") from error
    return str(torch.device(name))


def _speed(frames: int, seconds: float, parts: dict[str, float]) -> dict[str, Any]:
    rounded = {name: round(value, 3) for name, value in parts.items()}
    return {
        "frames_per_second": round(frames / seconds, 3),
        "seconds": round(seconds, 3),
        "seconds_by_part": rounded,
    }


def _versions() -> dict[str, str]:
    names = ("lightning-avsp", "torch", "torchaudio", "av", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


@contextmanager
def _progress_bar(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error with frames per second; yields what to call with the number of frames done."""
    speed = TextColumn("{task.fields[speed]:.1f} frames/s")
    columns = (TextColumn("predicting"), BarColumn(), MofNCompleteColumn(), speed, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("predicting", total=total, speed=0.0)

        def advance(done: int) -> None:
            elapsed = bar.tasks[0].elapsed or 0.0
            bar.update(task, completed=done, speed=done / elapsed if elapsed else 0.0)

        yield advance
