"""Audio as one channel at one rate, and as log-mel slices of a clip.

The front end is that of VGGish (Hershey et al., ICASSP 2017): 16 kHz mono, periodic Hann window of 25 ms
every 10 ms, magnitude of a 512-point FFT, 64 mel bands (HTK scale, 125 to 7500 Hz, triangles linear in mel,
no weight on the DC bin), log(x + 0.01). A slice is 64 such frames, 0.64 s: time is its height, mel its width
(DiffSal, section 4.1).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_avsp.errors import InputError
from lightning_avsp.structures import AudioForm

CONTEXT_S = 10.0
"""Audio kept around a clip, in seconds, where the whole is not in memory; slices reach 0.3 s beyond a clip."""


@dataclass(frozen=True)
class AudioInput(ABC):
    """Conversion of a clip's audio to a network's input: ``prepare`` once per video, ``cut`` once per clip."""

    form: ClassVar[AudioForm]
    """Form of the result."""

    @property
    @abstractmethod
    def target_rate(self) -> int | None:
        """Sample rate that audio is resampled to, in Hz; None keeps the file's own."""

    def prepare(self, samples: Tensor, rate: int) -> Wave:
        """Mix (C, N) samples down to one channel, at the rate that :meth:`cut` needs."""
        wanted = self.target_rate or rate
        return Wave(resample(to_mono(samples), rate, wanted), wanted)

    def check_cut(self, wave: Wave, start_s: float, stop_s: float) -> None:
        """Refuse a clip without length, and audio that was not prepared.

        Raises:
            InputError: With both numbers.
        """
        if stop_s <= start_s:
            raise InputError(f"a clip must end after it starts, got {start_s} s to {stop_s} s")
        if self.target_rate not in (None, wave.rate):
            raise InputError(
                f"the audio has {wave.rate} Hz, the {self.form} input {self.target_rate} Hz; call prepare once per "
                "video"
            )

    @abstractmethod
    def cut(self, wave: Wave, start_s: float, stop_s: float, frames: int) -> Tensor:
        """Cut the input of a clip of ``frames`` frames, ``start_s`` to ``stop_s`` seconds from the first sample."""

    @abstractmethod
    def silence(self, start_s: float, stop_s: float, frames: int) -> Tensor:
        """Return the input of a silent clip, of the shape of :meth:`cut`."""


