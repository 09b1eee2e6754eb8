"""The output folder of a prediction: maps, saliency video, overlay video and a record; all of it or nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Generator
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from typing import Any

import numpy as np

from lightning_avsp.errors import InputError
from lightning_avsp.media.mp4_writer import Mp4Writer
from lightning_avsp.media.video import VideoInfo, decode_video, pyav, to_rgb
from lightning_avsp.predict.maps import MapFormat, MapSink, open_maps
from lightning_avsp.predict.overlay import overlay

#: Everything a prediction writes; ``--overwrite`` replaces a folder that holds nothing else.
OUTPUTS = ("maps.npz", "maps", "saliency.mp4", "overlay.mp4", "prediction.json")


class PredictionWriter:
    """Writer of a video's maps; a context manager.

    All files grow in a hidden folder beside ``out``, which takes its name when the block ends well. On any
    error, and on Ctrl-C, the hidden folder is removed and ``out`` is as it was.

    The video is decoded a second time, in step with the maps, for the overlay at its own resolution: keeping
    full-size frames until their maps are predicted would need memory for a clip and a batch of them.

    Args:
        out: Folder to create. It must not exist, or be empty, unless ``overwrite``.
        info: The video.
        format: ``npz`` (one file, half precision), ``png`` (8 bits) or ``png16`` (16 bits).
        overwrite: Replace an earlier prediction in ``out``.
        colours: Colour map of the overlay.
        opacity: Opacity of the overlay where saliency is 1.

    Raises:
        InputError: If ``out`` is a file, not empty, or holds other files than those of a prediction.
    """

    def __init__(
        self,
        out: Path | str,
        info: VideoInfo,
        *,
        format: MapFormat = "npz",
        overwrite: bool = False,
        colours: str = "turbo",
        opacity: float = 0.7,
    ) -> None:
        self.out = Path(out).absolute()
        self.info = info
        self.format: MapFormat = format
        self.overwrite = overwrite
        self.colours, self.opacity = colours, opacity
        check_out(self.out, overwrite)
        self.record: dict[str, Any] = {}
        """Content of ``prediction.json``; the writer adds ``frames``."""

    def __enter__(self) -> PredictionWriter:
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.folder = Path(mkdtemp(prefix=f".{self.out.name}.", suffix=".partial", dir=self.out.parent))
        self.encoders: list[Mp4Writer] = []
        self.maps: MapSink | None = None
        self.frames: Generator[tuple[int, Any], None, None] = decode_video(self.info)
        self.times: list[int] = []
        try:
            self.maps = open_maps(self.folder, self.format)
            self.saliency = self._encoder("saliency.mp4")
            self.overlay = self._encoder("overlay.mp4")
        except BaseException:
            self._discard()
            raise
        return self

    def write(self, index: int, saliency: np.ndarray) -> None:
        """Add the map of the next frame.

        Args:
            index: 0-based frame number; must follow the one before.
            saliency: float32 (H, W) in [0, 1], any size.
        """
        if index != len(self.times):
            raise ValueError(f"got map {index}, expected map {len(self.times)}: write every frame in order")
        found = next(self.frames, None)
        if found is None:
            raise InputError(f"{self.info.path} changed while it was read: frame {index} is gone; run again")
        pts, frame = found
        self.times.append(pts)
        assert self.maps is not None
        self.maps.write(saliency)
        levels = to_levels(saliency, (self.info.height, self.info.width))
        self.saliency.write(levels, pts)
        image = to_rgb(frame, self.info)
        self.overlay.write(overlay(image, levels, self.colours, self.opacity), pts)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            self._finish()
        except BaseException:
            self._discard()
            raise

    def _finish(self) -> None:
        if not self.times:
            raise InputError(f"{self.info.path} holds no frame: nothing was predicted")
        times = (np.array(self.times) - self.times[0]) * float(self.info.time_base)
        assert self.maps is not None
        self.maps.close(times)
        self.frames.close()
        while self.encoders:
            self.encoders.pop().close()
        record = {**self.record, "frames": len(self.times)}
        (self.folder / "prediction.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        umask = os.umask(0)
        os.umask(umask)
        self.folder.chmod(0o777 & ~umask)  # mkdtemp made it private
        check_out(self.out, self.overwrite)  # another process may have written there meanwhile
        replaced = self.folder.with_suffix(".replaced")
        if self.out.exists():
            self.out.rename(replaced)
        try:
            self.folder.rename(self.out)
        except BaseException:
            if replaced.exists():
                replaced.rename(self.out)
            raise
        shutil.rmtree(replaced, ignore_errors=True)

    def _encoder(self, name: str) -> Mp4Writer:
        encoder = Mp4Writer(self.folder / name, self.info)
        self.encoders.append(encoder)
        return encoder

    def _discard(self) -> None:
        """Close open files without finishing them, and remove the hidden folder."""
        try:
            self.frames.close()
            if self.maps is not None:
                self.maps.abort()
            for encoder in self.encoders:
                encoder.abort()
        finally:
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


def to_levels(saliency: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Convert a map in [0, 1] of any size to uint8 (H, W) of ``size``, resized bilinearly."""
    grey = np.round(np.clip(saliency, 0, 1) * 255).astype(np.uint8)
    frame = pyav().VideoFrame.from_ndarray(np.ascontiguousarray(grey), format="gray")
    return frame.reformat(width=size[1], height=size[0], interpolation=0x2 | 0x40000).to_ndarray()
