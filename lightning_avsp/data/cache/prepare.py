"""Writing the prepared cache: each video decoded in order into one file, in parallel and resumable."""

from __future__ import annotations

import errno
import logging
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from filelock import FileLock, Timeout

from lightning_avsp.array_file import ArrayWriter
from lightning_avsp.data.cache.sources import (
    VERSION,
    fresh_index,
    pack_map,
    prepared_path,
    video_fingerprint,
)
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.sources import NoFixations, PictureMaps, VideoFrames, VideoMaps
from lightning_avsp.errors import AVSPError, InputError
from lightning_avsp.files import atomic_write
from lightning_avsp.media.audio import resample, to_mono
from lightning_avsp.media.audio_track import load_audio
from lightning_avsp.parallel import completed_jobs

log = logging.getLogger(__name__)

Format = Literal["packed", "raw"]
"""Storage of frames: JPEG of quality 95 without chroma subsampling, or uncompressed."""
RATES = (16_000, 22_050)
"""Sample rates of the suite's networks, in Hz: log-mel slices and waveforms."""
QUALITY = 95
_AHEAD = 16  # frames read from a source at a time


class DiskFullError(AVSPError):
    """There is no room for a prepared file."""


@dataclass(frozen=True)
class Job:
    """One video to prepare."""

    entry: VideoEntry
    path: Path
    """Prepared file."""
    size: tuple[int, int]
    """(height, width) of frames."""
    format: Format
    rates: tuple[int, ...]
    """Sample rates at which audio is stored, in Hz."""

    @property
    def name(self) -> str:
        """Corpus and video, for messages."""
        return f"{self.entry.corpus}/{self.entry.video}"


@dataclass
class PrepareReport:
    """Result of a run."""

    made: int = 0
    """Videos that were written."""
    kept: int = 0
    """Videos that were up to date."""
    frames: int = 0
    bytes: int = 0
    """Of all prepared files, kept ones too."""
    failed: dict[str, str] = field(default_factory=dict)
    """Reasons why videos could not be prepared, by corpus and name."""


def prepare_cache(
    entries: Sequence[VideoEntry],
    cache: Path,
    size: tuple[int, int],
    *,
    format: Format = "packed",
    rates: tuple[int, ...] = RATES,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> PrepareReport:
    """Bring the prepared files of videos up to date.

    A video that cannot be read is reported; the others are prepared. Another run in the same folder is waited for.
    Killed at any moment, the cache contains whole files only, and the next run continues.

    Args:
        entries: Videos.
        cache: Folder of the cache; made if it does not exist.
        size: (height, width) of frames.
        format: ``packed`` (JPEG, quality 95, 4:4:4) or ``raw`` (ten times the size, several times the speed).
        rates: Sample rates at which mono audio is stored, in Hz.
        workers: Processes; 1 computes in this one.
        progress: Called with the number of finished videos and of all videos.

    Raises:
        DiskFullError: If there is no room.
        InputError: If a setting is impossible.
    """
    if min(size) < 1 or workers < 1 or not rates or min(rates) < 1:
        raise InputError(f"size={size}, workers={workers} and rates={rates} must all be at least 1")
    jobs = [
        Job(entry, prepared_path(cache, entry.key, size, f".{format}"), size, format, rates)
        for entry in entries
    ]
    folder = cache / f"{size[0]}x{size[1]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error}; choose another --out") from error
    report = PrepareReport()
    with _locked(folder):
        # under the lock nobody else writes here
        for part in folder.rglob(".*.part"):
            log.info("removed %s, unfinished file of an earlier run", part)
            part.unlink()
        # here, so that a run with nothing to do starts no process
        stale = [job for job in jobs if _up_to_date(job, video_fingerprint(job.entry)) is None]
        _check_room(stale, folder)
        report.kept = len(jobs) - len(stale)
        for done, (index, failure) in enumerate(
            completed_jobs(build, stale, workers, name=lambda job: job.name), start=report.kept + 1
        ):
            if failure is None:
                report.made += 1
            else:
                report.failed[stale[index].name] = failure
            if progress is not None:
                progress(done, len(jobs))
        for job in jobs:
            if job.name not in report.failed and (frames := _up_to_date(job, video_fingerprint(job.entry))):
                report.frames += frames
                report.bytes += job.path.stat().st_size
    return report


def build(job: Job) -> str | None:
    """Write the prepared file of a video; return the error of a video whose files are damaged, which it names.

    Raises:
        DiskFullError: If the disk is full, as it is for every other video; nothing is left of the file that was begun.
    """
    mark = video_fingerprint(job.entry)
    try:
        with atomic_write(job.path) as stream:
            _write(job, mark, stream)
            # A corpus that is still being copied would else pass for prepared
            if video_fingerprint(job.entry) != mark:
                raise InputError(
                    f"{job.name}: its files changed while they were read; run `avsp data prepare` again"
                )
    except InputError as error:
        return str(error)
    except OSError as error:
        # a full disk is full for every other video too; damage is of one video
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(
                f"no room on the disk for {job.path}: free some, or choose another --out, a smaller --size or "
                "--format packed; finished videos stay, and the same command goes on from there"
            ) from error
        return f"{job.path} cannot be written: {error}; check the folder's access rights and its disk"
    return None


