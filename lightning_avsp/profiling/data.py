"""Clips per second of every way to read a corpus, through the loader that trains.

All sources show the same videos and share everything but the pictures' way: maps, sound, log-mel slices, collation and
the transfer between processes. Cells (a source with a number of workers) are measured in turns, each round in another
order, so that whatever else runs on the machine slows all alike; the median over rounds is given with the least and
the most. Files lie in the page cache.
"""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from PIL import Image

from lightning_avsp.data.cache import attach_cache
from lightning_avsp.data.cache.prepare import prepare_cache
from lightning_avsp.data.collate import collate
from lightning_avsp.data.dataset import TrainingClips
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.loader import ResumableDataLoader
from lightning_avsp.data.reader import ClipReader
from lightning_avsp.data.samplers import EpochShuffleSampler
from lightning_avsp.data.sources import PictureFrames
from lightning_avsp.data.video_source import VideoFrames
from lightning_avsp.errors import InputError
from lightning_avsp.media.audio import LogMel
from lightning_avsp.profiling.material import Material, write_material
from lightning_avsp.structures import ClipPolicy

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger(__name__)

BASELINE = "plain PIL"
TARGETS = {"packed": 5.0, "raw": 15.0}
"""Least ratio to the plain path, with two workers."""
BATCH = 4
SIZE = (224, 384)
"""(height, width) of frames, that of the experiments."""


@dataclass(frozen=True)
class PlainPictures(PictureFrames):
    """What is compared with: Pillow decodes each JPEG at full size, then resizes it."""

    def pictures(self, numbers: Sequence[int], size: tuple[int, int]) -> list[np.ndarray]:
        """Frames by number."""
        return [self._picture(self.path(number), size) for number in numbers]

    @staticmethod
    def _picture(path: Path, size: tuple[int, int]) -> np.ndarray:
        with Image.open(path) as image:
            return np.array(image.convert("RGB").resize(size[::-1], Image.Resampling.BILINEAR))


@dataclass(frozen=True)
class Cell:
    """Clips per second of one source with one number of workers."""

    source: str
    workers: int
    rounds: tuple[float, ...]
    """Clips per second in each round, in the order of rounds."""

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return median(self.rounds)


def make_sources(
    material: Sequence[Material], folder: Path, size: tuple[int, int]
) -> dict[str, list[VideoEntry]]:
    """The same videos behind each source, by name; without those whose decoder is not installed."""
    entries = [one.entry for one in material]
    plain = [replace(entry, frames=PlainPictures(*_numbered(entry))) for entry in entries]
    sources = {BASELINE: plain, "JPEG": entries}
    for kind in ("packed", "raw"):
        cache = folder / f"cache-{kind}"
        report = prepare_cache(entries, cache, size, format=cast(Any, kind), workers=1)
        if report.failed:
            raise InputError(f"the material in {folder} is damaged, remove it: {report.failed}")
        sources[kind] = attach_cache(entries, cache, size)
    for backend in ("decord", "torchcodec", "pyav"):
        films = [replace(one.entry, frames=VideoFrames(one.film, cast(Any, backend))) for one in material]
        # In a process of its own would be cleaner, but nothing here is read before workers are forked
        if _installed(backend):
            sources[f"mp4 {backend}"] = films
    return sources


