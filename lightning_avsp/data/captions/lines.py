"""Caption files: one JSON object a line, appended as captions are made, and readable after any kind of interruption.

A line is ``{"video": "V1_Speech1", "frame": 17, "text": "a man speaks", "model": "...", "prompt": "..."}``; frames
count from 1. ``model`` and ``prompt`` say who wrote the caption; further fields are kept and not looked at.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from lightning_avsp.data.text_files import parse_json
from lightning_avsp.errors import InputError
from lightning_avsp.run_folder import write_atomically

log = logging.getLogger(__name__)

_FIELDS = ("video", "frame", "text", "model", "prompt")


@dataclass(frozen=True)
class Caption:
    """What one frame shows, in words."""

    video: str
    """Name of the video inside its corpus."""
    frame: int
    """Number of the frame, from 1."""
    text: str
    """The words; empty where the model had nothing to say, which counts as no caption."""
    model: str = ""
    """What wrote it: the name of a model, or of the table it came from."""
    prompt: str | None = None
    """How the model was asked; None where nothing was."""
    more: dict[str, Any] = field(default_factory=dict)
    """Further fields of the line, e.g. ``informative`` of synthetic captions."""

    def line(self) -> str:
        """The line of this caption, with its line end."""
        own = {name: getattr(self, name) for name in _FIELDS}
        return json.dumps(own | self.more, ensure_ascii=False) + "\n"


def caption_path(folder: Path, corpus: str) -> Path:
    """Where the captions of a corpus lie, by its public name."""
    return Path(folder) / f"{corpus}.jsonl"


def read_captions(path: Path) -> list[Caption]:
    """Captions of a file, one for each (video, frame), in the order of their first appearance.

    Of two lines about one frame the later wins, and a half-written last line, left by a killed run, is passed over;
    both are logged once with their number.

    Raises:
        InputError: If the file is missing, or any other line is broken; the message names file and line.
    """
    if not path.is_file():
        raise InputError(f"no captions at {path}; make them with `avsp caption ROOT --corpus {path.stem}`")
    lines = path.read_bytes().split(b"\n")
    tail = lines.pop()  # empty after a whole last line
    captions: dict[tuple[str, int], Caption] = {}
    repeated = 0
    for number, line in enumerate(lines, start=1):
        if line.strip():
            caption = parse_caption(line, f"{path}:{number}")
            repeated += (caption.video, caption.frame) in captions
            captions[caption.video, caption.frame] = caption
    if tail.strip():
        try:
            caption = parse_caption(tail, f"{path}:{len(lines) + 1}")
            repeated += (caption.video, caption.frame) in captions
            captions[caption.video, caption.frame] = caption
        except InputError:
            log.warning(
                "%s: its last line (%d) is half-written and passed over; `avsp caption` will make it again",
                path,
                len(lines) + 1,
            )
    if repeated:
        log.warning("%s: %d captions are of frames captioned before; the later one counts", path, repeated)
    return list(captions.values())


def parse_caption(line: bytes | str, where: str) -> Caption:
    """The caption of one line.

    Args:
        line: The line.
        where: File and line, for the message.

    Raises:
        InputError: If it is no caption.
    """
    values = parse_json(line, where)
    if not isinstance(values, dict) or not {"video", "frame", "text"} <= set(values):
        found = sorted(values) if isinstance(values, dict) else type(values).__name__
        raise InputError(f"{where}: a caption needs video, frame and text, found {found}; correct the line")
    video, frame, text = values["video"], values["frame"], values["text"]
    if not isinstance(video, str) or not isinstance(text, str):
        raise InputError(f"{where}: video and text must be words, found {video!r} and {text!r}")
    if not isinstance(frame, int) or isinstance(frame, bool) or frame < 1:
        raise InputError(f"{where}: frame must be a whole number from 1 on, found {frame!r}")
    prompt = values.get("prompt")
    more = {name: value for name, value in values.items() if name not in _FIELDS}
    return Caption(
        video, frame, text, str(values.get("model", "")), None if prompt is None else str(prompt), more
    )


def write_captions(path: Path, captions: Iterable[Caption]) -> None:
    """Write a whole caption file at once; readers see the old or the new one, never half of it."""
    write_atomically(path, "".join(caption.line() for caption in captions))


class CaptionAppender:
    """Appends captions to a file, each whole line in one write that is on disk before the next begins.

    Opening it mends what a killed run left: a last line that is a whole caption gets its line end, a half-written one
    is removed (and logged).

    Args:
        path: File to append to; made if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _mend(self.path)
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def append(self, captions: Iterable[Caption]) -> None:
        """Add captions to the file."""
        data = "".join(caption.line() for caption in captions).encode()
        while data:  # a write may be cut short on a full disk; the error then comes with the next one
            data = data[os.write(self._file, data) :]
        os.fsync(self._file)

    def __enter__(self) -> CaptionAppender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)


def _mend(path: Path) -> None:
    """Give the last line its line end, or remove it if it is half-written."""
    if not path.is_file():
        return
    content = path.read_bytes()
    tail = content.rpartition(b"\n")[2]
    if not tail:
        return
    try:
        parse_caption(tail, str(path))
    except InputError:
        with path.open("r+b") as file:
            file.truncate(len(content) - len(tail))
        log.warning("%s: removed its half-written last line of %d bytes", path, len(tail))
    else:
        with path.open("ab") as file:
            file.write(b"\n")
