"""Audio of files and videos: decoded with soundfile or PyAV, on the clock of the video's frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_avsp.errors import InputError
from lightning_avsp.media.audio import to_mono
from lightning_avsp.media.video import VideoInfo, decode_stream, open_video, pyav
from lightning_avsp.media.video_index import VIDEO_SUFFIXES, video_info

GAP_SECONDS = 0.05
"""Gaps in the timestamps longer than this are filled with silence; shorter ones are rounding."""


def load_audio(source: Path | VideoInfo, mono: bool = False) -> tuple[Tensor, int]:
    """Load audio as float32 (C, N) in [-1, 1], with its sample rate in Hz.

    Args:
        source: Audio file, or a video, whose audio is laid on the clock of its frames: sample 0 is played when the
            first frame is shown.
        mono: Mix the channels of a video's audio down to one, (1, N), as it is decoded, so that the memory for all
            channels of a long video is never needed.

    Raises:
        InputError: If the file is missing, empty, damaged or without audio; the message names it.
    """
    import soundfile

    if not isinstance(source, VideoInfo) and source.suffix.lower() not in VIDEO_SUFFIXES:
        try:
            samples, rate = soundfile.read(source, dtype="float32", always_2d=True)  # (N, C)
        except (soundfile.SoundFileError, OSError) as error:
            state = f"{source.stat().st_size} bytes" if source.exists() else "missing"
            raise InputError(
                f"{source} ({state}) cannot be read as audio: {error}; replace this file"
            ) from error
        if samples.shape[0] == 0:
            raise InputError(
                f"{source} holds no sample; replace it, or remove it and set missing_audio: silence"
            )
        return torch.from_numpy(samples.T.copy()), int(rate)  # (C, N)
    info = source if isinstance(source, VideoInfo) else video_info(source)
    if info.audio is None:
        raise InputError(f"{info.path} has no audio; set missing_audio: silence or skip")
    try:
        track, rate, offset_s = read_audio(info, (lambda block: to_mono(block)[None]) if mono else None)
    except InputError as error:
        raise InputError(
            f"{info.path}: its audio cannot be decoded ({error.__cause__ or error}); replace it"
        ) from error
    late = round(offset_s * rate)  # samples by which audio begins after the first frame; negative: before
    aligned = F.pad(track, (late, 0)) if late > 0 else track[:, -late:]
    if aligned.shape[1] == 0:
        raise InputError(
            f"{info.path}: its audio ends before the first frame; set missing_audio: silence or skip"
        )
    return aligned, rate


def decode_audio(info: VideoInfo) -> Iterator[Any]:
    """Decode every block of audio, an ``av.AudioFrame`` in the container's clock; none without audio.

    Raises:
        InputError: If a packet cannot be decoded and the video was not opened with ``allow_truncated``.
    """
    if info.audio is None:
        return
    done = 0.0

    def damage() -> str:
        return f"its audio cannot be decoded after {done:.1f} s"

    for block in decode_stream(info, info.audio.index, damage):
        done += block.samples / block.sample_rate
        yield block


def read_audio(
    source: VideoInfo | Path | str, reduce: Callable[[Tensor], Tensor] | None = None
) -> tuple[Tensor, int, float]:
    """Read the whole audio of a video.

    Args:
        source: A path, or the result of :func:`open_video`.
        reduce: Applied to each block (C, n) as it is decoded, e.g. a down-mix to one channel (1, n).

    Returns:
        Samples in [-1, 1], float32 (C, N) (or the result of ``reduce``), samples per second, and the time of the first
        sample in seconds after the first frame. Gaps in the timestamps are silence.

    Raises:
        InputError: If the video has no audio, or it cannot be decoded.
    """
    info = source if isinstance(source, VideoInfo) else open_video(source)
    if info.audio is None:
        raise InputError(f"{info.path} has no audio")
    convert = pyav().AudioResampler(format="fltp", layout=info.audio.layout, rate=info.audio.rate)
    blocks: list[Tensor] = []
    rate, offset, length = info.audio.rate, 0.0, 0
    start = float(info.audio.start - info.start)  # of the next block, in seconds after the first frame
    for frame in decode_audio(info):
        if frame.pts is not None:
            start = float(frame.pts * frame.time_base - info.start)
        for converted in convert.resample(frame):
            block = torch.from_numpy(converted.to_ndarray())
            block = block if reduce is None else reduce(block)
            if not blocks:
                offset = start
            gap = round((start - offset) * rate) - length
            if gap > GAP_SECONDS * rate:
                blocks.append(block.new_zeros((*block.shape[:-1], gap)))
                length += gap
            blocks.append(block)
            length += block.shape[-1]
            start += block.shape[-1] / rate
    if not blocks:
        raise InputError(f"{info.path}: its audio holds no samples")
    return torch.cat(blocks, dim=-1), rate, offset
