"""Frames, audio, maps, fixations and positions by observer of one video as files of the layout.

A map is a sum of Gaussians, one for each observer, scaled to a peak of 255.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from lightning_avsp.curation.importing.frames import FrameClock, FrameGaze
from lightning_avsp.errors import InputError
from lightning_avsp.media.audio_track import read_audio
from lightning_avsp.media.video import DecodedFrame, VideoInfo, iterate_frames

Progress = Callable[[str, int, int], None]
"""Called with the kind of files, the number written, and the number of all."""


def write_frames(
    info: VideoInfo,
    clock: FrameClock,
    folder: Path,
    quality: int,
    look: Callable[[DecodedFrame], None],
    progress: Progress | None = None,
) -> None:
    """Write each frame of the clock as ``img_00001.jpg``: upright, at the video's size, chroma at full resolution.

    Args:
        info: The video.
        clock: Its frames.
        folder: Folder to make.
        quality: Of the JPEG.
        look: Called with each frame of the video.
        progress: Called after each.

    Raises:
        InputError: If the video cannot be decoded to its end.
    """
    folder.mkdir(parents=True)
    written, total = 0, len(clock.source)
    for frame in iterate_frames(info):
        look(frame)
        # an uneven video shows a frame several times, or never: it is encoded once, or not at all
        data = b""
        while written < total and clock.source[written] == frame.index:
            data = data or encode_image(frame.pixels, quality)
            written += 1
            (folder / f"img_{written:05d}.jpg").write_bytes(data)
        if progress is not None:
            progress("frames", written, total)


def write_audio(info: VideoInfo, path: Path, seconds: float, rate: int) -> float:
    """Write the video's audio as 16-bit mono: from the first frame to the end of the last, silence where there is none.

    Args:
        info: A video with audio.
        path: File to write.
        seconds: Duration of the frames.
        rate: Samples per second.

    Returns:
        Seconds of silence that were added where the track does not cover the frames.
    """
    import soundfile

    samples, _, offset = read_audio(info, mono=True, rate=rate)
    wave = samples[0].numpy()
    # as long as the frames: readers take audio by frame numbers
    count, begin = round(seconds * rate), round(offset * rate)
    audio = np.zeros(count, np.float32)
    source = wave[max(0, -begin) :]
    first = max(0, begin)
    taken = max(0, min(len(source), count - first))
    audio[first : first + taken] = source[:taken]
    path.parent.mkdir(parents=True)
    soundfile.write(path, audio.clip(-1, 1), rate, subtype="PCM_16")
    return (count - taken) / rate


def write_ground_truth(
    points: tuple[np.ndarray, ...],
    folder: Path,
    size: tuple[int, int],
    sigma: tuple[float, float],
    quality: int,
    progress: Progress | None = None,
) -> None:
    """Write ``maps/eyeMap_00001.jpg`` and ``fixMap_00001.mat`` for each frame.

    Args:
        points: For each frame positions as shares of the video, float64 (N, 2), (x, y).
        folder: Annotation folder of the video.
        size: (H, W) of maps and matrices.
        sigma: Standard deviation of the Gaussian in (rows, columns) of the map.
        quality: Of the JPEG.
        progress: Called after each frame.
    """
    (folder / "maps").mkdir(parents=True)

    def write(number: int) -> None:
        positions = points[number - 1]
        image = encode_image(as_image(gaussian_sum(positions, size, sigma)), quality)
        (folder / "maps" / f"eyeMap_{number:05d}.jpg").write_bytes(image)
        matrix = fixated_pixels(positions, size)
        data = encode_matrix(matrix, "eyeMap", "fixated pixels by avsp data import")
        (folder / f"fixMap_{number:05d}.mat").write_bytes(data)

    # Threads: matrix products, JPEG and zlib release the interpreter, and nothing has to be pickled.
    with ThreadPoolExecutor(max_workers=4) as pool:
        for done, _ in enumerate(pool.map(write, range(1, len(points) + 1)), start=1):
            if progress is not None:
                progress("maps", done, len(points))


def encode_image(pixels: np.ndarray, quality: int) -> bytes:
    """JPEG of a frame, uint8 (H, W, 3) with chroma at full resolution, or of a map, uint8 (H, W)."""
    import simplejpeg

    # colour at full resolution: halved chroma blurs red and blue edges, which networks see
    if pixels.ndim == 2:
        return simplejpeg.encode_jpeg(pixels[..., None], quality=quality, colorspace="GRAY")
    return simplejpeg.encode_jpeg(pixels, quality=quality, colorspace="RGB", colorsubsampling="444")


def encode_matrix(matrix: np.ndarray, key: str, description: str) -> bytes:
    """MATLAB file of one matrix with ``description`` in its header: the same bytes on every day."""
    from scipy.io import savemat

    header = f"MATLAB 5.0 MAT-file, {description}".encode().ljust(116)
    buffer = io.BytesIO()
    savemat(buffer, {key: matrix}, do_compression=True)
    return header + buffer.getvalue()[len(header) :]  # SciPy's own header has the date


def gaussian_sum(points: np.ndarray, size: tuple[int, int], sigma: tuple[float, float]) -> np.ndarray:
    r"""Sum of Gaussians at the pixels' centres.

    .. math:: m_{rc} = \sum_i \exp\left(-\frac{(r + 0.5 - y_i H)^2}{2 \sigma_r^2}
              - \frac{(c + 0.5 - x_i W)^2}{2 \sigma_c^2}\right)

    Args:
        points: Positions as shares of the video, float64 (N, 2), (x, y).
        size: (H, W) of the map.
        sigma: Standard deviation in (rows, columns).

    Returns:
        float64 (H, W), zero where there is no point.
    """
    # over the whole map: a window would leave a step at its edge
    rows = (np.arange(size[0]) + 0.5 - points[:, 1:] * size[0]) / sigma[0]  # (N, H)
    columns = (np.arange(size[1]) + 0.5 - points[:, :1] * size[1]) / sigma[1]  # (N, W)
    return np.exp(-(rows**2) / 2).T @ np.exp(-(columns**2) / 2)  # separable: (H, N) @ (N, W)


def as_image(density: np.ndarray) -> np.ndarray:
    """Density as uint8 with a peak of 255; all zero stays all zero."""
    peak = density.max()
    return np.zeros(density.shape, np.uint8) if peak <= 0 else np.round(density / peak * 255).astype(np.uint8)


def fixated_pixels(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Matrix of fixated pixels: uint8 (H, W), 1 where a point lies; two points in one pixel are one.

    Args:
        points: Positions as shares of the video, 0 to below 1, float64 (N, 2), (x, y).
        size: (H, W).
    """
    matrix = np.zeros(size, np.uint8)
    # A share just below 1 times a size can round up to it.
    rows = np.minimum((points[:, 1] * size[0]).astype(np.int64), size[0] - 1)
    columns = np.minimum((points[:, 0] * size[1]).astype(np.int64), size[1] - 1)
    # as in the STAViS package, whose matrices have no counts
    matrix[rows, columns] = 1
    return matrix


OBSERVERS = "observers.npz"
"""In a video's annotation folder."""


def write_observers(folder: Path, gaze: FrameGaze) -> None:
    """Write the position of each observer in each frame: ``frame`` (from 0), ``observer``, ``x``, ``y``, ``names``."""
    arrays = {name: gaze.positions[name].to_numpy() for name in ("frame", "observer", "x", "y")}
    np.savez_compressed(folder / OBSERVERS, names=np.array(gaze.observers, dtype=np.str_), **arrays)


def read_observers(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read the positions of a video by observer: ``frame``, ``observer``, ``x``, ``y`` (shares), and their names.

    Raises:
        InputError: If the file is missing or damaged.
    """
    path = folder / OBSERVERS
    try:
        with np.load(path, allow_pickle=False) as file:
            table = pd.DataFrame({name: file[name] for name in ("frame", "observer", "x", "y")})
            return table, [str(name) for name in file["names"]]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} cannot be read ({error}); import the video again with --overwrite"
        ) from error
