"""Captions on disk: files of one JSON object a line, readable after any interruption, their making, and tables.

A line is ``{"video": "V1_Speech1", "frame": 17, "text": "a man speaks", "model": "...", "prompt": "..."}``; frames
count from 1. ``model`` and ``prompt`` are those of the caption; further fields are stored and ignored.
"""

from __future__ import annotations

import csv
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.text_files import parse_json, read_text
from lightning_avsp.errors import InputError, MissingDependencyError
from lightning_avsp.run_folder import write_atomically

if TYPE_CHECKING:
    from lightning_avsp.backbones.blip2 import Captioner

log = logging.getLogger(__name__)

_NEEDED = ("video", "frame", "text")
_FIELDS = (*_NEEDED, "model", "prompt")


@dataclass(frozen=True)
class Caption:
    """Caption of one frame."""

    video: str
    """Name of the video inside its corpus."""
    frame: int
    """Number of the frame, from 1."""
    text: str
    """The caption; empty where the model gave no answer, which counts as no caption."""
    model: str = ""
    """Name of its model, or of the table it came from."""
    prompt: str | None = None
    """Prompt mode; None without a prompt."""
    more: dict[str, Any] = field(default_factory=dict)
    """Further fields of the line, e.g. ``informative`` of synthetic captions."""

    def line(self) -> str:
        """Return the line of this caption, with its line end."""
        own = {name: getattr(self, name) for name in _FIELDS}
        return json.dumps(own | self.more, ensure_ascii=False) + "\n"


def caption_path(folder: Path, corpus: str) -> Path:
    """Return the path of a corpus' caption file, by its public name."""
    return Path(folder) / f"{corpus}.jsonl"


def read_captions(path: Path) -> list[Caption]:
    """Read the captions of a file, one for each (video, frame), in the order of their first appearance.

    Of two lines about one frame the later wins, and a half-written last line, left by a killed run, is passed over;
    both are logged once with their number.

    Raises:
        InputError: If the file is missing, or any other line is broken; the message names file and line.
    """
    if not path.is_file():
        raise InputError(f"no captions at {path}; make them with `avsp caption ROOT --corpus {path.stem}`")
    lines = path.read_bytes().split(b"\n")
    captions: dict[tuple[str, int], Caption] = {}
    repeated = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            caption = parse_caption(line, f"{path}:{number}")
        except InputError:
            if number < len(lines):  # nothing follows the line end of a whole file
                raise
            log.warning(
                "%s: its last line (%d) is half-written and passed over; `avsp caption` will make it again",
                path,
                number,
            )
        else:
            repeated += (caption.video, caption.frame) in captions
            # of two lines the later: a frame captioned again was meant to be
            captions[caption.video, caption.frame] = caption
    if repeated:
        log.warning("%s: %d captions are of frames captioned before; the later one counts", path, repeated)
    return list(captions.values())


def parse_caption(line: bytes | str, where: str) -> Caption:
    """Parse the caption of one line.

    Args:
        line: The line.
        where: File and line, for the message.

    Raises:
        InputError: If it is not a caption.
    """
    values = parse_json(line, where)
    if not isinstance(values, dict) or not set(_NEEDED) <= set(values):
        found = sorted(values) if isinstance(values, dict) else type(values).__name__
        raise InputError(f"{where}: a caption needs video, frame and text, found {found}; correct the line")
    video, frame, text = values["video"], values["frame"], values["text"]
    if not isinstance(video, str) or not isinstance(text, str):
        raise InputError(f"{where}: video and text must be strings, found {video!r} and {text!r}")
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


