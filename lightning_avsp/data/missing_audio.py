"""Policy for videos without audio: chosen, counted and logged."""

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
    kept = [entry for entry in entries if entry.wave is not None] if policy == "skip" else list(entries)
    if not kept:
        raise InputError(
            f"{corpus.name}: none of {len(entries)} listed videos has audio and missing_audio is 'skip'; use "
            "missing_audio: silence to keep them"
        )
    return kept
