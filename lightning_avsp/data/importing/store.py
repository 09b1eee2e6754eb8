"""Puts a finished video in its place: all of it or nothing, also when the program is killed in between."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_avsp.errors import InputError
from lightning_avsp.run_folder import write_json

RECORD = "import.json"
"""In a video's annotation folder: what it was made of, and that it is complete."""
_READY = "ready.json"


@dataclass(frozen=True)
class VideoPlaces:
    """Where the parts of a video lie under a root; the same below a staging folder."""

    root: Path
    corpus: str
    """Folder of the corpus."""
    video: str

    @property
    def frames(self) -> Path:
        """Folder of JPEGs."""
        return self.root / "video_frames" / self.corpus / self.video

    @property
    def sound(self) -> Path:
        """Folder of the wav."""
        return self.root / "video_audio" / self.corpus / self.video

    @property
    def wave(self) -> Path:
        """The wav."""
        return self.sound / f"{self.video}.wav"

    @property
    def annotation(self) -> Path:
        """Folder of maps, fixations and record."""
        return self.root / "annotations" / self.corpus / self.video

    def film(self, suffix: str) -> Path:
        """The film, where it stands for frames."""
        return self.root / "videos" / self.corpus / f"{self.video}{suffix}"

    @property
    def films(self) -> list[Path]:
        """Every film of this video, whatever its suffix."""
        folder = self.root / "videos" / self.corpus
        return sorted(p for p in folder.iterdir() if p.stem == self.video) if folder.is_dir() else []

    @property
    def parts(self) -> list[Path]:
        """What is there of the video; annotations last, since their record says that it is complete."""
        candidates = [*self.films, self.frames, self.sound, self.annotation]
        return [path for path in candidates if path.exists()]

    @property
    def staging(self) -> Path:
        """Folder in which it is made: on the same file system, so that it can be moved in one step."""
        return self.root / f".import_{self.corpus}_{self.video}"

    @property
    def staged(self) -> VideoPlaces:
        """The same below the staging folder."""
        return VideoPlaces(self.staging, self.corpus, self.video)


def read_record(places: VideoPlaces, tolerant: bool = False) -> dict[str, Any] | None:
    """What a video was made of, or None if it is not there or not complete.

    Raises:
        InputError: If the record is damaged, unless ``tolerant``.
    """
    path = places.annotation / RECORD
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return record
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        if tolerant:
            return None
        raise InputError(
            f"{path} cannot be read ({error}); import the video again with --overwrite"
        ) from error


def write_record(places: VideoPlaces, record: dict[str, Any]) -> None:
    """Put the record into the annotation folder."""
    write_json(places.annotation / RECORD, record)


def mark_ready(places: VideoPlaces) -> None:
    """Say that everything below the staging folder is complete, so that moving it may begin."""
    parts = [path.relative_to(places.staging).as_posix() for path in places.staged.parts]
    write_json(places.staging / _READY, parts)


def settle(places: VideoPlaces) -> None:
    """Move what is staged and ready to its place; throw away what a killed import left unready.

    Old parts of the video are removed only now, when the new ones are complete. Killed in the middle, the next call
    goes on where this one stopped.
    """
    ready = places.staging / _READY
    if not ready.is_file():
        shutil.rmtree(places.staging, ignore_errors=True)
        return
    parts = [Path(text) for text in json.loads(ready.read_text(encoding="utf-8"))]
    for old in places.parts:
        if old.relative_to(places.root) not in parts:
            _remove(old)
    for part in parts:
        staged, target = places.staging / part, places.root / part
        if staged.exists():  # else it was moved by the call that was killed
            _remove(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            staged.rename(target)
    shutil.rmtree(places.staging)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def locked(root: Path, name: str, wait: bool = False) -> Iterator[None]:
    """Keep other imports out of one thing under a root while the block runs; released when the process ends.

    Raises:
        InputError: If another process holds it, unless ``wait`` says to wait for it.
    """
    import fcntl

    root.mkdir(parents=True, exist_ok=True)
    path = root / f".{name}.lock"
    while True:
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError as error:
                raise InputError(
                    f"another process imports this video into {root} ({path.name} is locked); wait for it"
                ) from error
            # Whoever held it before has removed the file: then this lock is of a file that nobody else sees.
            if not (path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino):
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return
