"""Videos to measure reading with: 720p, with the detail of real films, and the annotations of a corpus.

Flat colours would decode several times as fast as films do, and noise several times as slowly.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.sources import MatFixations, PictureFrames, PictureMaps

FPS = 25.0
JPEG_QUALITY = 85
MAP_SIZE = (480, 640)
"""That of the ground truth of the STAViS package."""
_PAN = (1, 3)  # rows and columns that the camera moves from frame to frame


@dataclass(frozen=True)
class Material:
    """One generated video in two forms."""

    entry: VideoEntry
    """With numbered JPEG files as its pictures."""
    film: Path
    """The same pictures as an H.264 mp4 with x264's default groups of up to 250 frames."""


def write_material(
    folder: Path, videos: int, frames: int, size: tuple[int, int] = (720, 1280), seed: int = 0
) -> list[Material]:
    """Write videos, unless they are there.

    Args:
        folder: Where to.
        videos: Number of videos.
        frames: Frames of each.
        size: (height, width) in pixels, even.
        seed: Seed of the pictures.
    """
    return [_write_video(folder / f"video{number}", frames, size, seed + number) for number in range(videos)]


def texture(size: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """A still picture with the detail of natural ones, uint8 (H, W, 3).

    Opaque discs give edges, and shading and grain of falling spectrum (amplitude 1/f^1.6) what lies between them.
    As JPEG a frame of 720p takes 70 to 90 KiB, about what one cut from a real film does.
    """
    height, width = size
    picture = np.full((height, width, 3), 115.0, np.float32)
    for _ in range(height * width // 9000):
        radius = min(20.0 * generator.uniform(1e-4, 1) ** -0.5, height / 3)  # density ~ radius^-3
        row, column = generator.uniform(0, height), generator.uniform(0, width)
        rows = np.arange(max(0, int(row - radius)), min(height, int(row + radius) + 1))
        columns = np.arange(max(0, int(column - radius)), min(width, int(column + radius) + 1))
        inside = (rows[:, None] - row) ** 2 + (columns - column) ** 2 <= radius**2
        patch = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        patch[inside] = np.clip(generator.normal(115, 35) + generator.normal(0, 12, 3), 0, 255)
    picture = gaussian_filter(picture, (1.2, 1.2, 0))  # a lens is not sharp to the pixel
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = 1.0
    noise = np.fft.irfft2(np.fft.rfft2(generator.normal(size=size)) / frequency**1.6, s=size)
    noise = gaussian_filter(noise, 1.2)
    picture += (noise / noise.std() * 20.0)[..., None]
    return np.clip(picture, 0, 255).astype(np.uint8)


def _write_video(folder: Path, frames: int, size: tuple[int, int], seed: int) -> Material:
    entry = VideoEntry(
        corpus="BENCH",
        video=folder.name,
        n_frames=frames,
        fps=FPS,
        frames=PictureFrames(folder / "frames", "img_{:05d}.jpg"),
        maps=PictureMaps(folder / "maps", "eyeMap_{:05d}.jpg"),
        fixations=MatFixations(folder, "fixMap_{:05d}.mat"),
        wave=folder / "sound.wav",
        size=size,
    )
    film = folder / "film.mp4"
    if not film.is_file():  # written last
        _write_files(folder, entry, film, seed)
    return Material(entry, film)


def _write_files(folder: Path, entry: VideoEntry, film: Path, seed: int) -> None:
    import simplejpeg
    import soundfile
    from scipy.io import savemat

    generator = np.random.default_rng(seed)
    frames, (height, width) = entry.n_frames, entry.size
    for name in ("frames", "maps"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    still = texture((height + _PAN[0] * frames, width + _PAN[1] * frames), generator)
    grain = generator.normal(0, 0.5, (height + 64, width + 64, 1))
    pictures = []
    for number in range(1, frames + 1):
        top, left = _PAN[0] * (number - 1), _PAN[1] * (number - 1)
        rows, columns = generator.integers(0, 64, 2)
        clean = still[top : top + height, left : left + width]
        noisy = clean + grain[rows : rows + height, columns : columns + width]
        picture = np.clip(noisy, 0, 255).astype(np.uint8)
        pictures.append(picture)
        data = simplejpeg.encode_jpeg(picture, quality=JPEG_QUALITY, colorspace="RGB", colorsubsampling="420")
        (folder / "frames" / f"img_{number:05d}.jpg").write_bytes(data)
        points = generator.normal((240, 320), (50, 80), (12, 2)).round().clip(0, np.array(MAP_SIZE) - 1)
        saliency = _map(points)[..., None]
        data = simplejpeg.encode_jpeg(saliency, quality=JPEG_QUALITY, colorspace="GRAY")
        (folder / "maps" / f"eyeMap_{number:05d}.jpg").write_bytes(data)
        fixated = np.zeros(MAP_SIZE, np.uint8)
        fixated[tuple(points.astype(int).T)] = 1
        savemat(folder / f"fixMap_{number:05d}.mat", {"eyeMap": fixated}, do_compression=True)
    samples = (generator.normal(0, 2000, round(frames / FPS * 44_100))).astype(np.int16)
    soundfile.write(str(entry.wave), samples, 44_100)
    unfinished = film.with_name("unfinished.mp4")
    _write_film(unfinished, pictures)
    unfinished.replace(film)


def _write_film(path: Path, pictures: list[np.ndarray]) -> None:
    """H.264 at x264's usual settings, without sound: a loader reads that from its own file."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=round(FPS), options={"crf": "23", "preset": "medium"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def _map(points: np.ndarray, sigma: float = 20.0) -> np.ndarray:
    rows, columns = np.arange(MAP_SIZE[0]), np.arange(MAP_SIZE[1])
    vertical = np.exp(-((rows[:, None] - points[:, 0]) ** 2) / (2 * sigma**2))  # (Hg, N)
    horizontal = np.exp(-((columns[:, None] - points[:, 1]) ** 2) / (2 * sigma**2))  # (Wg, N)
    density = vertical @ horizontal.T
    return np.ascontiguousarray((density / density.max() * 255).astype(np.uint8))
