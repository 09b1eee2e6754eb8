"""Frames, maps, fixations and audio from prepared files, and prepared files in the place of a corpus' own ones."""

from __future__ import annotations

import hashlib
import logging
import os
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

import numpy as np
import torch
from torch import Tensor

from lightning_avsp.array_file import ArrayFile, read_index
from lightning_avsp.data.entries import VideoEntry, VideoKey
from lightning_avsp.data.numbered_files import NumberedFiles
from lightning_avsp.data.sources import WholeFile
from lightning_avsp.errors import InputError
from lightning_avsp.media.audio import Wave
from lightning_avsp.media.images import decode_jpeg

log = logging.getLogger(__name__)

# raised when the format changes, or how frames are decoded and resized: older files are made anew
VERSION = 3
SUFFIXES = (".raw", ".packed")
"""File suffixes by how frames are stored, the faster one first."""
_JPEG_START = b"\xff\xd8"


@lru_cache(maxsize=256)  # each has a file descriptor
def open_prepared(path: Path, built: str) -> ArrayFile:
    """Map a prepared file when a process first uses it.

    Args:
        path: Prepared file.
        built: Mark of its build: if another build replaced it meanwhile, reading stops instead of mixing both.

    Raises:
        InputError: If the file is gone or another build has replaced it.
    """
    # a mapping inherited by a fork is as good as an own one: it has no position and no thread
    index = read_index(path)
    if index is None or index.get("built") != built:
        raise InputError(
            f"{path} is gone or was made anew while it was in use; start again, after `avsp data prepare` is done"
        )
    return ArrayFile(path)


@dataclass(frozen=True)
class PreparedSource(WholeFile):
    """A source that reads one prepared file."""

    built: str
    """Mark of its build."""

    def open(self, numbers: Sequence[int]) -> ArrayFile:
        """Map the file and check frame numbers.

        Raises:
            InputError: If a number is out of range.
        """
        file = open_prepared(self.path, self.built)
        if min(numbers) < 1 or max(numbers) > file.index["n_frames"]:
            raise InputError(f"{self.path} has frames 1 to {file.index['n_frames']}, not {list(numbers)}")
        return file

    def damaged(self, number: int, error: Exception) -> InputError:
        """Describe damaged bytes."""
        return InputError(
            f"{self.name(number)} is damaged: {error}; remove this file and run `avsp data prepare` again"
        )


@dataclass(frozen=True)
class PreparedFrames(PreparedSource):
    """Frames of one size, raw or as JPEG."""

    size: tuple[int, int]
    """(height, width) of the frames."""

    def read(self, numbers: Sequence[int], size: tuple[int, int]) -> np.ndarray:
        """Read frames, see :class:`~lightning_avsp.data.sources.FrameSource`; neighbouring raw ones without a copy.

        Raises:
            InputError: If another size is requested, there is no such frame, or its bytes are damaged.
        """
        # resizing here would hide that the cache was made for another network
        if size != self.size:
            raise InputError(
                f"{self.path} contains frames of {self.size[0]}x{self.size[1]}, not {size[0]}x{size[1]}; run `avsp "
                f"data prepare` with --size {size[0]}x{size[1]}"
            )
        file = self.open(numbers)
        first, last = numbers[0], numbers[-1]
        if file.index["format"] == "raw":
            # neighbours are a slice of the mapping, which nothing copies
            if list(numbers) == list(range(first, last + 1)):
                return file.array("frames")[first - 1 : last]
            return file.array("frames")[np.array(numbers) - 1]
        frames = np.empty((len(numbers), *size, 3), np.uint8)
        for frame, number in zip(frames, numbers, strict=True):
            try:
                decode_jpeg(file.blob("frames", number - 1), "RGB", into=frame)
            except ValueError as error:
                raise self.damaged(number, error) from error
        return frames


