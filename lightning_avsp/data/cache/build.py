"""One video into one prepared file: decoded in order, written beside its place, and renamed when whole."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from lightning_avsp.data.cache.attach import fresh_index, prepared_stem, with_suffix
from lightning_avsp.data.cache.file import CacheWriter
from lightning_avsp.data.cache.fingerprint import fingerprint
from lightning_avsp.data.cache.sources import pack_map
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.sources import NoFixations, PictureMaps
from lightning_avsp.data.video_source import VideoFrames, VideoMaps
from lightning_avsp.errors import AVSPError, InputError
from lightning_avsp.media.audio import resample, to_mono
from lightning_avsp.media.audio_track import load_audio

log = logging.getLogger(__name__)

Format = Literal["packed", "raw"]
"""How frames are kept: JPEG of quality 95 without chroma subsampling, or as they are."""
QUALITY = 95
_AHEAD = 16  # frames asked of a source at a time


class BusyError(Exception):
    """Another run is preparing this video now."""


class DiskFullError(AVSPError):
    """There is no room for a prepared file."""


@dataclass(frozen=True)
class Job:
    """One video to be prepared. Plain values, so that it can be sent to a process."""

    entry: VideoEntry
    cache: Path
    size: tuple[int, int]
    """(height, width) of frames."""
    format: Format
    rates: tuple[int, ...]
    """Samples per second at which sound is kept."""

    @property
    def path(self) -> Path:
        """The prepared file."""
        return with_suffix(prepared_stem(self.cache, self.entry.key, self.size), f".{self.format}")

    @property
    def name(self) -> str:
        """Corpus and video, for messages."""
        return f"{self.entry.corpus}/{self.entry.video}"


@dataclass(frozen=True)
class Built:
    """What became of one video."""

    made: bool
    """Whether it was written; False where it was up to date."""
    frames: int
    bytes: int
    """Of the prepared file."""


def build(job: Job, *, wait: bool = True) -> Built:
    """Write the prepared file of a video unless it is there and up to date.

    Written as ``.<name>.part`` under a lock, flushed to the disk and renamed: whoever reads sees the old file or the
    new one, whole. What a killed run left is overwritten.

    Args:
        job: What to prepare.
        wait: Wait for another run that is at the same video, instead of raising.

    Raises:
        BusyError: If another run is at this video and ``wait`` is False.
        DiskFullError: If the disk is full; nothing is left of the file that was begun.
        InputError: If a file of the video is damaged; the message names it.
    """
    mark = fingerprint(job.entry)
    with _locked_part(job.path, wait) as (stream, part):
        if (there := up_to_date(job, mark)) is not None:
            return there
        try:
            frames = _write(job, mark, stream)
            stream.flush()
            os.fsync(stream.fileno())
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFullError(
                    f"no room on the disk for {job.path} ({stream_size(part)} bytes were written): free some, or "
                    "choose another --out, a smaller --size or --format packed; finished videos stay, and the same "
                    "command goes on from there"
                ) from error
            raise InputError(
                f"{job.path} cannot be written: {error}; check the folder's access rights and its disk"
            ) from error
        if fingerprint(job.entry) != mark:
            raise InputError(
                f"{job.name}: its files changed while they were read; run `avsp data prepare` again"
            )
        part.replace(job.path)
        return Built(True, frames, job.path.stat().st_size)


def up_to_date(job: Job, mark: str) -> Built | None:
    """What is there of a video, if it is whole and was made from files in the same state; else None."""
    index = fresh_index(job.path, mark)
    if isinstance(index, str) or not all(f"sound_{rate}" in index["sections"] for rate in _rates(job)):
        return None
    return Built(False, index["n_frames"], job.path.stat().st_size)


def stream_size(part: Path) -> int:
    """Bytes of a file that may be gone."""
    return part.stat().st_size if part.exists() else 0


@contextmanager
def _locked_part(path: Path, wait: bool) -> Iterator[tuple[BinaryIO, Path]]:
    """The empty, locked file that will become ``path``; removed unless it was renamed."""
    part = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    stream: BinaryIO | None = None
    try:
        while True:
            stream = part.open("ab")  # without emptying: it may be another run's
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError as error:
                raise BusyError(str(path)) from error
            if _is_at(stream, part):
                break
            stream.close()  # while we waited it was renamed or removed by whoever had it
        stream.truncate(0)
        stream.seek(0)  # offsets are told from here
        yield stream, part
    finally:  # also of an interrupt that came before the lock did
        if stream is not None and not stream.closed:
            _remove_unless_held(stream, part)
            _close(stream)


def _remove_unless_held(stream: BinaryIO, part: Path) -> bool:
    """Remove an unfinished file, if it still lies there and no other run works at it; says whether it did."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # does nothing where the lock is ours already
    except BlockingIOError:
        return False
    if not _is_at(stream, part):
        return False
    part.unlink()
    return True