@contextmanager
def open_captions(path: Path) -> Iterator[BinaryIO]:
    """Open a caption file for :func:`append_captions`; it is made if it does not exist.

    What a killed run left is mended: a last line that is a whole caption gets its line end, a half-written one is
    removed (and logged).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # unbuffered and for appending: each write goes to the end, whoever else has the file open
    with path.open("ab", buffering=0) as file:
        content = path.read_bytes()
        if tail := content.rpartition(b"\n")[2]:
            try:
                parse_caption(tail, str(path))
                file.write(b"\n")
            except InputError:
                file.truncate(len(content) - len(tail))
                log.warning("%s: removed its half-written last line of %d bytes", path, len(tail))
        yield file


def append_captions(file: BinaryIO, captions: Iterable[Caption]) -> None:
    """Append captions to an open file, whole lines in one write that is on disk before the next begins."""
    data = "".join(caption.line() for caption in captions).encode()
    while data:  # a write may be cut short on a full disk; the error then comes with the next one
        data = data[file.write(data) :]
    # hours of a captioner are worth the wait
    os.fsync(file.fileno())


def uncaptioned_frames(
    videos: Sequence[VideoEntry], every: int, path: Path, model: str, prompt: str = "question"
) -> dict[str, list[int]]:
    """Return the frames of each video that have no caption yet.

    The middle one of every ``every`` frames: those that a test with ``test.every`` of the same number scores.

    Args:
        videos: The videos.
        every: One frame in so many.
        path: The caption file so far; need not exist.
        model: Model that is to write the captions.
        prompt: Form of its prompt; captions without one may stand beside those of any, since a model that says nothing
            is asked again without.

    Raises:
        InputError: If captions of another model or prompt are in the file: one file is of one model and one prompt.
    """
    there = read_captions(path) if path.is_file() else []
    others = sorted({caption.model for caption in there if caption.model != model})
    if others:
        raise InputError(
            f"{path} contains captions of {others[0]}, but {model} is to write now: choose another --out, or move "
            "the file away"
        )
    # a network trained on two prompts' captions would learn their difference
    asked = sorted({caption.prompt for caption in there if caption.prompt} - {"none", prompt})
    if asked:
        raise InputError(
            f"{path} holds captions asked for by {asked[0]!r}, but {prompt!r} is to ask now: choose another --out, or "
            "move the file away"
        )
    done = {(caption.video, caption.frame) for caption in there}
    wanted = {}
    for video in videos:
        # those that a test with test.every of the same number scores
        chosen = range(1, video.n_frames + 1)[min(every // 2, video.n_frames - 1) :: every]
        wanted[video.video] = [frame for frame in chosen if (video.video, frame) not in done]
    return {video: frames for video, frames in wanted.items() if frames}


def caption_corpus(
    videos: Sequence[VideoEntry],
    todo: dict[str, list[int]],
    path: Path,
    captioner: Captioner,
    batch: int = 8,
    progress: Callable[[int, int], None] | None = None,
) -> Counter[str]:
    """Caption frames and append each batch's lines to the file before the next batch begins.

    Args:
        videos: The videos.
        todo: Frames of each video (:func:`uncaptioned_frames`).
        path: The caption file.
        captioner: Writes the captions.
        batch: Frames per forward pass.
        progress: Called with the number of captions made and of all to make.

    Returns:
        Number of captions by prompt mode; ``no answer`` for those that stayed empty.

    Raises:
        InputError: If a frame cannot be read; captions made until then stay.
    """
    total, done = sum(len(frames) for frames in todo.values()), 0
    counts: Counter[str] = Counter()
    with open_captions(path) as file:
        for video in videos:
            frames = todo.get(video.video, [])
            for start in range(0, len(frames), batch):
                numbers = frames[start : start + batch]
                answers = captioner.caption(list(video.frames.read(numbers, video.size)))
                captions = [
                    Caption(video.video, number, answer.text, captioner.name, answer.mode)
                    for number, answer in zip(numbers, answers, strict=True)
                ]
                append_captions(file, captions)
                counts.update(answer.mode if answer.text else "no answer" for answer in answers)
                done += len(numbers)
                if progress is not None:
                    progress(done, total)
    return counts


def read_table(path: Path) -> list[Caption]:
    """Read the captions of a table, by its suffix: ``.csv``, ``.jsonl`` or ``.parquet``.

    A column ``model`` is kept; without one the table's name stands for the model.

    Raises:
        InputError: If the table is missing, of another kind, lacks a column, or a row is no caption; names the row.
        MissingDependencyError: If a Parquet table is given and pyarrow is not installed.
    """
    if not path.is_file():
        raise InputError(f"no table of captions at {path}")
    kind = path.suffix.lower()
    try:
        if kind == ".csv":
            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file)  # not pandas, which takes a row cut short for one without text
                captions = _from_rows(path, list(reader), reader.fieldnames or ())
        elif kind == ".parquet":
            from pandas import read_parquet

            table = read_parquet(path)
            captions = _from_rows(path, table.to_dict("records"), list(table.columns))
        elif kind in (".jsonl", ".json"):
            lines = read_text(path).splitlines()
            captions = [parse_caption(line, f"{path}:{n}") for n, line in enumerate(lines, 1) if line.strip()]
        else:
            raise InputError(f"{path}: a table of captions ends in .csv, .jsonl or .parquet")
    except InputError:
        raise
    except ImportError as error:
        raise MissingDependencyError(
            f"{path}: Parquet tables need pyarrow: install it with `pip install pyarrow`, or save the table as CSV"
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a {kind} table ({error})") from error
    if not captions:
        raise InputError(f"{path} contains no caption")
    # so that results tell captions of one's own from a model's
    named = f"table {path.name}"
    return [caption if caption.model else replace(caption, model=named) for caption in captions]


def merge_captions(
    path: Path, captions: Iterable[Caption], frames: Mapping[str, int], source: Path
) -> tuple[int, int]:
    """Add captions to a caption file; those of frames captioned before replace the earlier ones.

    Args:
        path: The caption file; written at once, or not at all.
        captions: What to add.
        frames: Frames of each video of the corpus.
        source: The table, for messages.

    Returns:
        Captions added, and captions replaced.

    Raises:
        InputError: If a caption is of a video or frame that the corpus does not have; nothing is written then.
    """
    given = {(caption.video, caption.frame): caption for caption in captions}
    unlisted = sorted({video for video, _ in given if video not in frames})
    if unlisted:
        raise InputError(
            f"{source} has captions of {len(unlisted)} videos that {path.stem} does not list, e.g. {unlisted[0]!r} (it "
            f"lists {', '.join(sorted(frames)[:3])}, ...); correct the column 'video'"
        )
    beyond = sorted((video, frame) for video, frame in given if frame > frames[video])
    if beyond:
        video, frame = beyond[0]
        raise InputError(
            f"{source} has captions of {len(beyond)} frames past the end, e.g. frame {frame} of {video}, which has "
            f"{frames[video]}; frames count from 1"
        )
    there = (
        {(caption.video, caption.frame): caption for caption in read_captions(path)} if path.is_file() else {}
    )
    replaced = len(there.keys() & given.keys())
    write_captions(path, (there | given).values())
    return len(given) - replaced, replaced


def _from_rows(path: Path, rows: Sequence[Mapping[Any, Any]], columns: Sequence[str]) -> list[Caption]:
    absent = [name for name in _NEEDED if name not in columns]
    if absent:
        raise InputError(
            f"{path} has no column {absent[0]!r}; it needs {', '.join(_NEEDED)}, found {list(columns)}"
        )
    captions = []
    for number, row in enumerate(rows, start=1):
        video, frame, text = (row[name] for name in _NEEDED)
        try:
            # pandas reads whole numbers of a column with gaps as 1.0
            whole = int(frame)
        except (TypeError, ValueError):
            whole = 0
        if not video or not isinstance(text, str) or whole < 1 or whole != float(frame):
            raise InputError(
                f"{path}, row {number}: expected a video, a frame from 1 on and a text, found {video!r}, {frame!r}, "
                f"{text!r}"
            )
        captions.append(Caption(str(video), whole, text, str(row.get("model") or "")))
    return captions
