"""Random access to the frames of a video with one of three decoders, and a cache of open ones per process.

Found by stamping every frame with its number (all guards below have a test): a reader that is opened and seeks
at once may return garbage without an error, so frame 1 is read first; a decord reader that crosses a fork hangs, so
readers belong to the process that opened them; decord returns other frames where an edit list hides some or groups
of pictures are open, so it refuses both.
"""

from __future__ import annotations

import gc
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from lightning_avsp.errors import InputError, MissingDependencyError
from lightning_avsp.media.images import resize
from lightning_avsp.media.video import VideoInfo, decode_video, open_container, open_video, to_rgb

UNSEEKABLE = (".avi", ".mpg", ".mpeg")
"""Containers without presentation times: every decoder that seeks in them was seen to return other frames."""
VIDEO_SUFFIXES = (*UNSEEKABLE, ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".ts", ".wmv", ".flv")
"""File names that are taken for videos, in lower case."""
OFF_CLOCK_SECONDS = 0.1
"""A frame may be so far from the even clock by which audio is read."""
EVEN_REMEDY = "correct the list's rate, or import the video with `avsp data import`, which writes even frames"


def video_info(path: Path) -> VideoInfo:
    """Open a video, cached until the file changes.

    Raises:
        InputError: If the file is missing, empty, no video or cut off; the message names it.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"{path} is missing; unpack the corpus again") from error
    return _info(path, state.st_size, state.st_mtime_ns)


def check_seekable(info: VideoInfo) -> None:
    """Refuse files in which no decoder reaches a frame by its number reliably.

    Raises:
        InputError: If the container keeps no presentation times; the message names the remedy.
    """
    path = info.path
    if path.suffix.lower() in UNSEEKABLE or not len(info.times):
        raise InputError(
            f"{path}: single frames of {path.suffix or 'such'} files cannot be reached reliably (decoders "
            "silently return other frames); decode it once, in order, with `avsp data prepare` and set "
            "data.loading.cache"
        )


def seconds_off_clock(info: VideoInfo, fps: float) -> float:
    """Largest distance in seconds of a frame's time from an even clock of ``fps`` frames per second."""
    times = (info.times - info.times[:1]) * float(info.time_base)
    return float(np.abs(times - np.arange(len(times)) / fps).max(initial=0.0))


def check_even(info: VideoInfo, fps: float) -> None:
    """Refuse a video whose frames cannot be numbered on an even clock, by which its audio is read.

    Raises:
        InputError: If frames are too far off; the message names the remedy.
    """
    off = seconds_off_clock(info, fps)
    if off > OFF_CLOCK_SECONDS:
        raise InputError(
            f"{info.path}: frames are up to {off:.2f} s off an even clock of {fps:g}/s, by which audio is read; "
            f"{EVEN_REMEDY}"
        )


def decode_in_order(path: Path) -> Iterator[tuple[object, VideoInfo]]:
    """Decode every ``av.VideoFrame`` from the first to the last, with its video.

    Raises:
        InputError: If the file is damaged; the message names file and frame.
    """
    info = video_info(path)
    number = 0
    try:
        for _, frame in decode_video(info):
            number += 1
            yield frame, info
    except InputError as error:
        raise damaged(path, number + 1, error.__cause__ or error) from error


def damaged(path: Path, number: int, error: object) -> InputError:
    """Build the error for a frame that cannot be decoded."""
    size = f"{path.stat().st_size} bytes" if path.exists() else "missing"
    return InputError(f"{path} ({size}): frame {number} cannot be decoded: {error}; replace this file")


@lru_cache(maxsize=4096)  # a few kilobytes each
def _info(path: Path, size: int, changed_ns: int) -> VideoInfo:
    # tolerant for the survey alone, whose finding is in the message below
    info = open_video(path, allow_truncated=True)
    if info.damage is not None:
        raise InputError(f"{path} ({size} bytes) is damaged: {info.damage}; replace this file")
    return replace(info, tolerant=False)


Backend = Literal["pyav", "torchcodec", "decord"]
"""Decoders: PyAV is exact in every file; torchcodec pays where clips lie far apart; decord is unmaintained."""

OPEN_READERS = 4
"""Readers that a process keeps open. One of decord holds about 90 MB and a thread."""


