"""Video files as sources of frames and maps: any frame by its number, without unpacking the file first.

Reading clips straight from video is slow (decoding starts at the key frame before) and some containers cannot be
read so at all; :mod:`lightning_avsp.data.cache` decodes each video once, in order, instead. Frames count from 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_avsp.errors import InputError
from lightning_avsp.media.random_access import Backend, PyAVReader, reader
from lightning_avsp.media.video import VideoInfo, set_upright, to_rgb
from lightning_avsp.media.video_index import check_seekable, decode_in_order, video_info


@dataclass(frozen=True)
class VideoFile:
    """A video file whose frames are read by number."""

    path: Path

    def name(self, number: int) -> str:
        """Name one frame, for messages."""
        return f"{self.path}, frame {number}"


@dataclass(frozen=True)
class VideoFrames(VideoFile):
    """Frames of a video file."""

    backend: Backend = "pyav"
    """Decoder for single clips; :meth:`in_order` always uses PyAV."""

    def read(self, numbers: Sequence[int], size: tuple[int, int]) -> np.ndarray:
        """Read frames, see :class:`~lightning_avsp.data.sources.FrameSource`.

        Raises:
            InputError: If the file is damaged, has no such frame, or cannot be read by number (.avi, .mpg).
            MissingDependencyError: If the decoder is not installed.
        """
        _check_numbers(self.path, numbers)
        wanted = sorted(set(numbers))  # forwards, so that one pass from a key frame serves a clip
        frames = np.stack(reader(self.path, self.backend, size).read([n - 1 for n in wanted], size))
        return frames if list(numbers) == wanted else frames[[wanted.index(number) for number in numbers]]

    def in_order(self, size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
        """Yield every frame from the first to the last, in any container that can be decoded.

        Raises:
            InputError: If the file is damaged; the message names file and frame.
        """
        for frame, info in decode_in_order(self.path):
            yield to_rgb(frame, info, size)


@dataclass(frozen=True)
class VideoMaps(VideoFile):
    """Saliency maps stored as a video: luma of any bit depth, brought to 0 .. 255.

    Single maps are found with PyAV, which is exact; luma of the limited range (16 .. 235 in 8 bit) is stretched
    to the full one as the stream says.
    """

    def map(self, number: int, deep: bool = False) -> Tensor:
        """Read the map of a frame at its own size, uint8 (Hg, Wg), or float32 of its own depth if ``deep``.

        Raises:
            InputError: If the file is damaged, has no such frame, or cannot be read by number (.avi, .mpg).
        """
        _check_numbers(self.path, [number])
        decoder = reader(self.path, "pyav", None)
        assert isinstance(decoder, PyAVReader)
        return torch.from_numpy(grey(decoder.frame(number - 1), decoder.info, deep))

    def in_order(self) -> Iterator[np.ndarray]:
        """Yield every map from the first to the last, uint8 (Hg, Wg)."""
        for frame, info in decode_in_order(self.path):
            yield grey(frame, info)

    def size(self, number: int) -> tuple[int, int]:
        """Return (Hg, Wg), the same for every frame."""
        info = video_info(self.path)
        return info.height, info.width


def grey(frame: Any, info: VideoInfo, deep: bool = False) -> np.ndarray:
    """Convert the luma of an ``av.VideoFrame`` as uint8 (H, W), rounded from 16 bit; as float32 if ``deep``."""
    # One thread: with several, swscale left garbage in 15 of 16000 frames (PyAV 18.1), and with one in none.
    luma = set_upright(frame.reformat(format="gray16le", threads=1).to_ndarray(), info)
    return luma.astype(np.float32) if deep else ((luma.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _check_numbers(path: Path, numbers: Sequence[int]) -> None:
    index = video_info(path)
    check_seekable(index)
    bad = [number for number in numbers if not 1 <= number <= index.frames]
    if bad:
        raise InputError(f"{path} has no frame {bad[0]}; its frames are 1 to {index.frames}")
