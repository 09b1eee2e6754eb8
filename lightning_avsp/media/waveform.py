"""Audio as a waveform: the windowed excerpt of a clip in a buffer of fixed length, as SoundNet reads it.

The front end is that of STAViS (Tsiami et al., CVPR 2020), which TAVDiff and AVRSP share: the excerpt from the start
of the clip's first frame to the end of its last, times a Hann window, in the middle of a buffer of zeros that is long
enough for the slowest video (22050 Hz / 10 frames per second samples for each frame).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_avsp.errors import InputError
from lightning_avsp.media.audio import AudioInput, Wave
from lightning_avsp.structures import AudioForm


@dataclass(frozen=True)
class Waveform(AudioInput):
    """Settings of a clip's waveform; the defaults are those of STAViS."""

    form: ClassVar[AudioForm] = "waveform"

    rate: int = 22_050
    """Rate that audio is resampled to, in Hz."""
    scale: float = 256.0
    """Factor on samples in [-1, 1]: SoundNet was trained on [-256, 256], in which [-1, 1] is silence."""
    hann: Literal["clip", "frame", "none"] = "clip"
    """Hann window over the whole excerpt, over the audio of each frame separately, or none."""
    pad_to: Literal["fixed", "none"] = "fixed"
    """``fixed``: a buffer of ``rate / min_fps`` samples for each frame of the clip, whatever the video's rate;
    ``none``: the excerpt as it is, whose length depends on the video's frame rate."""
    min_fps: float = 10.0
    """Slowest video that the fixed buffer holds, in frames per second."""

    def __post_init__(self) -> None:
        """Check what types cannot."""
        if self.rate < 1 or self.min_fps <= 0:
            raise InputError(
                f"rate and min_fps must be positive, got rate={self.rate}, min_fps={self.min_fps}"
            )

    @property
    def target_rate(self) -> int:
        """Sample rate in Hz."""
        return self.rate

    def samples(self, frames: int) -> int:
        """Return the length of the fixed buffer for a clip of so many frames: 35280 for 16, 70560 for 32."""
        return round(self.rate / self.min_fps * frames)

    def cut(self, wave: Wave, start_s: float, stop_s: float, frames: int) -> Tensor:
        """Cut the waveform of a clip.

        Args:
            wave: Result of :meth:`prepare`.
            start_s: Start of the clip in seconds from the start of the audio; may lie before it.
            stop_s: End of the clip; may lie after the audio.
            frames: Frames of the clip.

        Returns:
            float32 (1, N), N of :meth:`samples` where the buffer is fixed.

        Raises:
            InputError: If the audio has another rate, the clip is empty, or it does not fit into the buffer.
        """
        self.check_cut(wave, start_s, stop_s)
        start = round(start_s * self.rate)
        count = round((stop_s - start_s) * self.rate)
        samples = wave.excerpt(start, start + count) * self._window(count, frames) * self.scale
        if self.pad_to == "none":
            return samples[None]
        room = self.samples(frames) - count
        if room < 0:
            raise InputError(
                f"a clip of {frames} frames lasts {stop_s - start_s:.2f} s, {count} samples, but the buffer holds "
                f"{self.samples(frames)} (min_fps={self.min_fps:g}); set data.audio.min_fps to the slowest video's "
                "rate, or data.audio.pad_to to none"
            )
        # in the middle, as STAViS puts it
        return F.pad(samples, (room // 2, room - room // 2))[None]

    def silence(self, start_s: float, stop_s: float, frames: int) -> Tensor:
        """Return the waveform of a clip without audio: zeros of the shape of :meth:`cut`."""
        fixed = self.pad_to == "fixed"
        return torch.zeros(1, self.samples(frames) if fixed else round((stop_s - start_s) * self.rate))

    def _window(self, count: int, frames: int) -> Tensor:
        """Return the weights of ``count`` samples; numpy's hanning, which is zero at both ends."""
        if self.hann == "none":
            return torch.ones(count)
        if self.hann == "clip":
            return torch.hann_window(count, periodic=False)
        # frames seldom last a whole number of samples
        edges = [round(index * count / frames) for index in range(frames + 1)]
        parts = [torch.hann_window(stop - start, periodic=False) for start, stop in pairwise(edges)]
        return torch.cat(parts)