def _is_at(stream: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _close(stream: BinaryIO) -> None:
    try:
        stream.close()
    except OSError:  # what could not be flushed belongs to a file that was removed already
        log.debug("bytes of an unfinished file were not written")


def sweep(folder: Path) -> int:
    """Remove unfinished files that no running process holds; returns how many."""
    removed = 0
    for part in folder.rglob(".*.part"):
        with part.open("ab") as stream:
            removed += _remove_unless_held(stream, part)
    return removed


def _rates(job: Job) -> tuple[int, ...]:
    return job.rates if job.entry.wave is not None else ()


def _write(job: Job, mark: str, stream: BinaryIO) -> int:
    writer = CacheWriter(stream)
    entry = job.entry
    pictures = islice(_pictures(entry, job.size), entry.n_frames)
    if job.format == "raw":
        count = writer.arrays("frames", pictures)
    else:
        count = writer.blobs("frames", map(encode_picture, pictures))
    sizes: list[tuple[int, int]] = []
    held = writer.blobs("maps", islice(_maps(entry, count, sizes), count))
    if (frames := min(count, held)) < entry.n_frames:
        log.warning(
            "%s: %d frames were expected, decoding gives %d pictures and %d maps; the first %d are used",
            job.name,
            entry.n_frames,
            count,
            held,
            frames,
        )
    if frames == 0:
        raise InputError(f"{job.name}: {entry.frames.name(1)} gives no frame at all; replace this file")
    writer.array("map_sizes", np.array(sizes, dtype=np.int32))
    _write_fixations(writer, entry, sizes[:frames])
    _write_sound(writer, job)
    writer.finish(
        {
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
    return frames


def encode_picture(picture: np.ndarray) -> bytes:
    """Uint8 (H, W, 3), RGB, as JPEG of quality 95, chroma at full resolution."""
    import simplejpeg

    return simplejpeg.encode_jpeg(
        np.ascontiguousarray(picture), quality=QUALITY, colorspace="RGB", colorsubsampling="444"
    )


def _pictures(entry: VideoEntry, size: tuple[int, int]) -> Iterator[np.ndarray]:
    if isinstance(entry.frames, VideoFrames):
        yield from entry.frames.in_order(size)
        return
    for first in range(1, entry.n_frames + 1, _AHEAD):
        yield from entry.frames.pictures(range(first, min(first + _AHEAD, entry.n_frames + 1)), size)


def _maps(entry: VideoEntry, count: int, sizes: list[tuple[int, int]]) -> Iterator[bytes]:
    """Bytes of each map; its (Hg, Wg) is added to ``sizes``. A JPEG is kept as it is, after it was decoded once."""
    if isinstance(entry.maps, VideoMaps):
        for saliency in entry.maps.in_order():
            sizes.append(_grid(saliency))
            yield pack_map(saliency)
        return
    for number in range(1, count + 1):
        if isinstance(entry.maps, PictureMaps) and entry.maps.path(number).suffix.lower() in (
            ".jpg",
            ".jpeg",
        ):
            sizes.append(_grid(entry.maps.map(number).numpy()))  # raises what names the file if it is damaged
            yield entry.maps.path(number).read_bytes()
        else:
            saliency = entry.maps.map(number).numpy()
            sizes.append(_grid(saliency))
            yield pack_map(saliency)


def _grid(saliency: np.ndarray) -> tuple[int, int]:
    height, width = saliency.shape
    return height, width


def _write_fixations(writer: CacheWriter, entry: VideoEntry, sizes: list[tuple[int, int]]) -> None:
    if isinstance(entry.fixations, NoFixations):
        return  # whoever asks for them is told why there are none by the source itself
    points, ends = [np.zeros((0, 2), np.int16)], [0]
    for number, size in enumerate(sizes, start=1):
        if max(size) > np.iinfo(np.int16).max:
            raise InputError(
                f"{entry.fixations.name(number)}: a map of {size[0]} x {size[1]} is too large to prepare"
            )
        points.append(entry.fixations.points(number, size).numpy().astype(np.int16))
        ends.append(ends[-1] + len(points[-1]))
    writer.array("fixations", np.concatenate(points))
    writer.array("fixations_ends", np.array(ends, dtype=np.int64))


def _write_sound(writer: CacheWriter, job: Job) -> None:
    if job.entry.wave is None:
        return
    samples, rate = load_audio(job.entry.wave)
    mono = to_mono(samples)
    for wanted in job.rates:
        writer.array(f"sound_{wanted}", resample(mono, rate, wanted).numpy())
