"""The output folder of a prediction: claimed and tried first, continued after a stop, whole at the end."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lightning_avsp.errors import InputError
from lightning_avsp.files import lock_folder
from lightning_avsp.media.mp4_writer import Mp4Writer
from lightning_avsp.media.video import VideoInfo, decode_video, pyav, to_rgb
from lightning_avsp.parallel import map_ahead, work_ahead
from lightning_avsp.predict.maps import MapFormat, MapSpool
from lightning_avsp.predict.overlay import Look
from lightning_avsp.run_folder import write_json

log = logging.getLogger(__name__)

#: Everything a prediction writes; ``--overwrite`` replaces a folder that holds nothing else.
OUTPUTS = ("maps.npz", "maps", "saliency.mp4", "overlay.mp4", "prediction.json", "view.html")
VIDEOS = ("saliency.mp4", "overlay.mp4")
DRAWING_THREADS = min(4, os.cpu_count() or 1)
"""Frames that are drawn at once; memory holds as many at the size of the video."""
SPARE_BYTES = 64 << 20
"""Space that a prediction leaves free."""


class PredictionWriter:
    """Writer of a video's maps; a context manager.

    Everything grows in ``.<out>.partial`` beside ``out``, which takes its name when :meth:`finish` ends well. Until
    then ``out`` is as it was; after an error or a kill the maps predicted so far stay in the hidden folder, and the
    same request goes on behind them. Entering the block claims the folder and tries the encoders. From the first map
    on, threads draw and write beside the network.

    Args:
        out: Folder to create. It must not exist, or be empty, unless ``overwrite``.
        info: The video.
        request: Everything that decides the maps, as plain values; maps of another request are not continued.
        shape: Height and width of the maps.
        format: ``npz`` (one file, half precision), ``png`` (8 bits) or ``png16`` (16 bits).
        overwrite: Replace an earlier prediction in ``out``.
        look: Settings of the overlay.

    Raises:
        InputError: If ``out`` is a file, not empty, or holds other files than those of a prediction.
    """

    finished: dict[str, Any] | None
    """Record of the result of this very request, if ``out`` holds it: then there is nothing to do."""

    maps: MapSpool

    def __init__(
        self,
        out: Path | str,
        info: VideoInfo,
        request: dict[str, Any],
        shape: tuple[int, int],
        *,
        format: MapFormat = "npz",
        overwrite: bool = False,
        look: Look | None = None,
    ) -> None:
        self.out = Path(out).absolute()
        self.folder = self.out.with_name(f".{self.out.name}.partial")
        self.info, self.shape, self.overwrite = info, shape, overwrite
        self.format: MapFormat = format
        # through JSON, to be equal to what an earlier start has written
        self.request: dict[str, Any] = json.loads(json.dumps({**request, "shape": shape, "format": format}))
        self.look = look or Look()
        record = _read(self.out / "prediction.json") or {}
        same = record.get("request") == self.request and record.get("look") == asdict(self.look)
        self.finished = record if same else None
        if self.finished is None:
            check_out(self.out, overwrite)
        self._held = ExitStack()
        self._jobs: tuple[Future[list[int]], Future[None]] | None = None
        self.written = 0
        """Frames in the videos so far."""

    def __enter__(self) -> PredictionWriter:
        """Claim the folder and probe it.

        Raises:
            InputError: If another process predicts into it, or its videos cannot be encoded.
        """
        self._held.enter_context(lock_folder(self.folder))
        try:
            check_out(self.out, self.overwrite)  # another process may have finished meanwhile
            state, raw = self.folder / "request.json", self.folder / "maps.raw"
            if not (raw.is_file() and _read(state) == self.request):
                if raw.is_file() and raw.stat().st_size:
                    log.warning("maps of another request in %s are removed", self.folder)
                raw.unlink(missing_ok=True)
            self._remove_results()
            write_json(state, self.request)
            self.maps = MapSpool(raw, self.format, self.shape, growing=True)
            self._try_encoders()
        except BaseException:
            self.__exit__()
            raise
        return self

    def resume(self, stride: int) -> int:
        """Return the number of the frame, from 0, that prediction starts at; earlier maps are there already.

        It is the last predicted one of those that are there, so that interpolated maps are what they would have been.
        """
        first = max(0, len(self.maps) - 1) // stride * stride
        self.maps.truncate(first)
        return first

    def write(self, index: int, saliency: np.ndarray) -> None:
        """Add the map of the next frame.

        Args:
            index: 0-based frame number; must follow the one before.
            saliency: float32 (H, W) in [0, 1].
        """
        if index != len(self.maps):
            raise ValueError(f"got map {index}, expected map {len(self.maps)}: write every frame in order")
        if saliency.shape != self.shape:
            raise ValueError(f"got a map of {saliency.shape}, expected {self.shape}")
        self.maps.append(saliency)
        for job in self._start():
            if job.done():
                job.result()  # an error, as of a full disk, ends the prediction here and not after hours

    def finish(self, record: dict[str, Any], progress: Callable[[int], None] = lambda done: None) -> int:
        """Write the rest of all files and give the folder its name; returns the number of frames.

        Args:
            record: Content of ``prediction.json``; request, look and number of frames are added.
            progress: Called with the number of written frames.
        """
        videos, maps = self._start()
        self.maps.end()
        while not videos.done():
            progress(self.written)
            wait([videos], timeout=0.2)  # Ctrl-C is noticed in between
        times = videos.result()
        progress(len(times))
        if not times:
            raise InputError(f"{self.info.path} holds no frame: nothing was predicted")
        maps.result()
        if len(times) != self.info.frames:  # damage ended the frames, but the maps' header has their number
            self._remove(("maps.npz", "maps"))
            self.maps.write_maps(self.folder, len(times))
        self.maps.add_times(self.folder, (np.array(times) - times[0]) * float(self.info.time_base))
        whole = {"request": self.request, "look": asdict(self.look), "frames": len(times), **record}
        write_json(self.folder / "prediction.json", whole)
        check_out(
            self.out, self.overwrite
        )  # may have been filled meanwhile: the maps then stay for another start
        self.maps.close()
        for name in ("maps.raw", "request.json"):
            (self.folder / name).unlink()
        # renamed, not written over: whatever happens, one whole prediction has the name
        replaced = self.out.with_name(f".{self.out.name}.replaced")
        shutil.rmtree(replaced, ignore_errors=True)
        if self.out.exists():
            self.out.rename(replaced)
        try:
            self.folder.rename(self.out)
        except BaseException:
            if replaced.exists():
                replaced.rename(self.out)
            raise
        (self.out / "lock").unlink()
        shutil.rmtree(replaced, ignore_errors=True)
        return len(times)

    def _start(self) -> tuple[Future[list[int]], Future[None]]:
        """Begin to write videos and maps in threads, once, each frame as soon as its map is there."""
        if self._jobs is None:
            pool = ThreadPoolExecutor(2)
            self._jobs = (
                pool.submit(self._write_videos),
                pool.submit(self.maps.write_maps, self.folder, self.info.frames),
            )
            pool.shutdown(wait=False)  # its threads end with their jobs
        return self._jobs

    def _write_videos(self) -> list[int]:
        """Write both videos; returns the presentation times of their frames.

        The video is decoded a second time, for the overlay at its own resolution: keeping full-size frames until their
        maps are predicted would need memory for a clip and a batch of them.
        """
        times: list[int] = []
        infos = (self.info, self.look.resized(self.info))

        def shown() -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
            with suppress(InputError):  # damage ends the frames here as it did when they were predicted
                yield from frames_with_maps(self.info, self.maps, self.maps.top)

        with ExitStack() as stack:
            saliency, overlay = (
                stack.enter_context(Mp4Writer(self.folder / name, info))
                for name, info in zip(VIDEOS, infos, strict=True)
            )
            # decoding, drawing and each encoder in threads of their own: one alone is slower than a GPU predicts
            encoder = stack.enter_context(ThreadPoolExecutor(1))
            drawn = map_ahead(self._draw, work_ahead(shown()), DRAWING_THREADS)
            try:
                for pts, levels, image in stack.enter_context(closing(drawn)):
                    encoding = encoder.submit(saliency.write, levels, pts)
                    overlay.write(image, pts)
                    encoding.result()
                    times.append(pts)
                    self.written = len(times)
            except BaseException:
                self.maps.end(drop=True)  # what decodes ahead would wait for the next map, and this for it
                raise
        return times

    def _draw(self, shown: tuple[int, np.ndarray, np.ndarray]) -> tuple[int, np.ndarray, np.ndarray]:
        """Return a frame's presentation time, its saliency as grey levels, and the overlay."""
        pts, image, stored = shown
        # Each frame to its peak, as ground truth has it: 8 bits of absolute values would keep 13 levels
        # of a map of 0.02 to 0.08. The overlay stays absolute.
        peak = max(float(stored.max()), 1e-9)
        levels = to_levels(stored / np.float32(peak), image.shape[:2])
        return pts, levels, self.look.draw(image, to_levels(stored, image.shape[:2]))

    @property
    def bytes(self) -> int:
        """Space that the result may take beside what is there: the maps raw and compressed, and two videos."""
        maps = 2 * self.info.frames * MapSpool.bytes_of(self.format, self.shape)
        raw = self.folder / "maps.raw"
        return maps + 2 * self.info.path.stat().st_size - (raw.stat().st_size if raw.is_file() else 0)

    def _try_encoders(self) -> None:
        """Encode a frame of the larger video and its audio, which would otherwise fail after hours."""
        info = self.look.resized(self.info)
        black = np.zeros((info.height, info.width), np.uint8)
        try:
            writer = Mp4Writer(self.folder / VIDEOS[0], info)
            try:
                writer.write(black, round(self.info.start / self.info.time_base))
            finally:
                writer.abort()
        except (pyav().error.FFmpegError, ValueError) as error:
            raise InputError(f"{self.out}: its videos cannot be encoded ({error})") from error
        self._remove_results()

    def _remove_results(self) -> None:
        self._remove(OUTPUTS)

    def _remove(self, names: Sequence[str]) -> None:
        for name in names:
            path = self.folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def __exit__(self, *error: object) -> None:
        """Release the folder; without :meth:`finish` its maps stay for the next start, if there are any."""
        with self._held:
            if self._jobs is not None:
                self.maps.end(drop=True)
                wait(list[Future[Any]](self._jobs))
                self._jobs = None  # the same writer may be entered again
            if not self.folder.exists():  # finished: it has its name
                return
            count = 0
            if hasattr(self, "maps"):  # an error on entering comes before
                count = len(self.maps)
                self.maps.close()
            if count:
                self._remove_results()
            else:
                shutil.rmtree(self.folder, ignore_errors=True)


