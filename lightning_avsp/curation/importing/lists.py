"""Fold lists and the registration of an imported corpus."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning_avsp.data.catalogue import Corpus, Part, own_corpus, read_own, register
from lightning_avsp.data.lists import ListedVideo, list_path, parse_fold_list
from lightning_avsp.data.text_files import read_text
from lightning_avsp.errors import InputError
from lightning_avsp.run_folder import write_atomically

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