def measure(
    sources: Mapping[str, Sequence[VideoEntry]],
    *,
    workers: Sequence[int] = (0, 1, 2),
    rounds: int = 5,
    seconds: float = 2.0,
    size: tuple[int, int] = SIZE,
    seed: int = 0,
    progress: Callable[[], None] | None = None,
) -> list[Cell]:
    """Clips per second of each source with each number of workers, in turns.

    Args:
        sources: Videos by name of their source.
        workers: Numbers of loader processes.
        rounds: Turns of every cell.
        seconds: About how long a cell is measured in a round.
        size: (height, width) of frames.
        seed: Seed of the clips and of the order of cells.
        progress: Called after each measurement.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        cells = [(name, count) for name in sources for count in workers]
        # A first pass finds how many batches a cell needs, and warms the page cache.
        batches = dict.fromkeys(cells, 3)
        for cell in cells:
            speed = clips_per_second(sources[cell[0]], cell[1], batches[cell], size, seed)
            batches[cell] = max(3 + 2 * cell[1], round(speed * seconds / BATCH))
        found: dict[tuple[str, int], list[float]] = {cell: [] for cell in cells}
        generator = np.random.default_rng(seed)
        for number in range(rounds):
            for place in generator.permutation(len(cells)):
                name, count = cell = cells[place]
                found[cell].append(clips_per_second(sources[name], count, batches[cell], size, seed + number))
                if progress is not None:
                    progress()
        return [Cell(name, count, tuple(found[name, count])) for name, count in cells]
    finally:
        torch.set_num_threads(threads)


def clips_per_second(
    entries: Sequence[VideoEntry], workers: int, batches: int, size: tuple[int, int], seed: int
) -> float:
    """Speed of the training loader from its first batch on: starting processes does not count.

    Every batch after the first one is timed, and consumed as soon as it is there, so no stock of batches that were
    read before the clock started makes a loader look faster than it is.
    """
    loader = training_loader(entries, workers, batches + 1, size, seed)
    iterator = iter(loader)
    next(iterator)
    start = perf_counter()
    clips = sum(len(batch["video_id"]) for batch in iterator)
    return clips / (perf_counter() - start)


def training_loader(
    entries: Sequence[VideoEntry], workers: int, batches: int, size: tuple[int, int], seed: int
) -> ResumableDataLoader:
    """The loader of the data module, over so many batches of random clips of 16 frames with log-mel sound."""
    clips = TrainingClips(entries, ClipPolicy(draw="every"), ClipReader(size, LogMel()), seed=seed)
    sampler = _FirstOnly(clips, seed=seed)
    sampler.most = batches * BATCH
    return ResumableDataLoader(
        cast(Any, clips),
        batch_size=BATCH,
        sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        generator=torch.Generator().manual_seed(seed),
        # Forked even if readers of video are open here: they belong to this process and are not used there
        multiprocessing_context="fork" if workers else None,
    )


class _FirstOnly(EpochShuffleSampler):
    """The training order, begun again where it ends, cut after ``most`` samples."""

    most = 0

    def __iter__(self) -> Any:
        order = list(super().__iter__())
        return iter([order[place % len(order)] for place in range(self.most)])

    def __len__(self) -> int:
        return self.most


@dataclass(frozen=True)
class Difference:
    """How far pictures from one source are from those of the corpus' own JPEG files."""

    source: str
    largest: int
    """Largest difference of a pixel's channel, of 255."""
    mean: float
    """Mean absolute difference."""
    psnr_db: float | None
    """Peak signal to noise ratio over all pictures; None where nothing differs."""


def differences(
    sources: Mapping[str, Sequence[VideoEntry]], size: tuple[int, int] = SIZE
) -> list[Difference]:
    """Pictures of each source against those that our own JPEG path gives, over every sixth frame."""
    rows = []
    for name, entries in sources.items():
        if name == "JPEG":
            continue
        largest, absolute, squared, pixels = 0, 0.0, 0.0, 0
        for entry, own in zip(entries, sources["JPEG"], strict=True):
            numbers = range(1, entry.n_frames + 1, 6)
            for one, other in zip(
                entry.frames.read(numbers, size), own.frames.read(numbers, size), strict=True
            ):
                apart = np.abs(one.astype(np.int32) - other)
                largest = max(largest, int(apart.max()))
                absolute, squared = absolute + float(apart.sum()), squared + float((apart**2).sum())
                pixels += apart.size
        psnr = float(10 * np.log10(255**2 * pixels / squared)) if squared else None
        rows.append(Difference(name, largest, absolute / pixels, psnr))
    return rows