@dataclass(frozen=True)
class PreparedMaps(PreparedSource):
    """Continuous maps at their own size, without loss."""

    def map(self, number: int, deep: bool = False) -> Tensor:
        """Read the map of a frame, uint8 (Hg, Wg): a cache has 8 bits, ``deep`` or not.

        Raises:
            InputError: If its bytes are damaged.
        """
        blob = self.open([number]).blob("maps", number - 1)
        try:
            return torch.from_numpy(unpack_map(blob, self.size(number)))
        except (ValueError, zlib.error) as error:
            raise self.damaged(number, error) from error

    def size(self, number: int) -> tuple[int, int]:
        """Return (Hg, Wg) of a frame's map."""
        height, width = self.open([number]).array("map_sizes")[number - 1]
        return int(height), int(width)


@dataclass(frozen=True)
class PreparedFixations(PreparedSource):
    """Fixations as points of 16 bit."""

    def points(self, number: int, size: tuple[int, int]) -> Tensor:
        """Read the fixations of a frame, int64 (N, 2), (row, column).

        Raises:
            InputError: If they were stored in the grid of a map of another size.
        """
        file = self.open([number])
        height, width = file.array("map_sizes")[number - 1]
        if (height, width) != size:
            raise InputError(
                f"{self.name(number)}: fixations lie in a grid of {height} x {width}, not {size[0]} x {size[1]}"
            )
        ends = file.array("fixations_ends")
        points = file.array("fixations")[ends[number - 1] : ends[number]]
        return torch.from_numpy(points.astype(np.int64).reshape(-1, 2))


def pack_map(saliency: np.ndarray) -> bytes:
    """Compress a map without loss: row differences modulo 256, deflated; smooth maps shrink to a tenth."""
    # neighbouring rows of a blurred map hardly differ: small numbers deflate well
    rows = np.diff(saliency, axis=0, prepend=np.zeros((1, saliency.shape[1]), np.uint8))
    return zlib.compress(rows.tobytes(), 6)


def unpack_map(blob: memoryview, size: tuple[int, int]) -> np.ndarray:
    """Decode a map, packed or stored as the JPEG it was: uint8 (Hg, Wg), writable."""
    if blob[:2] == _JPEG_START:
        return decode_jpeg(blob, "GRAY")
    rows = np.frombuffer(zlib.decompress(blob), np.uint8).reshape(size)
    return np.cumsum(rows, axis=0, dtype=np.uint8)


def prepared_wave(path: Path, rate: int | None) -> Wave | Path:
    """Read audio from a prepared file at a rate; return the original file's path if that rate is not stored.

    Args:
        path: Prepared file.
        rate: Samples per second; None for the rate of the original.

    Raises:
        InputError: If the file is damaged or has no audio.
    """
    index = read_index(path)
    if index is None or not isinstance(index.get("wave"), str):
        raise InputError(f"{path} is truncated or has no audio; run `avsp data prepare` again")
    name = f"audio_{rate}"
    if name not in index["arrays"]:
        return Path(index["wave"])
    assert rate is not None
    return Wave(torch.from_numpy(open_prepared(path, index["built"]).array(name).copy()), rate)


def video_fingerprint(entry: VideoEntry) -> str:
    """Hash name, size and modification time of every file of a video, and its number of frames.

    Raises:
        TypeError: If a source has no path.
    """
    digest = hashlib.sha256(f"{entry.key} {entry.n_frames}".encode())
    for source in (entry.frames, entry.maps, entry.fixations):
        # the key of a matrix, the first number: the same files read otherwise
        digest.update(_settings(source).encode())
        for path in source_files(source, entry.n_frames):
            digest.update(_state(path))
    if entry.wave is not None:
        digest.update(_state(entry.wave))
    return digest.hexdigest()


def source_files(source: object, n_frames: int) -> Iterator[Path]:
    """Yield the files that a source reads for frames ``1 .. n_frames``.

    Numbered files by their numbers; of any other source each attribute that is a path, a folder with all files in it.

    Raises:
        TypeError: If it has no path.
    """
    if isinstance(source, NumberedFiles):
        yield from (source.path(number) for number in range(1, n_frames + 1))
        return
    paths = [value for value in vars(source).values() if isinstance(value, Path)]
    if not paths:
        raise TypeError(f"{type(source).__name__} has no path, so a change of its files would go unnoticed")
    for path in paths:
        yield from sorted(path.rglob("*")) if path.is_dir() else [path]


