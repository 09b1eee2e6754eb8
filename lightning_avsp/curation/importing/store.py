"""Entry of a finished video into its corpus: moved all or nothing, listed, and the corpus registered."""

from __future__ import annotations

import json
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lightning_avsp.data.catalogue import Corpus, Part, own_corpus, read_own, register
from lightning_avsp.data.lists import ListedVideo, list_path, parse_fold_list
from lightning_avsp.data.text_files import read_text
from lightning_avsp.errors import InputError
from lightning_avsp.run_folder import write_atomically, write_json

RECORD = "import.json"  # in a video's annotation folder: its inputs, and that it is complete
_READY = "ready.json"


@dataclass(frozen=True)
class VideoPaths:
    """Paths of the parts of a video under a root; the same below a staging folder."""

    root: Path
    corpus: str
    """Folder of the corpus."""
    video: str

    @property
    def frames(self) -> Path:
        """Folder of JPEGs."""
        return self.root / "video_frames" / self.corpus / self.video

    @property
    def audio(self) -> Path:
        """Audio file."""
        return self.root / "video_audio" / self.corpus / self.video / f"{self.video}.wav"

    @property
    def annotation(self) -> Path:
        """Folder of maps, fixations and record."""
        return self.root / "annotations" / self.corpus / self.video

    def copy(self, suffix: str) -> Path:
        """Copy of the video, where it stands for frames."""
        return self.root / "videos" / self.corpus / f"{self.video}{suffix}"

    @property
    def parts(self) -> list[Path]:
        """Parts that exist, annotations last."""
        copies = [path for path in (self.root / "videos" / self.corpus).glob("*") if path.stem == self.video]
        # annotations last: their record means that the video is complete
        candidates = [*sorted(copies), self.frames, self.audio.parent, self.annotation]
        return [path for path in candidates if path.exists()]

    @property
    def staging(self) -> Path:
        """Folder in which it is made."""
        # on the same file system, so that a rename moves it in one step
        return self.root / f".import_{self.corpus}_{self.video}"

    @property
    def staged(self) -> VideoPaths:
        """The same below the staging folder."""
        return VideoPaths(self.staging, self.corpus, self.video)


def read_record(paths: VideoPaths, tolerant: bool = False) -> dict[str, Any] | None:
    """Record of a complete video, or None.

    Raises:
        InputError: If the record is damaged, unless ``tolerant``.
    """
    path = paths.annotation / RECORD
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


def finish(paths: VideoPaths, record: dict[str, Any]) -> None:
    """Write the record of a staged video, mark it as complete, and move it."""
    write_json(paths.staged.annotation / RECORD, record)
    parts = [path.relative_to(paths.staging).as_posix() for path in paths.staged.parts]
    # from here on a killed import is finished by the next one instead of begun anew
    write_json(paths.staging / _READY, parts)
    settle(paths)


def settle(paths: VideoPaths) -> None:
    """Move a complete staged video into its corpus; remove what a killed import left incomplete."""
    ready = paths.staging / _READY
    if not ready.is_file():
        shutil.rmtree(paths.staging, ignore_errors=True)
        return
    parts = [Path(text) for text in json.loads(ready.read_text(encoding="utf-8"))]
    # only now, when the new parts are complete
    for old in paths.parts:
        if old.relative_to(paths.root) not in parts:
            _remove(old)
    for part in parts:
        staged, target = paths.staging / part, paths.root / part
        if staged.exists():  # else it was moved by the call that was killed
            _remove(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            staged.rename(target)
    shutil.rmtree(paths.staging)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def locked(root: Path, name: str, wait: bool = False) -> AbstractContextManager[object]:
    """Keep other imports out of one thing under a root while a block runs; released when the process ends.

    Raises:
        InputError: If another process holds it and ``wait`` is False.
    """
    folder = root / "corpora" / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / name, timeout=-1 if wait else 0)
    try:
        return lock.acquire()
    except Timeout as error:
        raise InputError(
            f"another process imports this video into {root} ({lock.lock_file} is locked); wait for it"
        ) from error


OTHER: dict[Part, Part] = {"train": "test", "test": "train"}
"""The part that a video must not be in too."""


def read_list(root: Path, corpus: Corpus, part: Part, split: int) -> dict[str, ListedVideo]:
    """Videos of a list by name; none where it is missing or empty."""
    path = list_path(root, corpus, part, split)
    if not path.is_file() or not read_text(path).strip():
        return {}
    return {video.name: video for video in parse_fold_list(path)}


def check_parts(root: Path, corpus: Corpus, video: str, part: Part, splits: tuple[int, ...]) -> None:
    """Refuse a video that is in the other part of a split.

    Raises:
        InputError: If it is; the message names the list.
    """
    for split in splits:
        if video in read_list(root, corpus, OTHER[part], split):
            raise InputError(
                f"{video!r} is in {list_path(root, corpus, OTHER[part], split)}, the {OTHER[part]} list of split "
                f"{split}; a video must not be in both parts of a split: choose another --split, or remove that line "
                "first"
            )


def enter_video(
    root: Path, corpus: Corpus, video: ListedVideo, part: Part, splits: tuple[int, ...]
) -> list[Path]:
    """Add a video to the lists of a part, or correct its line in any list that has it.

    Returns:
        Lists that were written.
    """
    written = []
    for split in corpus.splits:
        # a video imported anew may have other frames than any list of it states
        for each in OTHER:
            path = list_path(root, corpus, each, split)
            videos = read_list(root, corpus, each, split)
            if video.name in videos or (each == part and split in splits):
                lines = [f"{v.name} {v.frames} {v.fps:.6f}\n" for v in {**videos, video.name: video}.values()]
                text = "".join(lines)
                if not path.is_file() or path.read_text(encoding="utf-8") != text:
                    write_atomically(path, text)
                    written.append(path)
    return written


def register_corpus(root: Path, name: str, splits: tuple[int, ...], made: dict[str, Any]) -> Corpus:
    """Describe a corpus as its lists have it now, keeping the terms, the source and the settings of its first video."""
    known = read_own(root).get(name)
    # from the lists, not from the description: users edit lists
    every = tuple(sorted(set(known.splits if known else ()) | set(splits)))
    bare = own_corpus(name, splits=every)
    videos: dict[str, ListedVideo] = {}
    counts = []
    for split in every:
        train, test = (read_list(root, bare, part, split) for part in OTHER)
        counts.append((len(train), len(test)))
        videos |= train | test
    audio = root / "video_audio" / bare.folder
    rates = {round(video.fps, 3) for video in videos.values()}
    entry = replace(
        bare,
        counts=tuple(counts),
        videos=len(videos),
        frames=sum(video.frames for video in videos.values()),
        fps=rates.pop() if len(rates) == 1 else None,
        has_sound=audio.is_dir() and any(audio.iterdir()),
        licence=(known or bare).licence,
        source=(known or bare).source,
        made=known.made if known and known.made else made,
    )
    register(root, entry)
    return entry
