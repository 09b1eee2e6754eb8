"""Video files: with audio (H.264 and AAC in mp4), maps in 10 bits (H.264), and uncut AVI (MPEG-4)."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from lightning_avsp.errors import InputError
from lightning_avsp.media.mp4_writer import AAC_RATES
from lightning_avsp.media.video import pyav

if TYPE_CHECKING:
    from av.video.stream import VideoStream


def check_film(size: tuple[int, int], sample_rate: int) -> None:
    """Refuse what H.264 and AAC cannot store, before any video is generated.

    Raises:
        InputError: If height or width is odd, or the sample rate is none of AAC's.
        MissingDependencyError: If PyAV is not installed.
    """
    # before minutes of rendering
    pyav()
    # 4:2:0 halves both sides
    if size[0] % 2 or size[1] % 2:
        raise InputError(
            f"films need even sizes, this corpus has {size[0]}x{size[1]}; change size or leave films out"
        )
    if sample_rate not in AAC_RATES:
        raise InputError(
            f"films cannot hold {sample_rate} Hz sound; choose one of {', '.join(map(str, AAC_RATES))}"
        )


def write_film(
    path: Path, frames: NDArray[np.uint8], sound: NDArray[np.int16], *, fps: float, sample_rate: int
) -> None:
    """Write an mp4 video of RGB frames, uint8 (T, H, W, 3), H and W even, with mono audio, int16 (N,)."""
    # One thread, plainest preset: with more of either x264 gives other bytes for the same small frames
    options = {"crf": "12", "preset": "ultrafast", "threads": "1"}
    _encode(path, "libx264", options, "yuv420p", frames, "rgb24", fps, (sound, sample_rate))


def write_map_film(path: Path, maps: NDArray[Any], *, fps: float) -> None:
    """Write saliency maps as an mp4 of 10-bit luma (64 to 940), lossless, from which they come back unchanged.

    Args:
        path: File to write.
        maps: Levels from 0 to 255 (T, H, W), whole (uint8) or not, H and W even.
        fps: Frames per second.
    """
    height = maps.shape[1]
    planes = np.full((len(maps), height * 3 // 2, maps.shape[2]), 512, np.uint16)  # luma above neutral colour
    # the limited range, as the challenge's files have it: 64 is black, 940 white
    planes[:, :height] = np.rint(64 + maps * (876 / 255))
    options = {"qp": "0", "preset": "ultrafast", "threads": "1"}
    _encode(path, "libx264", options, "yuv420p10le", planes, "yuv420p10le", fps)


def write_avi_film(path: Path, frames: NDArray[np.uint8], *, fps: float) -> None:
    """Write RGB frames, uint8 (T, H, W, 3), H and W even, as AVI without audio, in MPEG-4 as DHF1K's videos are."""
    options = {"qscale": "2", "threads": "1"}
    _encode(
        path, "mpeg4", options, "yuv420p", frames, "rgb24", fps, container_format="avi", bit_rate=8_000_000
    )


def _encode(
    path: Path,
    codec: str,
    options: dict[str, str],
    pixels: str,
    frames: NDArray[Any],
    frame_format: str,
    fps: float,
    audio: tuple[NDArray[np.int16], int] | None = None,
    container_format: str = "mp4",
    bit_rate: int | None = None,
) -> None:
    """Encode frames, and audio as (samples, rate) after them: the same bytes every time."""
    import av

    # 29.97 is 30000/1001
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w", format=container_format) as container:
        stream = cast("VideoStream", container.add_stream(codec, rate=rate, options=options))
        first = av.VideoFrame.from_ndarray(frames[0], format=frame_format)
        stream.height, stream.width = first.height, first.width
        stream.pix_fmt = pixels
        stream.time_base = 1 / rate
        if bit_rate is not None:
            stream.bit_rate = bit_rate
        track = None
        if audio is not None:
            track = container.add_stream("aac", rate=audio[1], layout="mono", bit_rate=96_000)
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format=frame_format)
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if audio is not None and track is not None:
            block = av.AudioFrame.from_ndarray(audio[0][None], format="s16", layout="mono")
            block.sample_rate, block.pts, block.time_base = audio[1], 0, Fraction(1, audio[1])
            container.mux(track.encode(block))
            container.mux(track.encode())
