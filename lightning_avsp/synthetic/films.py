"""Videos as films: with sound (H.264 and AAC in mp4), maps in 10 bits (H.264), and uncut AVI (MPEG-4)."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightning_avsp.errors import InputError, MissingDependencyError

AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
"""Sample rates that AAC can store, in Hz."""


def check_film(size: tuple[int, int], sample_rate: int) -> None:
    """Refuse what H.264 and AAC cannot store, before any video is generated.

    Raises:
        InputError: If height or width is odd, or the sample rate is none of AAC's.
        MissingDependencyError: If PyAV is not installed.
    """
    if size[0] % 2 or size[1] % 2:
        raise InputError(
            f"films need even sizes, this corpus has {size[0]}x{size[1]}; change size or leave films out"
        )
    if sample_rate not in AAC_RATES:
        raise InputError(
            f"films cannot hold {sample_rate} Hz sound; choose one of {', '.join(map(str, AAC_RATES))}"
        )
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("films need PyAV: pip install av") from error


def write_film(
    path: Path, frames: NDArray[np.uint8], sound: NDArray[np.int16], *, fps: float, sample_rate: int
) -> None:
    """Write an mp4 film with sound.

    Args:
        path: File to write.
        frames: RGB frames: uint8 (T, H, W, 3), H and W even.
        sound: Mono samples: int16 (N,).
        fps: Frames per second.
        sample_rate: Samples per second.
    """
    import av

    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w", format="mp4") as container:
        # One thread, plainest preset: with more of either x264 gives other bytes for the same small frames
        video = container.add_stream(
            "libx264", rate=rate, options={"crf": "12", "preset": "ultrafast", "threads": "1"}
        )
        video.height, video.width = frames.shape[1:3]
        video.pix_fmt = "yuv420p"
        video.time_base = 1 / rate
        audio = container.add_stream("aac", rate=sample_rate, layout="mono", bit_rate=96_000)
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number
            frame.time_base = 1 / rate
            container.mux(video.encode(frame))
        container.mux(video.encode())
        block = av.AudioFrame.from_ndarray(sound[None], format="s16", layout="mono")
        block.sample_rate = sample_rate
        block.pts = 0
        block.time_base = Fraction(1, sample_rate)
        container.mux(audio.encode(block))
        container.mux(audio.encode())


def write_map_film(path: Path, maps: NDArray[np.uint8], *, fps: float) -> None:
    """Write saliency maps as an mp4 of 10-bit luma (64 to 940), lossless, from which they come back unchanged.

    Args:
        path: File to write.
        maps: uint8 (T, H, W), H and W even.
        fps: Frames per second.
    """
    import av

    rate = Fraction(fps).limit_denominator(1001)
    height, width = maps.shape[1:3]
    with av.open(str(path), "w", format="mp4") as container:
        video = container.add_stream(
            "libx264", rate=rate, options={"qp": "0", "preset": "ultrafast", "threads": "1"}
        )
        video.height, video.width = height, width
        video.pix_fmt = "yuv420p10le"
        video.time_base = 1 / rate
        planes = np.full((height * 3 // 2, width), 512, np.uint16)  # luma above, neutral colour below
        for number, saliency in enumerate(maps):
            planes[:height] = np.rint(64 + saliency * (876 / 255))
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p10le")
            frame.pts = number
            frame.time_base = 1 / rate
            container.mux(video.encode(frame))
        container.mux(video.encode())


def write_avi_film(path: Path, frames: NDArray[np.uint8], *, fps: float) -> None:
    """Write an AVI without sound, in MPEG-4 as DHF1K's films are.

    Args:
        path: File to write.
        frames: RGB frames: uint8 (T, H, W, 3), H and W even.
        fps: Frames per second.
    """
    import av

    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w", format="avi") as container:
        video = container.add_stream("mpeg4", rate=rate, options={"qscale": "2", "threads": "1"})
        video.height, video.width = frames.shape[1:3]
        video.pix_fmt = "yuv420p"
        video.bit_rate = 8_000_000
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode())