def _locked(folder: Path) -> AbstractContextManager[object]:
    """Acquire the lock of one size of a cache, waiting for another run if there is one."""
    lock = FileLock(folder / ".lock")
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        log.info("waiting for another run that prepares videos in %s", folder)
        return lock.acquire()


def _up_to_date(job: Job, mark: str) -> int | None:
    """Return the frames of a prepared file that was made from files in the same state; else None."""
    index = fresh_index(job.path, mark)
    rates = job.rates if job.entry.wave is not None else ()
    if isinstance(index, str) or not all(f"audio_{rate}" in index["arrays"] for rate in rates):
        return None
    return int(index["n_frames"])


def _check_room(jobs: Sequence[Job], folder: Path) -> None:
    """Refuse raw frames that cannot fit before a byte is written; JPEG sizes are not known beforehand."""
    raw = [job for job in jobs if job.format == "raw"]
    needed = sum(job.entry.n_frames * job.size[0] * job.size[1] * 3 for job in raw)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DiskFullError(
            f"raw frames of {len(raw)} videos need {needed / 1e9:.1f} GB, but {folder} has {free / 1e9:.1f} GB free: "
            "use --format packed (about a tenth), a smaller --size or another --out"
        )


def _write(job: Job, mark: str, stream: BinaryIO) -> None:
    writer, entry = ArrayWriter(stream), job.entry
    # readers use the smallest number of frames, maps and fixations, whatever the file holds
    frames_in_order = islice(_frames(entry, job.size), entry.n_frames)
    if job.format == "raw":
        count = writer.pieces("frames", frames_in_order)
    else:
        count = writer.blobs("frames", map(encode_frame, frames_in_order))
    sizes: list[tuple[int, int]] = []
    maps = writer.blobs("maps", islice(_maps(entry, count, sizes), count))
    if (frames := min(count, maps)) < entry.n_frames:
        log.warning(
            "%s: expected %d frames, decoded %d frames and %d maps; the first %d are used",
            job.name,
            entry.n_frames,
            count,
            maps,
            frames,
        )
    if frames == 0:
        raise InputError(
            f"{job.name}: no frame can be decoded from {entry.frames.name(1)}; replace this file"
        )
    writer.array("map_sizes", np.array(sizes, dtype=np.int32))
    if not isinstance(entry.fixations, NoFixations):  # which itself says why there are none
        _write_fixations(writer, entry, sizes[:frames])
    if entry.wave is not None:
        samples, rate = load_audio(entry.wave)
        for wanted in job.rates:
            writer.array(f"audio_{wanted}", resample(to_mono(samples), rate, wanted).numpy())
    writer.finish(
        {
            "version": VERSION,
            # readers stop when the file was made anew in mid-epoch, instead of mixing two builds
            "built": uuid.uuid4().hex,
            "format": job.format,
            "corpus": entry.corpus,
            "video": entry.video,
            "size": list(job.size),
            "n_frames": frames,
            "fingerprint": mark,
            "wave": None if entry.wave is None else str(entry.wave.absolute()),
        }
    )


def encode_frame(frame: np.ndarray) -> bytes:
    """Encode uint8 (H, W, 3), RGB, as JPEG of quality 95, chroma at full resolution."""
    import simplejpeg

    return simplejpeg.encode_jpeg(
        np.ascontiguousarray(frame), quality=QUALITY, colorspace="RGB", colorsubsampling="444"
    )


def _frames(entry: VideoEntry, size: tuple[int, int]) -> Iterator[np.ndarray]:
    if isinstance(entry.frames, VideoFrames):
        yield from entry.frames.in_order(size)
        return
    for first in range(1, entry.n_frames + 1, _AHEAD):
        yield from entry.frames.read(range(first, min(first + _AHEAD, entry.n_frames + 1)), size)


def _maps(entry: VideoEntry, count: int, sizes: list[tuple[int, int]]) -> Iterator[bytes]:
    """Yield the bytes of each map, and append its (Hg, Wg) to ``sizes``. A JPEG stays as it is, once decoded."""
    decoded = (
        entry.maps.in_order()
        if isinstance(entry.maps, VideoMaps)
        else (entry.maps.map(number).numpy() for number in range(1, count + 1))
    )
    for number, saliency in enumerate(decoded, start=1):
        sizes.append((saliency.shape[0], saliency.shape[1]))
        path = entry.maps.path(number) if isinstance(entry.maps, PictureMaps) else None
        # a JPEG's own bytes take half the room of its decoded map, packed
        is_jpeg = path is not None and path.suffix.lower() in (".jpg", ".jpeg")
        yield path.read_bytes() if path is not None and is_jpeg else pack_map(saliency)


def _write_fixations(writer: ArrayWriter, entry: VideoEntry, sizes: list[tuple[int, int]]) -> None:
    points, ends = [np.zeros((0, 2), np.int16)], [0]
    for number, size in enumerate(sizes, start=1):
        # 16 bits hold any map of the field, in a quarter of the room
        if max(size) > np.iinfo(np.int16).max:
            raise InputError(f"{entry.fixations.name(number)}: maps of {size[0]} x {size[1]} are too large")
        points.append(entry.fixations.points(number, size).numpy().astype(np.int16))
        ends.append(ends[-1] + len(points[-1]))
    writer.array("fixations", np.concatenate(points))
    writer.array("fixations_ends", np.array(ends, dtype=np.int64))