class FrameDecoder(Protocol):
    """An open video."""

    def read(self, indices: Sequence[int], size: tuple[int, int] | None) -> list[np.ndarray]:
        """Read frames by index, from 0, each uint8 (H, W, 3), RGB, upright; at their own size for None."""


class PyAVReader:
    """PyAV, exact in every file with presentation times: a frame is found by its own time."""

    def __init__(self, info: VideoInfo) -> None:
        self.info = info
        self._container = open_container(info.path)
        self._stream = self._container.streams[info.video_index]
        self._stream.codec_context.thread_count = 1  # dataloader workers share the cores already
        self._frames = self._from_here()
        self._next = 0  # index of the next frame to decode; the first frame is always read before any seek
        self._first = self._find(0)

    def read(self, indices: Sequence[int], size: tuple[int, int] | None) -> list[np.ndarray]:
        """Read frames by index, see :class:`FrameDecoder`."""
        return [to_rgb(self.frame(position), self.info, size) for position in indices]

    def frame(self, position: int) -> Any:
        """Decode one frame as an ``av.VideoFrame``."""
        if position == 0:
            return self._first
        times, keys = self.info.times, self.info.keys
        last = max(0, int(np.searchsorted(keys, times[position], side="right")) - 1)  # key frame before it
        start = int(np.searchsorted(times, keys[last]))
        if position < self._next or start > self._next:  # behind us, or past a key frame: jump
            before = keys[keys <= times[start]]
            for key in before[::-1][:3]:  # a container may land behind the key frame that was asked for
                self._container.seek(int(key), stream=self._stream)
                self._frames = self._from_here()
                found = self._find(position, or_behind=True)
                if found is not None:
                    return found
            self._container.seek(int(times[0]), stream=self._stream)
            self._frames = self._from_here()
        return self._find(position)

    def _find(self, position: int, or_behind: bool = False) -> Any:
        """Decode up to a frame; None if decoding starts behind it and that is allowed."""
        wanted = self.info.times[position]
        for frame in self._frames:
            if frame.pts is not None and frame.pts >= wanted:
                self._next = int(np.searchsorted(self.info.times, frame.pts)) + 1
                if frame.pts == wanted and not frame.is_corrupt:
                    return frame
                break
        if or_behind:
            return None
        raise damaged(self.info.path, position + 1, "decoding does not give a frame at its time")

    def _from_here(self) -> Iterator[Any]:
        return _decoded(self._container, self._stream, self.info.path)


