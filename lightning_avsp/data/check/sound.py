"""One sound file: readable, how long, at which rate, silent or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

#: Below this share of full scale everywhere, a track counts as silent (-80 dB; one step of 8-bit sound is 7.8e-3).
SILENCE = 1e-4
_BLOCK = 1 << 18


@dataclass(frozen=True)
class SoundState:
    """What was found of a sound file."""

    seconds: float = 0.0
    rate: int = 0
    channels: int = 0
    silent: bool | None = None
    """None if nobody listened."""
    problem: str = ""
    """Why it cannot be used; empty where it can."""


def inspect_sound(path: Path, listen: bool = True) -> SoundState:
    """State of a sound file; never raises for what the file holds.

    Args:
        path: Anything that libsndfile reads.
        listen: Whether to look for a sample that is not silence; stops at the first.
    """
    import soundfile

    try:
        if path.stat().st_size == 0:
            return SoundState(problem="0 bytes")
        with soundfile.SoundFile(path) as file:
            rate, channels, frames = int(file.samplerate), int(file.channels), int(file.frames)
            if frames == 0:
                return SoundState(rate=rate, channels=channels, problem="it holds no sample")
            silent = all(_is_silent(block) for block in file.blocks(_BLOCK)) if listen else None
    except (soundfile.SoundFileError, OSError) as error:
        return SoundState(problem=f"cannot be read as sound: {error}")
    return SoundState(frames / rate, rate, channels, silent)


def _is_silent(block: np.ndarray) -> bool:
    return block.size == 0 or bool(np.abs(block).max() < SILENCE)