def bench_data(
    folder: Path,
    *,
    videos: int = 3,
    frames: int = 100,
    workers: Sequence[int] = (0, 1, 2),
    rounds: int = 5,
    seconds: float = 2.0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Everything that ``avsp bench data`` reports, as plain values.

    Raises:
        InputError: If a setting is impossible.
    """
    if min(videos, rounds) < 1 or frames < 32 or seconds <= 0 or not workers or min(workers) < 0:
        raise InputError(
            f"videos={videos} and rounds={rounds} must be at least 1, frames={frames} at least 32, seconds={seconds} "
            f"positive, and workers={list(workers)} 0 or more"
        )
    material = write_material(folder, videos, frames)
    sources = make_sources(material, folder, SIZE)
    total, done = len(sources) * len(workers) * rounds, 0

    def count() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    cells = measure(sources, workers=workers, rounds=rounds, seconds=seconds, size=SIZE, progress=count)
    return {
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "torch": torch.__version__},
        "size": list(SIZE),
        "clip_frames": ClipPolicy().frames,
        "batch": BATCH,
        "source": {"size": [720, 1280], "jpeg_kib": _jpeg_kib(material), "videos": videos, "frames": frames},
        "rounds": rounds,
        "load_average": os.getloadavg()[0],
        "cells": [asdict(cell) | {"median": cell.median} for cell in cells],
        "ratios": ratios(cells),
        "targets": TARGETS,
        # After the loaders: this opens readers of video in this process
        "differences": [asdict(row) for row in differences(sources, SIZE)],
    }


def ratios(cells: Sequence[Cell]) -> dict[str, dict[str, dict[str, float]]]:
    """Each cell over the plain path with as many workers: median, least and most over the rounds, by source."""
    plain = {cell.workers: cell for cell in cells if cell.source == BASELINE}
    found: dict[str, dict[str, dict[str, float]]] = {}
    for cell in cells:
        of_rounds = [one / other for one, other in zip(cell.rounds, plain[cell.workers].rounds, strict=True)]
        row = {"median": median(of_rounds), "least": min(of_rounds), "most": max(of_rounds)}
        found.setdefault(cell.source, {})[str(cell.workers)] = row
    return found


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """The report as two tables, and whether targets are met."""
    from rich.table import Table

    counts = sorted({cell["workers"] for cell in report["cells"]})
    by_cell = {(cell["source"], cell["workers"]): cell for cell in report["cells"]}
    height, width = report["size"]
    table = Table(
        title=f"clips of {report['clip_frames']}x{height}x{width} per second, median of {report['rounds']} rounds "
        "(x: ratio to the plain path, least to most)"
    )
    table.add_column("source")
    for number in counts:
        table.add_column(f"{number} workers", justify="right")
    table.add_column("target", justify="right")
    for source, rows in report["ratios"].items():
        texts = []
        for number in counts:
            row, speed = rows[str(number)], by_cell[source, number]["median"]
            texts.append(f"{speed:.1f}  x{row['median']:.1f} ({row['least']:.1f} to {row['most']:.1f})")
        table.add_row(source, *texts, verdict(report, source))
    console.print(table)
    other = Table(title="pictures against those of the JPEG path")
    for column in ("source", "largest of 255", "mean", "PSNR, dB"):
        other.add_column(column, justify="left" if column == "source" else "right")
    for row in report["differences"]:
        psnr = "equal" if row["psnr_db"] is None else f"{row['psnr_db']:.1f}"
        other.add_row(row["source"], str(row["largest"]), f"{row['mean']:.3f}", psnr)
    console.print(other)
    machine = report["machine"]
    console.print(
        f"{machine['processor']}, {machine['cores']} cores, torch {machine['torch']}, load "
        f"{report['load_average']:.1f}; JPEG frames of 720x1280 of {report['source']['jpeg_kib']:.0f} KiB"
    )


def verdict(report: Mapping[str, Any], source: str) -> str:
    """Whether a source reaches its target with two workers; empty where it has none or that was not measured."""
    target, rows = report["targets"].get(source), report["ratios"][source]
    if target is None or "2" not in rows:
        return ""
    return f">= {target:g} {'met' if rows['2']['median'] >= target else 'MISSED'}"


def _numbered(entry: VideoEntry) -> tuple[Path, str]:
    assert isinstance(entry.frames, PictureFrames)
    return entry.frames.folder, entry.frames.pattern


def _installed(backend: str) -> bool:
    from importlib.util import find_spec

    module = {"pyav": "av"}.get(backend, backend)
    if find_spec(module) is not None:
        return True
    log.warning("mp4 %s is left out: %s is not installed", backend, module)
    return False


def _jpeg_kib(material: Sequence[Material]) -> float:
    files = [path for one in material for path in _numbered(one.entry)[0].iterdir()]
    return sum(path.stat().st_size for path in files) / len(files) / 1024


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return name or platform.processor() or platform.machine()
