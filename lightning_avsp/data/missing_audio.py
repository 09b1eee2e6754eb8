"""What becomes of videos without sound: a policy that is chosen, counted and logged, never silent."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from lightning_avsp.data.catalogue import Corpus
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.errors import CorpusNotFoundError, InputError

log = logging.getLogger(__name__)

MissingAudio = Literal["error", "silence", "skip"]
"""What to do with a video whose sound file is absent: stop, keep it as silent, or leave it out. Never
silently."""


def apply_policy(
    corpus: Corpus,
    entries: Sequence[VideoEntry],
    policy: MissingAudio,
    place: Callable[[str], Path],
    remedy: str,
) -> list[VideoEntry]:
    """The entries that a policy keeps. A corpus that has no sound by nature keeps all, whatever the policy.

    Args:
        corpus: Whose videos they are.
        entries: All that were read; ``wave`` is None where there is no sound.
        policy: What to do with those.
        place: Where the sound of a video was looked for.
        remedy: How to get it, for the message.

    Raises:
        CorpusNotFoundError: Under ``error``, if a sound is missing.
        InputError: If nothing is left.
    """
    silent = [entry for entry in entries if entry.wave is None]
    if not silent:
        return list(entries)
    if not corpus.has_sound:
        log.info("%s has no sound: all %d videos are silent", corpus.name, len(entries))
        return list(entries)
    names = ", ".join(entry.video for entry in silent[:5]) + (", ..." if len(silent) > 5 else "")
    numbers = f"{corpus.name}: {len(silent)} of {len(entries)} videos have no sound file ({names})"
    if policy == "error":
        raise CorpusNotFoundError(
            f"{numbers}; first looked for: {place(silent[0].video)}. {remedy}, or set missing_audio: silence (keep "
            "them, silent) or skip (leave them out)"
        )
    log.warning("%s; %s", numbers, "left out" if policy == "skip" else "kept as silent videos")
    kept = [entry for entry in entries if entry.wave is not None] if policy == "skip" else list(entries)
    if not kept:
        raise InputError(
            f"{corpus.name}: none of {len(entries)} listed videos has sound and missing_audio is 'skip'; use "
            "missing_audio: silence to keep them"
        )
    return kept
