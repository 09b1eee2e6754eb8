"""Videos of corpora: sources, number of usable frames, and the policy for videos without audio."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lightning_avsp.data.catalogue import Corpus
from lightning_avsp.data.sources import FixationSource, FrameSource, MapSource
from lightning_avsp.errors import CorpusNotFoundError, InputError

VideoKey = tuple[str, str]
"""(corpus, video): video names alone are not unique, ``clip1`` exists in two corpora."""


@dataclass(frozen=True)
class VideoEntry:
    """One video, ready to be cut into clips."""

    corpus: str
    """Public name of the corpus, e.g. ``Coutrot1``."""
    video: str
    """Name inside its corpus."""
    n_frames: int
    """Usable frames: the smallest number of list and folders."""
    fps: float
    frames: FrameSource
    """Frames."""
    maps: MapSource
    """Continuous saliency maps, 8 bit grey."""
    fixations: FixationSource
    """Fixated pixels of each frame."""
    wave: Path | None
    """Audio file, or video file with audio; None if there is none and the policy allows it."""
    size: tuple[int, int]
    """(height, width) of the frames, in pixels; maps have their own size."""
    subset: str = ""
    """Named part of the test list that the video is in, where there are several (CrowdSAL)."""

    @property
    def key(self) -> VideoKey:
        """(corpus, video)."""
        return self.corpus, self.video


class FrameCountWarning(UserWarning):
    """List and folders disagree about the number of frames; the smallest is used."""


def usable_frames(video: str, counts: Mapping[str, int], listed: int = 0) -> int:
    """Return the number of usable frames of a video; warns once, with all numbers, if some are left out.

    Args:
        video: Corpus and name, for the message.
        counts: Numbers of files: ``{"frames": 126, "maps": 125, ...}``.
        listed: Frames by the fold list; 0 where there is no list. Files beyond it are allowed without a word (one
            published annotation has a map more than frames).
    """
    usable = min(listed or max(counts.values()), *counts.values())
    if usable < (listed or max(counts.values())):
        found = ", ".join(f"{count} {what}" for what, count in counts.items())
        says = f"the list says {listed} frames, " if listed else ""
        # a warning, so that tests and users can turn lost frames into an error
        warnings.warn(
            f"{video}: {says}the folders hold {found}; the first {usable} are used",
            FrameCountWarning,
            stacklevel=3,
        )
    return usable


log = logging.getLogger(__name__)

MissingAudio = Literal["error", "silence", "skip"]
"""Rule for a video without an audio file: stop, keep it as silent, or leave it out."""


def apply_policy(
    corpus: Corpus,
    entries: Sequence[VideoEntry],
    policy: MissingAudio,
    place: Callable[[str], Path],
    remedy: str,
) -> list[VideoEntry]:
    """Apply a policy to entries. A corpus without any audio keeps all, whatever the policy.

    Args:
        corpus: Whose videos they are.
        entries: All that were read; ``wave`` is None without audio.
        policy: The policy.
        place: Path at which the audio of a video was looked for.
        remedy: Way to obtain it, for the message.

    Raises:
        CorpusNotFoundError: Under ``error``, if an audio file is missing.
        InputError: If nothing is left.
    """
    silent = [entry for entry in entries if entry.wave is None]
    if not silent:
        return list(entries)
    # DHF1K and others never had audio: no policy applies
    if not corpus.has_sound:
        log.info("%s has no audio: all %d videos are silent", corpus.name, len(entries))
        return list(entries)
    names = ", ".join(entry.video for entry in silent[:5]) + (", ..." if len(silent) > 5 else "")
    numbers = f"{corpus.name}: {len(silent)} of {len(entries)} videos have no audio file ({names})"
    if policy == "error":
        raise CorpusNotFoundError(
            f"{numbers}; first looked for: {place(silent[0].video)}. {remedy}, or set missing_audio: silence (keep "
            "them, silent) or skip (leave them out)"
        )
    log.warning("%s; %s", numbers, "left out" if policy == "skip" else "kept as silent videos")
    # an empty corpus would fail much later, as an empty loader
    kept = [entry for entry in entries if entry.wave is not None] if policy == "skip" else list(entries)
    if not kept:
        raise InputError(
            f"{corpus.name}: none of {len(entries)} listed videos has audio and missing_audio is 'skip'; use "
            "missing_audio: silence to keep them"
        )
    return kept