def _decoded(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    """Decode from the position of a container. No method: a generator that refers to its reader would keep it alive."""
    from av.error import FFmpegError

    last = 0.0
    try:
        for packet in container.demux(stream):
            for frame in packet.decode():
                last = frame.time or last
                yield frame
    except EOFError:
        return
    except FFmpegError as error:
        raise InputError(
            f"{path}: what follows second {last:.2f} cannot be decoded: {error}; replace this file"
        ) from error


class DecordReader:
    """decord on one thread; refuses the files in which it was seen to return other frames."""

    def __init__(self, info: VideoInfo, size: tuple[int, int] | None) -> None:
        try:
            import decord
        except ImportError as error:
            raise MissingDependencyError(
                "reading video with decord needs it: pip install 'lightning-avsp[video]'; where it has no wheel, "
                "choose the backend pyav or torchcodec, or decode once with `avsp data prepare`"
            ) from error
        path = info.path
        self.info, self.size = info, size
        refuse_for(info, "decord")
        height, width = size or (-1, -1)
        try:
            self._reader = decord.VideoReader(
                str(path), ctx=decord.cpu(0), num_threads=1, width=width, height=height
            )
            frames = len(self._reader)
            if frames == info.frames:
                self._reader[0]
        except (RuntimeError, IndexError) as error:  # DECORDError is a RuntimeError
            raise damaged(path, 1, _first_line(error)) from error
        if frames != info.frames:
            raise InputError(
                f"{path}: decord counts {frames} frames, the container shows {info.frames} (an edit list hides "
                "some); choose the backend pyav, or decode it once with `avsp data prepare`"
            )

    def read(self, indices: Sequence[int], size: tuple[int, int] | None) -> list[np.ndarray]:
        """Read frames by index, see :class:`FrameDecoder`; ``size`` is that of the constructor."""
        try:
            return list(self._reader.get_batch(list(indices)).asnumpy())
        except (RuntimeError, IndexError) as error:
            raise damaged(self.info.path, self._first_bad(indices) + 1, _first_line(error)) from error

    def _first_bad(self, indices: Sequence[int]) -> int:
        for position in indices:
            try:
                self._reader[position]
            except (RuntimeError, IndexError):
                return position
        return indices[0]


class TorchcodecReader:
    """torchcodec with exact seeking (it scans the file when it is opened)."""

    def __init__(self, info: VideoInfo) -> None:
        try:
            decoders = import_module("torchcodec.decoders")
        except (ImportError, RuntimeError, OSError) as error:  # it loads FFmpeg's libraries when imported
            raise MissingDependencyError(
                "reading video with torchcodec needs the torchcodec of your torch version and FFmpeg's shared "
                f"libraries ({_first_line(error)}); choose the backend pyav or decord instead"
            ) from error
        self.info = info
        refuse_for(info, "torchcodec", open_groups=False)
        try:
            self._decoder = decoders.VideoDecoder(
                str(info.path),
                stream_index=info.video_index,
                dimension_order="NHWC",
                # dataloader workers share the cores already
                num_ffmpeg_threads=1,
                seek_mode="exact",  # the other mode trusts the rate that the header states
            )
            self._decoder[0]
        except (RuntimeError, ValueError, IndexError) as error:
            raise damaged(info.path, 1, _first_line(error)) from error

    def read(self, indices: Sequence[int], size: tuple[int, int] | None) -> list[np.ndarray]:
        """Read frames by index, see :class:`FrameDecoder`."""
        try:
            images = self._decoder.get_frames_at(indices=list(indices)).data.numpy()  # (N, H, W, 3)
        except (RuntimeError, IndexError) as error:
            raise damaged(self.info.path, indices[0] + 1, _first_line(error)) from error
        return list(images) if size is None else [resize(image, size) for image in images]


def refuse_for(info: VideoInfo, backend: str, open_groups: bool = True) -> None:
    """Refuse a file that a decoder does not decode faithfully.

    Raises:
        InputError: If it is stored turned, or has open groups of pictures and these are refused.
    """
    turned = f"stored rotated by {info.rotation} degrees" if info.rotation else None
    turned = "stored mirrored" if info.mirrored else turned
    grouped = "coded in open groups of pictures" if info.open_groups and open_groups else None
    for fault in filter(None, (turned, grouped)):
        raise InputError(
            f"{info.path} is {fault}, which {backend} does not decode faithfully; choose the backend pyav, or "
            "decode it once with `avsp data prepare`"
        )


_Key = tuple[Path, Backend, tuple[int, int] | None]
_open: OrderedDict[_Key, tuple[VideoInfo, FrameDecoder]] = OrderedDict()
_inherited: list[object] = []
"""Readers of a parent process: never used here, nor closed, which would wait for threads of the parent."""


@lru_cache(maxsize=1)
def guard_forks() -> None:
    """Register a hook, once, by which forked processes leave the readers of their parent alone."""
    os.register_at_fork(after_in_child=_leave_behind)


def _leave_behind() -> None:
    global _open
    _inherited.append(_open)
    _open = OrderedDict()
    # Readers that were thrown away but not collected yet must not be collected here either: closing one waits for
    # its threads, which stayed in the parent.
    gc.freeze()


def reader(path: Path, backend: Backend, size: tuple[int, int] | None) -> FrameDecoder:
    """Return the open reader of a video in this process; open it if needed.

    Args:
        path: Video.
        backend: Decoder.
        size: (height, width) of the frames to read; only decord's readers depend on it.

    Raises:
        InputError: If the file is missing, damaged, or one that this decoder does not read reliably.
        MissingDependencyError: If the decoder is not installed.
    """
    guard_forks()
    key: _Key = (path, backend, size if backend == "decord" else None)
    info = video_info(path)
    kept = _open.pop(key, None)
    if kept is None or kept[0] is not info:  # other information: the file has changed since
        check_seekable(info)
        if backend == "decord":
            kept = info, DecordReader(info, size)
        else:
            kept = info, TorchcodecReader(info) if backend == "torchcodec" else PyAVReader(info)
    _open[key] = kept  # last used, last out
    while len(_open) > OPEN_READERS:
        _open.popitem(last=False)
    return kept[1]


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
