"""Films made on the spot: frame i has grey level 40 + 7 * i in its left half, so frames can be told apart."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


@pytest.fixture
def make_film(tmp_path: Path) -> Callable[..., Path]:
    def make(
        name: str = "film.mp4",
        frames: int = 30,
        size: tuple[int, int] = (64, 96),
        vcodec: str = "libx264",
        acodec: str = "aac",
        channels: int = 2,
        rate: int = 48000,
        pts: list[int] | None = None,
        sound_delay: float = 0.0,
        gap: tuple[float, float] | None = None,
        gap_becomes_s: float = 0.0,
        bad_sample: int | None = None,
        rotation: int = 0,
        pix_fmt: str = "yuv420p",
        options: dict[str, str] | None = None,
        container_options: dict[str, str] | None = None,
    ) -> Path:
        import av

        path = tmp_path / name
        base = Fraction(1, 1000)
        times = pts or [40 * i for i in range(frames)]
        with av.open(str(path), "w", options=container_options or {}) as container:
            video = container.add_stream(vcodec, rate=25)
            video.height, video.width = size
            video.pix_fmt, video.options = pix_fmt, options or {}
            if rotation:
                video.set_display_rotation(rotation)
            if vcodec != "mpeg4":  # its time base has 16 bits
                video.codec_context.time_base = base
            sound = None
            if channels:
                sound = container.add_stream(acodec, rate=rate, layout=LAYOUTS[channels])
            for index, time in enumerate(times):
                frame = av.VideoFrame.from_ndarray(stamped(index, size), format="rgb24").reformat(
                    format=pix_fmt
                )
                frame.pts, frame.time_base = time, base
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
            if sound is not None:
                wave = noise(channels, round(times[-1] * rate / 1000) + rate // 25)
                if bad_sample is not None:
                    wave[0, bad_sample] = np.nan
                for start in range(0, wave.shape[1], 1024):
                    if gap and gap[0] * rate <= start < gap[1] * rate:
                        continue
                    block = np.ascontiguousarray(wave[:, start : start + 1024])
                    if acodec.startswith("pcm_f32"):  # packed, one channel after the other in each sample
                        piece = av.AudioFrame.from_ndarray(
                            block.T.reshape(1, -1).copy(), "flt", LAYOUTS[channels]
                        )
                    else:
                        piece = av.AudioFrame.from_ndarray(block, "fltp", LAYOUTS[channels])
                    piece.sample_rate, piece.time_base = rate, Fraction(1, rate)
                    later = gap_becomes_s if gap and start >= gap[1] * rate else 0.0
                    piece.pts = start + round((sound_delay + later) * rate)
                    container.mux(sound.encode(piece))
                container.mux(sound.encode(None))
        return path

    return make


def stamped(index: int, size: tuple[int, int]) -> np.ndarray:
    picture = np.full((*size, 3), 120, np.uint8)
    picture[:, : size[1] // 2] = min(40 + 7 * index, 255)
    return picture


def noise(channels: int, samples: int) -> np.ndarray:
    """A different low-pass noise per channel, so that delays and swapped channels show."""
    white = np.random.default_rng(channels).normal(size=(channels, samples + 63))
    kernel = np.hanning(64) / np.hanning(64).sum()
    smooth = np.stack([np.convolve(row, kernel, mode="valid") for row in white])
    return (smooth / np.abs(smooth).max() * 0.5).astype(np.float32)


@pytest.fixture
def expected_noise() -> Callable[[int, int], np.ndarray]:
    return noise


@pytest.fixture
def align() -> Callable[[np.ndarray, np.ndarray], tuple[int, float]]:
    """How many samples the second wave (N,) comes later than the first, and their correlation then."""

    def find(first: np.ndarray, second: np.ndarray) -> tuple[int, float]:
        length = len(first) + len(second)
        product = np.fft.rfft(second, length) * np.fft.rfft(first, length).conj()
        correlation = np.fft.irfft(product, length) / np.linalg.norm(first) / np.linalg.norm(second)
        peak = int(correlation.argmax())
        return peak - length if peak > length // 2 else peak, float(correlation[peak])

    return find


@pytest.fixture
def cut() -> Callable[[Path, float], Path]:
    """The first part of a file under another name."""

    def keep(path: Path, share: float = 0.6) -> Path:
        data = path.read_bytes()
        shorter = path.with_name("cut_" + path.name)
        shorter.write_bytes(data[: int(len(data) * share)])
        return shorter

    return keep