def check_out(out: Path, overwrite: bool) -> None:
    """Refuse an output folder whose contents would be lost.

    Raises:
        InputError: If ``out`` is a file, or not empty without ``overwrite``, or holds other files.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(f"{out} is a file: give --out a folder")
    names = sorted(path.name for path in out.iterdir())
    if names and not overwrite:
        raise InputError(f"{out} is not empty (it holds {names[0]}): give another --out, or pass --overwrite")
    foreign = [name for name in names if name not in OUTPUTS]
    if foreign:
        raise InputError(
            f"{out} holds {foreign[0]}, which is not part of a prediction, so it is not overwritten: "
            "give another --out"
        )


def check_space(writers: Sequence[PredictionWriter]) -> None:
    """Refuse predictions for which the disk has no room; all lie in one folder.

    Raises:
        InputError: If the disk is too full.
    """
    out = writers[0].out
    place = next(parent for parent in out.parents if parent.is_dir())
    needed, free = sum(writer.bytes for writer in writers) + SPARE_BYTES, shutil.disk_usage(place).free
    if free < needed:
        several = "" if len(writers) == 1 else f" and {len(writers) - 1} more"
        raise InputError(
            f"{out}{several} needs up to {needed >> 20} MiB, but the disk has {free >> 20} MiB free: make room, or "
            "give another --out"
        )


def frames_with_maps(
    info: VideoInfo, maps: Iterable[np.ndarray], top: int = 1
) -> Generator[tuple[int, np.ndarray, np.ndarray], None, None]:
    """Decode a video beside its maps.

    Args:
        info: The video.
        maps: Maps of its first frames, each (h, w).
        top: Number in the maps that means 1.0.

    Yields:
        Presentation time in the video's time base, the frame as RGB, uint8 (H, W, 3), and its map, float (h, w).
    """
    with closing(decode_video(info)) as frames:
        for stored, (pts, frame) in zip(maps, frames, strict=False):
            yield pts, to_rgb(frame, info, (info.height, info.width)), stored / np.float32(top)


def to_levels(saliency: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Convert a map in [0, 1] of any size to uint8 (H, W) of ``size``, resized bilinearly."""
    grey = np.round(np.clip(saliency, 0, 1) * 255).astype(np.uint8)
    frame = pyav().VideoFrame.from_ndarray(np.ascontiguousarray(grey), format="gray")
    return frame.reformat(width=size[1], height=size[0], interpolation=0x2 | 0x40000).to_ndarray()


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