@dataclass(frozen=True)
class LogMel(AudioInput):
    """Settings of the log-mel slices of a clip; the defaults are DiffSal's, aligned to the clip."""

    form: ClassVar[AudioForm] = "log_mel"

    sample_rate: int = 16_000
    """Rate that audio is resampled to before the transform, in Hz."""
    window_s: float = 0.025
    """Length of the analysis window, in seconds."""
    hop_s: float = 0.010
    """Time between windows, in seconds."""
    n_mels: int = 64
    """Mel bands."""
    low_hz: float = 125.0
    """Lower edge of the lowest band."""
    high_hz: float = 7500.0
    """Upper edge of the highest band."""
    log_offset: float = 0.01
    """Added before the logarithm; silence is ``log(log_offset)``."""
    slices: int = 9
    """Slices of a clip (S)."""
    slice_hop_s: float | None = None
    """Seconds from one slice to the next, around the middle of the clip; None spreads them evenly over the clip. Only
    for alignment ``clip`` (MUBiC prints 0.021, DiffSal 0.011)."""
    slice_frames: int = 64
    """Analysis windows of a slice."""
    size: tuple[int, int] = (112, 192)
    """(time, mel) size that each slice is resized to, bilinear (Ha, Wa)."""
    alignment: Literal["clip", "released"] = "clip"
    """``clip``: slice k is centred on the middle of the k-th part of the clip, with the real audio around it,
    for every sample rate alike. ``released``: what DiffSal's published code computes, see
    :func:`released_examples`."""
    released_buffer: int = 35_280
    """Samples of the released zero buffer, at the file's own rate: 22050 Hz / 10 frames per second x 16
    frames."""
    released_hop: int = 11
    """Analysis windows from one released slice to the next."""

    def __post_init__(self) -> None:
        """Check what types cannot."""
        if not 0 < self.low_hz < self.high_hz <= self.sample_rate / 2:
            raise InputError(
                f"mel bands must lie inside 0 .. sample_rate / 2 = {self.sample_rate / 2} Hz, got "
                f"low_hz={self.low_hz}, high_hz={self.high_hz}"
            )
        if min(self.slices, self.slice_frames, self.n_mels, self.window, self.hop, *self.size) < 1:
            raise InputError(f"slices, windows and sizes must be at least 1, got {self}")
        if self.slice_hop_s is not None and (self.slice_hop_s <= 0 or self.alignment == "released"):
            raise InputError(
                f"slice_hop_s={self.slice_hop_s} with alignment={self.alignment}: it must be positive, and the "
                "released alignment has a hop of its own (released_hop)"
            )

    @property
    def window(self) -> int:
        """Analysis window in samples."""
        return round(self.window_s * self.sample_rate)

    @property
    def hop(self) -> int:
        """Hop in samples."""
        return round(self.hop_s * self.sample_rate)

    @property
    def n_fft(self) -> int:
        """Points of the transform: the next power of two."""
        return 1 << (self.window - 1).bit_length()

    @property
    def slice_samples(self) -> int:
        """Samples under the windows of one slice: 63 hops and a window, 10480."""
        return (self.slice_frames - 1) * self.hop + self.window

    @property
    def target_rate(self) -> int | None:
        """Sample rate in Hz; None for the ``released`` alignment, which cuts at the file's own rate."""
        return None if self.alignment == "released" else self.sample_rate

    def cut(self, wave: Wave, start_s: float, stop_s: float, frames: int = 0) -> Tensor:
        """Compute the log-mel slices of a clip.

        Args:
            wave: Result of :meth:`prepare`.
            start_s: Start of the clip in seconds from the start of the audio; may lie before it.
            stop_s: End of the clip; may lie after the audio.
            frames: Frames of the clip; without effect.

        Returns:
            float32 (1, S, Ha, Wa), natural logarithm of mel magnitudes.

        Raises:
            InputError: If the wave has another rate than the ``clip`` alignment needs, or the clip is empty.
        """
        self.check_cut(wave, start_s, stop_s)
        if self.alignment == "released":
            before = wave.first / wave.rate
            start_s, stop_s = start_s - before, stop_s - before
            examples = released_examples(wave.samples, start_s, stop_s, self, wave.rate)  # (n, 64, mel)
            return self._resize(force_count(examples, self.slices))
        rate = self.sample_rate
        if self.slice_hop_s is None:
            part_s = (stop_s - start_s) / self.slices
            # the middle of each part: slices hang over both ends of the clip alike
            centres = [start_s + (index + 0.5) * part_s for index in range(self.slices)]
        else:
            first_s = (start_s + stop_s) / 2 - (self.slices - 1) / 2 * self.slice_hop_s
            centres = [first_s + index * self.slice_hop_s for index in range(self.slices)]
        starts = [round(centre * rate) - self.slice_samples // 2 for centre in centres]
        excerpts = torch.stack([wave.excerpt(s, s + self.slice_samples) for s in starts])  # (S, N)
        return self._resize(log_mel(excerpts, self))

    def silence(self, start_s: float = 0, stop_s: float = 0, frames: int = 0) -> Tensor:
        """Return the slices of silence, (1, S, Ha, Wa): everywhere ``log(log_offset)``."""
        return torch.full((1, self.slices, *self.size), math.log(self.log_offset))

    def _resize(self, slices: Tensor) -> Tensor:
        """(S, time, mel) to (1, S, Ha, Wa)."""
        return F.interpolate(slices[None], size=self.size, mode="bilinear", align_corners=False)


@dataclass(frozen=True)
class Wave:
    """One channel of audio."""

    samples: Tensor
    """float32 (N,), in [-1, 1]."""
    rate: int
    """Samples per second."""
    first: int = 0
    """Number of ``samples[0]`` where earlier ones were dropped; times still count from sample 0."""

    @property
    def seconds(self) -> float:
        """Time of its end."""
        return (self.first + self.samples.numel()) / self.rate

    def excerpt(self, start: int, stop: int) -> Tensor:
        """Cut samples ``start .. stop - 1``, zeros where there are none."""
        have, wanted = self.samples.numel(), stop - start
        start, stop = start - self.first, stop - self.first
        inside = self.samples[max(0, min(start, have)) : max(0, min(stop, have))]
        left = min(max(0, -start), wanted)
        return F.pad(inside, (left, wanted - left - inside.numel()))


def to_mono(wave: Tensor) -> Tensor:
    """Average all channels, (C, N) to (N,): mono, stereo and 5.1 alike (all six weigh the same)."""
    return wave.mean(dim=0)


def resample(wave: Tensor, rate: int, new_rate: int) -> Tensor:
    """Resample audio (..., N) by windowed-sinc interpolation."""
    if rate == new_rate:
        return wave
    # not at the top: torchaudio is slow to import, and audio of the right rate needs none of it
    from torchaudio.functional import resample as resample_sinc

    return resample_sinc(wave, rate, new_rate)


class PartResampler:
    """Resampler of one track that comes block by block, in parts that share their edges.

    A track of one part, and any that keeps its rate, gives exactly the samples of :func:`resample`; in longer ones
    the same sums are taken in parts.

    Args:
        rate: Samples per second of the track.
        new_rate: Those of the result.
        part: Samples of a part (2 ** 21: 44 s at 48 kHz).
    """

    def __init__(self, rate: int, new_rate: int, part: int = 1 << 21) -> None:
        self.rate, self.new_rate = rate, new_rate
        common = math.gcd(rate, new_rate)
        self.step = rate // common  # input samples after which the phases of input and output meet again
        self.new_step = new_rate // common
        # The filter reaches 6 zero crossings (torchaudio's default) of the lower of both rates to either side.
        self.edge = (math.ceil(8 * rate / min(rate, new_rate)) // self.step + 2) * self.step
        self.part = max(part // self.step, 4 * self.edge // self.step) * self.step
        self.waiting: list[Tensor] = []
        self.length = 0
        self.started = False

    def feed(self, block: Tensor | None) -> list[Tensor]:
        """Take a block (C, n), or None for the end; return what is finished by it, each (C, m)."""
        if self.rate == self.new_rate:
            return [] if block is None else [block]
        if block is not None:
            self.waiting.append(block)
            self.length += block.shape[-1]
            if self.length < self.part + 2 * self.edge:
                return []
        if not self.waiting:
            return []
        wave = torch.cat(self.waiting, dim=-1)
        found = resample(wave, self.rate, self.new_rate)
        first = self.edge // self.step * self.new_step if self.started else 0
        if block is None:
            self.waiting, self.length = [], 0
            return [found[..., first:]]
        whole = (self.length - self.edge) // self.step  # steps whose filter has all of its samples
        # the filter needs what lies before the next part too
        self.waiting = [wave[..., whole * self.step - self.edge :]]
        self.length = self.waiting[0].shape[-1]
        self.started = True
        return [found[..., first : whole * self.new_step]]


def released_examples(wave: Tensor, start_s: float, stop_s: float, config: LogMel, rate: int) -> Tensor:
    """Cut examples as DiffSal's published code does, before nine are taken and resized: (n, 64, n_mels).

    The excerpt of the clip is put into the middle of a zero buffer of 35280 samples at the file's own rate,
    the buffer is resampled and cut into examples every 110 ms. So the number of genuine examples depends on
    the rate of the file (16 kHz: 15, 22.05: 9, 32: 5, 44.1: 2, 48: 1); it is then forced to nine
    (:func:`force_count`).

    Raises:
        InputError: If the excerpt does not fit into the buffer.
    """
    # Rounded first: 40.00000001 and 39.99999999 are the same instant.
    start = max(0, int(round(start_s * rate, 6)))
    stop = min(wave.numel(), int(round(stop_s * rate, 6)) + 1)
    excerpt = wave[start : max(start, stop)]
    room = config.released_buffer - excerpt.numel()
    if room < 0:
        raise InputError(
            f"a clip of {excerpt.numel()} samples at {rate} Hz does not fit into the released buffer of "
            f"{config.released_buffer}; use alignment: clip, or resample the audio to 22050 Hz"
        )
    buffer = F.pad(excerpt, (room // 2, room - room // 2))
    spectrum = log_mel(resample(buffer, rate, config.sample_rate)[None], config)[0]  # (windows, mel)
    if spectrum.shape[0] < config.slice_frames:
        raise InputError(
            f"a buffer of {config.released_buffer} samples at {rate} Hz is shorter than one slice of "
            f"{config.slice_frames} windows; use alignment: clip"
        )
    return spectrum.unfold(0, config.slice_frames, config.released_hop).transpose(1, 2)  # (n, 64, mel)


def force_count(examples: Tensor, count: int) -> Tensor:
    """Select exactly ``count`` examples of (n, ...), as DiffSal's published code does: (count, ...).

    The first ones if there are more; else each is repeated in place ``count // n`` times and the first
    ``count % n`` of that list are appended.
    """
    have = examples.shape[0]
    if have >= count:
        return examples[:count]
    repeated = examples.repeat_interleave(count // have, dim=0)
    return torch.cat([repeated, repeated[: count % have]])


def log_mel(wave: Tensor, config: LogMel) -> Tensor:
    """Compute the log-mel spectrum (..., windows, mel) of audio (..., N).

    Nothing is padded, so there are ``1 + (N - window) // hop`` windows.
    """
    frames = wave.unfold(-1, config.window, config.hop)  # (..., windows, window)
    hann = torch.hann_window(config.window, periodic=True)
    spectrum = torch.fft.rfft(frames * hann, n=config.n_fft)  # (..., windows, bins)
    magnitude = (spectrum.real.square() + spectrum.imag.square()).sqrt()  # a third of the time of abs()
    bands = mel_matrix(config.n_fft, config.sample_rate, config.n_mels, config.low_hz, config.high_hz)
    return torch.log(magnitude @ bands + config.log_offset)


# the same for every clip of a run
@lru_cache(maxsize=8)
def mel_matrix(n_fft: int, sample_rate: int, n_mels: int, low_hz: float, high_hz: float) -> Tensor:
    """Return the weights from FFT bins to mel bands, float32 (n_fft // 2 + 1, n_mels).

    HTK: mel = 1127 ln(1 + f / 700); each band is a triangle over the mel axis from the centre of the band
    below to that of the band above; the DC bin weighs nothing.
    """
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    bins_mel = 1127.0 * torch.log1p(bins / 700.0)
    low, high = (1127.0 * math.log1p(hertz / 700.0) for hertz in (low_hz, high_hz))
    edges = torch.linspace(low, high, n_mels + 2, dtype=torch.float64)
    rising = (bins_mel[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins_mel[:, None]) / (edges[2:] - edges[1:-1])
    weights = torch.minimum(rising, falling).clamp(min=0.0)
    # as in VGGish's front end
    weights[0] = 0.0
    return weights.float()
