"""Fingerprints of the files that a prepared video was made from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.numbered import NumberedFiles


def fingerprint(entry: VideoEntry) -> str:
    """Hash name, size and modification time of every file of a video, and its number of frames.

    Folders above the files do not count, so a corpus that was moved as a whole (keeping times) is still the same.

    Raises:
        TypeError: If a source names no files.
    """
    digest = hashlib.sha256(f"{entry.key} {entry.n_frames}".encode())
    for source in (entry.frames, entry.maps, entry.fixations):
        digest.update(_settings(source).encode())
        for path in source_files(source, entry.n_frames):
            digest.update(_state(path))
    if entry.wave is not None:
        digest.update(_state(entry.wave))
    return digest.hexdigest()


def source_files(source: object, n_frames: int) -> Iterator[Path]:
    """Yield the files that a source reads for frames ``1 .. n_frames``.

    Numbered files by their numbers; of any other dataclass each field that is a path, a folder with all files in it.

    Raises:
        TypeError: If it is neither, or has no path.
    """
    if isinstance(source, NumberedFiles):
        yield from (source.path(number) for number in range(1, n_frames + 1))
        return
    paths = [value for value in _values(source).values() if isinstance(value, Path)]
    if not paths:
        raise TypeError(f"{type(source).__name__} has no path, so a change of its files would go unnoticed")
    for path in paths:
        yield from sorted(path.rglob("*")) if path.is_dir() else [path]


def _values(source: object) -> dict[str, object]:
    if not is_dataclass(source):
        raise TypeError(f"{type(source).__name__} is not a dataclass, so its files are unknown")
    return {field.name: getattr(source, field.name) for field in fields(source)}


def _settings(source: object) -> str:
    settings = {name: value for name, value in _values(source).items() if not isinstance(value, Path)}
    settings.pop("backend", None)  # how single frames are decoded does not matter to what is decoded in order
    return f"{type(source).__name__} {settings}"


def _state(path: Path) -> bytes:
    try:
        state = os.stat(path)  # noqa: PTH116  # hundreds of thousands of files: half the time of Path.stat
    except OSError:
        return f"{path.name} missing".encode()
    return f"{path.name} {state.st_size} {state.st_mtime_ns}".encode()
