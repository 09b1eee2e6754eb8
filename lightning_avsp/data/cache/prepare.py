"""Many videos into the prepared cache: in parallel, resumable, and harmless beside another run."""

from __future__ import annotations

import logging
import multiprocessing
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from lightning_avsp.data.cache.build import (
    Built,
    BusyError,
    DiskFullError,
    Format,
    Job,
    build,
    sweep,
    up_to_date,
)
from lightning_avsp.data.cache.fingerprint import fingerprint
from lightning_avsp.data.catalogue import Part, find_corpus, known_corpora
from lightning_avsp.data.corpora import read_videos
from lightning_avsp.data.entries import VideoEntry, VideoKey
from lightning_avsp.errors import CorpusNotFoundError, InputError

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with the number of videos done, and of all."""
RATES = (16_000, 22_050)
"""Rates that the suite's networks hear at: log-mel slices and waveforms."""


@dataclass
class PrepareReport:
    """What a run did."""

    made: int = 0
    """Videos that were written."""
    kept: int = 0
    """Videos that were up to date."""
    frames: int = 0
    bytes: int = 0
    """Of all prepared files, kept ones too."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why a video could not be prepared, by corpus and name."""

    def add(self, built: Built) -> None:
        """Count one video."""
        self.made += built.made
        self.kept += not built.made
        self.frames += built.frames
        self.bytes += built.bytes


def all_videos(root: Path, corpora: Sequence[str] | None = None) -> list[VideoEntry]:
    """Every video that any list of these corpora names, once; without names, of all corpora found under the root.

    Raises:
        CorpusNotFoundError: If a corpus that was named, or every one, is not there.
    """
    names = list(corpora) if corpora else list(known_corpora(root))
    found: dict[VideoKey, VideoEntry] = {}
    absent: list[CorpusNotFoundError] = []
    for name in names:
        corpus = find_corpus(name, root)
        for split in corpus.splits:
            for part in get_args(Part):
                try:
                    entries = read_videos(root, [corpus.name], split, part, missing_audio="silence")
                except CorpusNotFoundError as error:
                    if corpora:
                        raise
                    absent.append(error)
                    continue
                found |= {entry.key: entry for entry in entries if entry.key not in found}
    if not found:
        raise CorpusNotFoundError(
            f"{root} holds none of {', '.join(names)}; looked first for: {absent[0] if absent else 'nothing'}"
        )
    return list(found.values())


def prepare_cache(
    entries: Sequence[VideoEntry],
    cache: Path,
    size: tuple[int, int],
    *,
    format: Format = "packed",
    rates: tuple[int, ...] = RATES,
    workers: int = 2,
    progress: Progress | None = None,
) -> PrepareReport:
    """Bring the prepared files of videos up to date.

    A video that cannot be read is reported and left out; the others are prepared. Videos that another run is at are
    left for last. Killed at any moment, the cache holds whole files only, and the next run continues.

    Args:
        entries: Videos.
        cache: Folder of the cache; made if it does not exist.
        size: (height, width) of frames.
        format: ``packed`` (JPEG, quality 95, 4:4:4) or ``raw`` (ten times the size, several times the speed).
        rates: Samples per second at which sound is kept, one channel.
        workers: Processes; with 1 all is done in this one.
        progress: Told after each video.

    Raises:
        DiskFullError: If there is no room.
        InputError: If a setting is impossible.
    """
    if min(size) < 1 or workers < 1 or not rates or min(rates) < 1:
        raise InputError(f"size={size}, workers={workers} and rates={rates} must all be at least 1")
    jobs = [Job(entry, cache, size, format, rates) for entry in entries]
    folder = cache / f"{size[0]}x{size[1]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error}; choose another --out") from error
    if swept := sweep(folder):
        log.info("%d unfinished files of an earlier run were removed", swept)
    check_room(jobs, folder)
    report = PrepareReport()
    try:
        for done, (job, outcome) in enumerate(_run(jobs, workers), start=1):
            if isinstance(outcome, Built):
                report.add(outcome)
            else:
                report.failed[job.name] = str(outcome)
            if progress is not None:
                progress(done, len(jobs))
    finally:
        sweep(folder)  # what stopped processes leave behind
    return report


def check_room(jobs: Sequence[Job], folder: Path) -> None:
    """Refuse raw frames that cannot fit before a byte is written; JPEG sizes are not known beforehand.

    Raises:
        DiskFullError: With both numbers.
    """
    raw = [job for job in jobs if job.format == "raw" and not job.path.exists()]
    needed = sum(job.entry.n_frames * job.size[0] * job.size[1] * 3 for job in raw)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DiskFullError(
            f"raw frames of {len(raw)} videos need {needed / 1e9:.1f} GB, but {folder} has {free / 1e9:.1f} GB free: "
            "use --format packed (about a tenth), a smaller --size or another --out"
        )


def _run(jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, Built | Exception]]:
    """Each job with what became of it; those that another run is at come last."""
    busy, stale = [], []
    for job in jobs:  # here, so that a run with nothing to do starts no process
        there = up_to_date(job, fingerprint(job.entry)) if job.path.exists() else None
        if there is None:
            stale.append(job)
        else:
            yield job, there
    for job, outcome in _attempt(stale, workers, wait=False):
        if isinstance(outcome, BusyError):
            busy.append(job)
        else:
            yield job, outcome
    if busy:
        log.info("waiting for another run that prepares %d of the videos", len(busy))
        yield from _attempt(busy, workers, wait=True)


def _attempt(jobs: Sequence[Job], workers: int, wait: bool) -> Iterator[tuple[Job, Built | Exception]]:
    if workers == 1 or len(jobs) <= 1:
        yield from ((job, _tried(job, wait)) for job in jobs)
        return
    # Spawned, not forked: the progress bar's thread may hold a lock at the moment of a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, initializer=_stop_at_interrupt)
    try:
        futures = {pool.submit(_tried, job, wait): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise InputError(
            "a process that prepared videos was stopped from outside, as a rule for lack of memory; finished videos "
            "stay: run the same command again with fewer --workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _tried(job: Job, wait: bool) -> Built | Exception:
    """What became of a job; what would befall every other job too is raised."""
    try:
        return build(job, wait=wait)
    except DiskFullError:
        raise
    except (InputError, BusyError) as error:
        return error


def _stop_at_interrupt() -> None:
    """In a process of the pool: Ctrl-C ends it at once and without a traceback; the parent reports it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
