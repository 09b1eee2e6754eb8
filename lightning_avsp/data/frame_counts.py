"""Number of usable frames where list and folders disagree: the smallest, with a warning."""

from __future__ import annotations

import warnings
from collections.abc import Mapping


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
        warnings.warn(
            f"{video}: {says}the folders hold {found}; the first {usable} are used",
            FrameCountWarning,
            stacklevel=3,
        )
    return usable
