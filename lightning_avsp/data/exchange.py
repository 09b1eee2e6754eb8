"""What test videos are given in place of their own sound and captions, and which of their frames are not scored."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from lightning_avsp.data.captions.frames import MismatchedText, TextSource
from lightning_avsp.data.clips import unscored_frames
from lightning_avsp.data.entries import VideoEntry, VideoKey
from lightning_avsp.data.wrong_sound import other_videos
from lightning_avsp.errors import InputError
from lightning_avsp.structures import ClipPolicy

log = logging.getLogger(__name__)


def sounds_instead(
    entries: Sequence[VideoEntry], test_audio: Literal["true", "other_video", "silent"], seed: int
) -> dict[VideoKey, Path | None]:
    """Sound file of each video that does not keep its own; None for silence.

    Raises:
        InputError: If there is only one video, which has no other whose sound it could take.
    """
    if test_audio == "true":
        return {}
    if test_audio == "silent":
        return dict.fromkeys([entry.key for entry in entries])
    return {key: giver.wave for key, giver in _givers(entries, seed, "test_audio").items()}


def texts_instead(
    source: TextSource,
    entries: Sequence[VideoEntry],
    test_text: Literal["true", "other_video", "none"],
    seed: int,
) -> TextSource:
    """Captions as the videos get them: their own, another video's, or none.

    Raises:
        InputError: If there is only one video, which has no other whose captions it could take.
    """
    if test_text == "true":
        return source
    givers = _givers(entries, seed, "test_text") if test_text == "other_video" else {}
    return MismatchedText(
        source,
        {e.key: (givers[e.key].key, givers[e.key].n_frames) if e.key in givers else None for e in entries},
        {entry.key: entry.n_frames for entry in entries},
    )


def _givers(entries: Sequence[VideoEntry], seed: int, option: str) -> dict[VideoKey, VideoEntry]:
    if len(entries) < 2:
        raise InputError(f"{option}: other_video needs at least 2 test videos, there is {len(entries)}")
    return other_videos(entries, seed)


def report_unscored(
    part: str, entries: Sequence[VideoEntry], policy: ClipPolicy, mode: Literal["all", "released"]
) -> None:
    """Log how many frames at the start of videos are not scored, and by which rule; nothing if all are."""
    left_out = [unscored_frames(entry.n_frames, policy, mode) for entry in entries]
    if total := sum(left_out):
        why = "test_frames: released" if mode == "released" else f"clip.start_padding: {policy.start_padding}"
        log.warning(
            "%s: %d frames at the start of %d videos are not scored (%s, at most %d a video)",
            part,
            total,
            sum(count > 0 for count in left_out),
            why,
            max(left_out),
        )
