"""Enters an imported video into fold lists and registers its corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning_avsp.data.catalogue import Corpus, Part
from lightning_avsp.data.importing.settings import OTHER
from lightning_avsp.data.lists import ListedVideo, list_path, parse_fold_list
from lightning_avsp.data.own import OwnCorpus, read_own, register
from lightning_avsp.errors import InputError
from lightning_avsp.run_folder import write_atomically

_PARTS: tuple[Part, Part] = ("train", "test")


def check_parts(root: Path, corpus: Corpus, video: str, part: Part, splits: tuple[int, ...]) -> None:
    """Refuse a video that is in the other part of a split.

    Raises:
        InputError: If it is; the message names the list.
    """
    for split in splits:
        path = list_path(root, corpus, OTHER[part], split)
        if video in _names(path):
            raise InputError(
                f"{video!r} is in {path}, the {OTHER[part]} list of split {split}; a video must not be in both parts "
                "of a split: choose another --split, or remove that line first"
            )


def enter_video(
    root: Path, corpus: Corpus, video: ListedVideo, part: Part, splits: tuple[int, ...]
) -> list[Path]:
    """Add a video to the lists of a part, or correct its line in any list that has it.

    Returns:
        Lists that were written.
    """
    line = f"{video.name} {video.frames} {video.fps:.6f}"
    written = []
    for split in corpus.splits:
        for each in _PARTS:
            path = list_path(root, corpus, each, split)
            lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
            position = next((i for i, old in enumerate(lines) if _name(old) == video.name), None)
            if position is not None:
                fresh = [*lines[:position], line, *lines[position + 1 :]]
            elif each == part and split in splits:
                fresh = [*lines, line]
            else:
                continue
            if fresh != lines:
                write_atomically(path, "\n".join(fresh) + "\n")
                written.append(path)
    return written


def register_corpus(root: Path, name: str, splits: tuple[int, ...], made: dict[str, Any]) -> OwnCorpus:
    """Describe a corpus as its lists have it now, keeping what was known of it."""
    known = read_own(root).get(name)
    every = tuple(sorted(set(known.splits if known else ()) | set(splits)))
    bare = OwnCorpus(name, splits=every).as_corpus()
    videos: dict[str, ListedVideo] = {}
    counts = []
    for split in every:
        listed = [_listed(list_path(root, bare, part, split)) for part in _PARTS]
        counts.append((len(listed[0]), len(listed[1])))
        for entries in listed:
            videos.update(entries)
    sounds = root / "video_audio" / bare.folder
    rates = {round(video.fps, 3) for video in videos.values()}
    entry = OwnCorpus(
        name,
        splits=every,
        counts=tuple(counts),
        videos=len(videos),
        frames=sum(video.frames for video in videos.values()),
        fps=rates.pop() if len(rates) == 1 else None,
        has_sound=sounds.is_dir() and any(sounds.iterdir()),
        licence=known.licence if known else OwnCorpus.licence,
        source=known.source if known else OwnCorpus.source,
        made=known.made if known and known.made else made,
    )
    register(root, entry)
    return entry


def _listed(path: Path) -> dict[str, ListedVideo]:
    if not path.is_file() or not path.read_text(encoding="utf-8").strip():
        return {}
    return {video.name: video for video in parse_fold_list(path)}


def _names(path: Path) -> set[str]:
    return (
        {_name(line) for line in path.read_text(encoding="utf-8").splitlines()} if path.is_file() else set()
    )


def _name(line: str) -> str:
    return line.rsplit(maxsplit=2)[0].strip() if line.strip() else ""
