"""Rules by which clips are cut out of a video; no torch, so that what a training costs is counted without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lightning_avsp.errors import InputError, require_range


@dataclass(frozen=True)
class ClipPolicy:
    """Rules by which clips are cut out of a video."""

    frames: int = 16
    """Frames of a clip."""
    target: Literal["centre", "last"] = "centre"
    """Frame whose map is predicted: ``centre``, the 9th of 16 (DiffSal's released code), or ``last`` (causal)."""
    draw: Literal["segments", "random", "one_per_video", "every"] = "segments"
    """Training clips: one from each segment of 90 frames every 74 (STAViS, DiffSal); ``random`` starts, as many as
    clips fit into the video; one random start per video and epoch (ViNet, TASED-Net); or every window."""
    step: int = 1
    """Frames from one window to the next with ``draw: every``: 16 as the released DiffSal on DHF1K, 1 for all."""
    crop: Literal["random", "centre"] = "random"
    """Clip of a segment: a new one each epoch (STAViS), or always its centre (DiffSal as released)."""
    short_videos: Literal["edge", "front", "loop"] = "edge"
    """Training segments shorter than a clip: move the window back into the video and, if that is not enough, repeat
    the last frame behind it (``edge``) or the first before it (``front``, ViNet on short shots); or repeat the
    segment from its start and take the median frame (``loop``, as released)."""
    stride: int = 1
    """Frames of the video from one frame of a clip to the next; audio covers the whole stretch."""
    start_padding: Literal["edge", "reversed", "skip"] = "edge"
    """First frames of an evaluated video, whose window would start before it: repeat the first frame; read a window
    that starts at the frame backwards (``reversed``, AVRSP and ViNet; needs ``target: last``); or do not score them
    (``skip``, STAViS). Training windows lie inside the video."""
    reverse_audio: bool = False
    """Play the audio of a reversed window backwards too (ViNet), instead of forwards (AVRSP)."""

    def __post_init__(self) -> None:
        """Check combinations of settings."""
        require_range(1, frames=self.frames, stride=self.stride, step=self.step)
        if self.step > 1 and self.draw != "every":
            raise InputError(f"step={self.step} is the distance of windows with draw=every, not {self.draw}")
        # the released code takes the median frame of the repeated segment, and knows no stride
        if self.short_videos == "loop" and (self.target != "centre" or self.stride != 1):
            raise InputError(
                "short_videos='loop' needs target='centre' and stride=1, got "
                f"target={self.target!r}, stride={self.stride}; use short_videos='edge'"
            )
        if self.start_padding == "reversed" and self.target != "last":
            raise InputError(
                "start_padding='reversed' needs target='last': read backwards, a window around a centre frame would "
                "start before the video all the same; use 'edge' or 'skip' with target='centre'"
            )
        if self.reverse_audio and self.start_padding != "reversed":
            raise InputError(
                f"reverse_audio needs start_padding='reversed', got start_padding={self.start_padding!r}"
            )

    @property
    def target_index(self) -> int:
        """Index of the target inside a clip, from 0: ``frames // 2`` (8 of 16) or the last."""
        return self.frames // 2 if self.target == "centre" else self.frames - 1

    @property
    def covered(self) -> int:
        """Frames of the video from the first to the last of a clip: ``frames`` at stride 1."""
        return (self.frames - 1) * self.stride + 1

    @property
    def padded_frames(self) -> int:
        """First frames of a video whose window would start before it: 8 of 16 centred, 31 of 32 with the last."""
        return self.target_index * self.stride
