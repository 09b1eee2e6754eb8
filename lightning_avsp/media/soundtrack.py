"""Sound of a film, decoded with PyAV and laid on the clock of its picture."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_avsp.errors import InputError
from lightning_avsp.media.video import FilmInfo, open_container, open_film, pyav

log = logging.getLogger(__name__)

#: Holes in the sound's timestamps longer than this are filled with silence; shorter ones are rounding.
GAP_SECONDS = 0.05


def decode_sound(info: FilmInfo) -> Iterator[Any]:
    """Every block of sound as PyAV gives it, an ``av.AudioFrame`` in the container's clock.

    Raises:
        InputError: If a packet cannot be decoded and the film was not opened with ``allow_truncated``.
    """
    av = pyav()
    if info.sound is None:
        return
    with open_container(info.path) as container:
        packets = container.demux(container.streams[info.sound.index])
        done = 0.0
        while True:
            try:
                packet = next(packets, None)
                frames = [] if packet is None else packet.decode()
            except av.error.EOFError:
                return
            except av.error.FFmpegError as error:
                if not info.tolerant:
                    raise InputError(
                        f"{info.path} is damaged: its sound cannot be decoded after {done:.1f} s "
                        f"({error.strerror}); copy it again, or pass --allow_truncated to use the rest"
                    ) from error
                log.warning("%s: skipping sound that cannot be decoded after %.1f s", info.path, done)
                continue
            if packet is None:
                return
            for frame in frames:
                done += frame.samples / frame.sample_rate
                yield frame


def iterate_sound(info: FilmInfo) -> Iterator[tuple[float, np.ndarray]]:
    """Blocks of decoded sound at the track's own rate and layout.

    Yields:
        Time of the block's first sample in seconds after the film's first frame (negative where sound
        starts before the picture), and samples in [-1, 1], float32 (channels, n).

    Raises:
        InputError: As :func:`decode_sound`.
    """
    if info.sound is None:
        return
    convert = pyav().AudioResampler(format="fltp", layout=info.sound.layout, rate=info.sound.rate)
    start = float(info.sound.start - info.start)
    for frame in decode_sound(info):
        if frame.pts is not None:
            start = float(frame.pts * frame.time_base - info.start)
        for block in convert.resample(frame):
            samples = block.to_ndarray()
            yield start, samples
            start += samples.shape[1] / info.sound.rate


def read_sound(
    film: FilmInfo | Path | str, reduce: Callable[[Tensor], Tensor] | None = None
) -> tuple[Tensor, int, float]:
    """The whole sound track of a film.

    Args:
        film: A path, or what :func:`open_film` returned.
        reduce: Applied to each block (C, n) as it is decoded, e.g. a down-mix to one channel (1, n) or (n,),
            so that the memory for all channels of a long film is never needed.

    Returns:
        Samples in [-1, 1], float32 (C, N) (or what ``reduce`` makes of it), samples per second, and the time
        of the first sample in seconds after the film's first frame. Holes in the timestamps are silence.

    Raises:
        InputError: If the film has no sound, or it cannot be decoded.
    """
    info = film if isinstance(film, FilmInfo) else open_film(film)
    if info.sound is None:
        raise InputError(f"{info.path} has no sound track: use --modality v")
    blocks: list[Tensor] = []
    rate, offset, length = info.sound.rate, 0.0, 0
    for start, samples in iterate_sound(info):
        block = torch.from_numpy(samples)
        block = block if reduce is None else reduce(block)
        if not blocks:
            offset = start
        gap = round((start - offset) * rate) - length
        if gap > GAP_SECONDS * rate:
            blocks.append(block.new_zeros((*block.shape[:-1], gap)))
            length += gap
        blocks.append(block)
        length += block.shape[-1]
    if not blocks:
        raise InputError(f"{info.path}: its sound track holds no samples: use --modality v")
    return torch.cat(blocks, dim=-1), rate, offset
