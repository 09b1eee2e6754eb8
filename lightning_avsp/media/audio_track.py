"""Audio of files and videos: decoded with soundfile or PyAV, on the clock of the video's frames."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_avsp.errors import InputError
from lightning_avsp.media.audio import CONTEXT_S, PartResampler, Wave, to_mono
from lightning_avsp.media.random_access import VIDEO_SUFFIXES, video_info
from lightning_avsp.media.video import VideoInfo, check_rate, decode_stream, open_video, pyav

GAP_SECONDS = 0.05
"""Gaps in the timestamps longer than this are filled with silence; shorter ones are rounding."""
LONGEST_GAP = 3600.0
"""Longer gaps in the timestamps of audio, in seconds, are damage."""


def load_audio(source: Path | VideoInfo) -> tuple[Tensor, int]:
    """Load audio as float32 (C, N) in [-1, 1], with its sample rate in Hz.

    Args:
        source: Audio file, or a video, whose audio is laid on the clock of its frames: sample 0 is played when the
            first frame is shown.

    Raises:
        InputError: If the file is missing, empty, damaged or without audio; the message names it.
    """
    import soundfile

    if not isinstance(source, VideoInfo) and source.suffix.lower() not in VIDEO_SUFFIXES:
        try:
            samples, own = soundfile.read(source, dtype="float32", always_2d=True)  # (N, C)
        except (soundfile.SoundFileError, OSError) as error:
            state = f"{source.stat().st_size} bytes" if source.exists() else "missing"
            raise InputError(
                f"{source} ({state}) cannot be read as audio: {error}; replace this file"
            ) from error
        except (ValueError, MemoryError) as error:  # a header that claims absurd numbers
            raise InputError(f"{source} cannot be read as audio: {error}; replace this file") from error
        if samples.shape[0] == 0:
            raise InputError(
                f"{source} holds no sample; replace it, or remove it and set missing_audio: silence"
            )
        check_rate(source, own)
        track = torch.from_numpy(samples.T.copy())  # (C, N)
        _check_finite(source, track, own)
        return track, int(own)
    info = source if isinstance(source, VideoInfo) else video_info(source)
    if info.audio is None:
        raise InputError(f"{info.path} has no audio; set missing_audio: silence or skip")
    with _named_damage(info):
        track, own, _ = read_audio(info, align=True)
    if track.shape[1] == 0:
        raise InputError(
            f"{info.path}: its audio ends before the first frame; set missing_audio: silence or skip"
        )
    return track, own


class AudioStream:
    """Audio of a video as one channel on the clock of its frames, of which only the part around a clip is in memory.

    Args:
        info: A video with audio.
        rate: Sample rate in Hz to resample to; that of the track if None.
    """

    def __init__(self, info: VideoInfo, rate: int | None = None) -> None:
        assert info.audio is not None
        self._blocks = audio_blocks(info, mono=True, rate=rate, align=True)
        self._wave = Wave(torch.zeros(0), rate or info.audio.rate)

    def around(self, start_s: float, stop_s: float) -> Wave:
        """Return the audio from 10 s before a span to 10 s after it; spans must come in order.

        Raises:
            InputError: If it cannot be decoded.
        """
        wave = self._wave
        first = math.floor((start_s - CONTEXT_S) * wave.rate)
        last = math.ceil((stop_s + CONTEXT_S) * wave.rate)
        parts, end = [wave.samples], wave.first + wave.samples.numel()
        while end < last and (found := next(self._blocks, None)) is not None:
            parts.append(found[1][0])
            end += parts[-1].numel()
        drop = min(max(0, first - wave.first), end - wave.first)
        # a copy, as the slice alone would keep everything before it
        self._wave = Wave(torch.cat(parts)[drop:].clone(), wave.rate, wave.first + drop)
        return self._wave


def check_audio(info: VideoInfo) -> None:
    """Decode the audio of a video once, if it has any, so that damage is not found after hours of work.

    Raises:
        InputError: If it cannot be decoded, or ends before the first frame.
    """
    with _named_damage(info):
        if info.audio and not sum(block.shape[-1] for _, block in audio_blocks(info, mono=True, align=True)):
            raise InputError(f"{info.path}: its audio ends before the first frame; predict with --modality v")


@contextmanager
def _named_damage(info: VideoInfo) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        if error.__cause__ is None:
            raise
        raise InputError(
            f"{info.path}: its audio cannot be decoded ({error.__cause__}); replace it, or predict with "
            "--allow_truncated or --modality v"
        ) from error


def decode_audio(info: VideoInfo) -> Iterator[Any]:
    """Decode every block of audio, an ``av.AudioFrame`` in the container's clock; none without audio.

    A track may change its layout, format or rate on the way; every block has those of its first.

    Raises:
        InputError: If a packet cannot be decoded and the video was not opened with ``allow_truncated``.
    """
    if info.audio is None:
        return
    done = 0.0

    def damage() -> str:
        return f"its audio cannot be decoded after {done:.1f} s"

    wanted: tuple[str, str, int] | None = None
    # one for each kind: a resampler keeps what it has not yet given out
    convert: dict[tuple[str, str, int], Any] = {}
    for block in decode_stream(info, info.audio.index, damage):
        kind = (block.format.name, block.layout.name, block.sample_rate)
        wanted = wanted or kind
        if kind[0][:3] in ("flt", "dbl"):  # encoders and networks choke on what is no number
            start = float((block.pts or 0) * block.time_base - info.start)
            samples = torch.from_numpy(block.to_ndarray())  # (C, n); packed: (1, n C)
            samples = samples if block.format.is_planar else samples.reshape(-1, block.layout.nb_channels).T
            _check_finite(info.path, samples, block.sample_rate, start)
        done += block.samples / block.sample_rate
        if kind == wanted:
            yield block
            continue
        if kind not in convert:
            convert[kind] = pyav().AudioResampler(format=wanted[0], layout=wanted[1], rate=wanted[2])
        yield from _convert(info, convert[kind], block)


def read_audio(
    source: VideoInfo | Path | str, mono: bool = False, rate: int | None = None, align: bool = False
) -> tuple[Tensor, int, float]:
    """Read the whole audio of a video.

    Args:
        source: A path, or the result of :func:`open_video`.
        mono: See :func:`audio_blocks`, as the next two.
        rate: Sample rate to resample to.
        align: Begin with the first frame.

    Returns:
        Samples in [-1, 1], float32 (C, N), samples per second, and the time of the first sample in seconds after the
        first frame.

    Raises:
        InputError: As :func:`audio_blocks`.
    """
    info = source if isinstance(source, VideoInfo) else open_video(source)
    offsets, blocks = zip(*audio_blocks(info, mono, rate, align), strict=True)
    assert info.audio is not None
    return torch.cat(blocks, dim=-1), rate or info.audio.rate, offsets[0]


def audio_blocks(
    info: VideoInfo, mono: bool = False, rate: int | None = None, align: bool = False
) -> Iterator[tuple[float, Tensor]]:
    """Decode the audio of a video block by block.

    Args:
        info: The video.
        mono: Mix each block down to one channel.
        rate: Sample rate to resample to, part by part, so that the memory for the track's own rate is never needed;
            the track's own if None.
        align: Let sample 0 be played when the first frame is shown: silence before a late track, an early one cut.

    Yields:
        Time of the track's first sample in seconds after the first frame, always the same, and samples in [-1, 1],
        float32 (C, n), of which the first are empty. Gaps in the timestamps are silence.

    Raises:
        InputError: If the video has no audio, it cannot be decoded, holds values that are not finite, or its
            timestamps leave absurd gaps.
    """
    if info.audio is None:
        raise InputError(f"{info.path} has no audio")
    own = info.audio.rate
    convert = pyav().AudioResampler(format="fltp", layout=info.audio.layout, rate=own)
    resampler = PartResampler(own, rate or own)
    offset, length, early = 0.0, 0, 0

    def feed(block: Tensor | None) -> Iterator[tuple[float, Tensor]]:
        return ((offset, found) for found in resampler.feed(block))

    start = float(info.audio.start - info.start)  # of the next block, in seconds after the first frame
    for frame in decode_audio(info):
        if frame.pts is not None:
            start = float(frame.pts * frame.time_base - info.start)
        for converted in _convert(info, convert, frame):
            block = torch.from_numpy(converted.to_ndarray())
            block = to_mono(block)[None] if mono else block
            if not length:
                offset = start
                yield offset, block[..., :0]
                late = round(offset * own) if align else 0  # samples; below 0 where audio begins first
                early = max(0, -late)
                if late > 0:
                    yield from feed(block.new_zeros((*block.shape[:-1], late)))
            gap = round((start - offset) * own) - length
            if gap > LONGEST_GAP * own:
                raise InputError(
                    f"{info.path}: the timestamps of its audio jump by {gap / own:,.0f} s at {length / own:.1f} s; "
                    "re-encode it"
                )
            if gap > GAP_SECONDS * own:
                length += gap
                yield from feed(block.new_zeros((*block.shape[:-1], max(0, gap - early))))
                early = max(0, early - gap)
            length += block.shape[-1]
            start += block.shape[-1] / own
            yield from feed(block[..., early:])
            early = max(0, early - block.shape[-1])
    yield from feed(None)
    if not length:
        raise InputError(f"{info.path}: its audio holds no samples")


def _convert(info: VideoInfo, resampler: Any, block: Any) -> list[Any]:
    """Convert a block of audio, to which damage may have given properties that cannot be."""
    try:
        converted: list[Any] = resampler.resample(block)
    except (pyav().error.FFmpegError, ValueError) as error:
        raise InputError(
            f"{info.path}: a block of its audio cannot be converted ({error}); re-encode it"
        ) from error
    return converted


def _check_finite(path: Path, samples: Tensor, rate: int, start: float = 0.0) -> None:
    """Refuse NaN and infinite samples (C, N), naming the time of the first."""
    # one number to look at: the sum of finite float32 audio is finite
    if not bool(torch.isfinite(samples.sum())):
        bad = (~torch.isfinite(samples)).any(dim=0)
        first = start + int(bad.int().argmax()) / rate
        raise InputError(
            f"{path}: {int(bad.sum())} of its audio samples are NaN or infinite, the first at {first:.3f} s; write it "
            "again"
        )
