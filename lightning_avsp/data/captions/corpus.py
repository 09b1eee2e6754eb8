"""Captioning of a corpus' frames: the frames without a caption, and a resumable run over them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from lightning_avsp.backbones.blip2 import Captioner
from lightning_avsp.data.captions.lines import Caption, CaptionAppender, read_captions
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.errors import InputError


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
    asked = sorted({caption.prompt for caption in there if caption.prompt} - {"none", prompt})
    if asked:
        raise InputError(
            f"{path} holds captions asked for by {asked[0]!r}, but {prompt!r} is to ask now: choose another --out, or "
            "move the file away"
        )
    done = {(caption.video, caption.frame) for caption in there}
    wanted = {}
    for video in videos:
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
    with CaptionAppender(path) as lines:
        for video in videos:
            frames = todo.get(video.video, [])
            for start in range(0, len(frames), batch):
                numbers = frames[start : start + batch]
                answers = captioner.caption(list(video.frames.read(numbers, video.size)))
                lines.append(
                    Caption(video.video, number, answer.text, captioner.name, answer.mode)
                    for number, answer in zip(numbers, answers, strict=True)
                )
                counts.update(answer.mode if answer.text else "no answer" for answer in answers)
                done += len(numbers)
                if progress is not None:
                    progress(done, total)
    return counts