def _settings(source: object) -> str:
    settings = {name: value for name, value in vars(source).items() if not isinstance(value, Path)}
    settings.pop("backend", None)  # how single frames are decoded does not matter to what is decoded in order
    return f"{type(source).__name__} {settings}"


def _state(path: Path) -> bytes:
    try:
        state = os.stat(path)  # noqa: PTH116  # hundreds of thousands of files: half the time of Path.stat
    except OSError:
        return f"{path.name} missing".encode()
    # without the folders above: a corpus that was moved as a whole is the same
    return f"{path.name} {state.st_size} {state.st_mtime_ns}".encode()


def prepared_path(cache: Path, key: VideoKey, size: tuple[int, int], suffix: str) -> Path:
    """Return the path of a video's prepared file: ``<cache>/<H>x<W>/<corpus>/<video><suffix>``."""
    folder = cache / f"{size[0]}x{size[1]}" / quote(key[0], safe="")
    return folder / (quote(key[1], safe="") + suffix)


def fresh_index(path: Path, mark: str) -> dict | str:
    """Return the index of an up-to-date prepared file, else the reason why it is not.

    Args:
        path: Prepared file.
        mark: :func:`video_fingerprint` of its video.
    """
    index = read_index(path)
    if index is None:
        return "damaged" if path.exists() else "not prepared"
    if index.get("version") != VERSION:
        return f"of format version {index.get('version')}, not {VERSION}"
    if index.get("fingerprint") != mark:
        return "changed since they were prepared"
    return index


def attach_cache(entries: Sequence[VideoEntry], cache: Path, size: tuple[int, int]) -> list[VideoEntry]:
    """Replace frames, maps, fixations and audio of videos by their prepared files, where these are up to date.

    Other videos stay as they are, with a warning that counts them by reason and names the remedy.

    Args:
        entries: Videos of a corpus reader.
        cache: Folder given to ``avsp data prepare --out``.
        size: (height, width) of frames that will be read.

    Raises:
        InputError: If there is no prepared cache, or none at this size; the message names the sizes that exist.
    """
    wanted = f"{size[0]}x{size[1]}"
    if not (cache / wanted).is_dir():
        sizes = sorted(path.name for path in cache.glob("*x*") if path.is_dir()) if cache.is_dir() else []
        found = f"contains {', '.join(sizes)}, not {wanted}" if sizes else "contains no prepared videos"
        raise InputError(
            f"{cache} {found}; make it with `avsp data prepare ROOT --size {wanted} --out {cache}`, or leave out "
            "data.loading.cache"
        )
    attached, formats, missed = [], Counter[str](), Counter[str]()
    for entry in entries:
        prepared, reason = _attach(entry, cache, size)
        attached.append(prepared)
        (missed if prepared is entry else formats)[reason] += 1
    if formats:
        kinds = ", ".join(f"{count} {kind}" for kind, count in formats.items())
        log.info("cache %s: %d of %d videos (%s)", cache / wanted, formats.total(), len(entries), kinds)
    if missed:
        log.warning(
            "cache %s: %d of %d videos are read from the corpus instead (%s); bring it up to date with "
            "`avsp data prepare ROOT --size %s --out %s`",
            cache / wanted,
            missed.total(),
            len(entries),
            ", ".join(f"{count} {reason}" for reason, count in missed.items()),
            wanted,
            cache,
        )
    return attached


def _attach(entry: VideoEntry, cache: Path, size: tuple[int, int]) -> tuple[VideoEntry, str]:
    reason, mark = "not prepared", None
    for suffix in SUFFIXES:
        path = prepared_path(cache, entry.key, size, suffix)
        if not path.exists():
            continue
        mark = mark or video_fingerprint(entry)
        index = fresh_index(path, mark)
        if isinstance(index, str):
            reason = index
            continue
        built = index["built"]
        return replace(
            entry,
            n_frames=index["n_frames"],
            frames=PreparedFrames(path, built, size),
            maps=PreparedMaps(path, built),
            fixations=PreparedFixations(path, built) if "fixations" in index["arrays"] else entry.fixations,
            wave=None if entry.wave is None else path,
        ), index["format"]
    return entry, reason
