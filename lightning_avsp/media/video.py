"""Picture of a film: its facts, and its frames in presentation order, decoded with PyAV.

Files are only ever read forward from the start. Seeking is what decoders get wrong (broken indices, open
groups of pictures, variable frame rate); a forward pass gives every frame once, with its own time.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from lightning_avsp.errors import InputError, MissingDependencyError
from lightning_avsp.media.survey import survey

log = logging.getLogger(__name__)

#: swscale: triangle filter, which shrinks with antialiasing; exact rounding and chroma at full resolution.
#: Agrees with ``torch.nn.functional.interpolate(mode="bilinear", antialias=True)`` to about 55 dB PSNR.
RESIZE_FLAGS = 0x2 | 0x40000 | 0x2000
#: Demuxers that turn text and single pictures into "video".
NOT_FILMS = ("tty", "image2", "ico", "apng")


@dataclass(frozen=True)
class SoundInfo:
    """The sound track that is used."""

    index: int
    """Number of the stream in the file."""
    codec: str
    """Codec name, e.g. ``aac``."""
    channels: int
    """Number of channels, e.g. 6 for 5.1."""
    layout: str
    """Channel layout, e.g. ``5.1``."""
    rate: int
    """Samples per second."""
    start: Fraction
    """Time of the first sample in the container's clock, seconds."""


@dataclass(frozen=True)
class FilmInfo:
    """What is known of a film before its frames are decoded."""

    path: Path
    width: int
    """Width in pixels as displayed, i.e. after rotation."""
    height: int
    """Height in pixels as displayed."""
    fps: Fraction
    """Average frames per second."""
    frames: int
    """Number of frames that the container holds; decoding may differ where packets hide frames."""
    video_index: int
    """Number of the chosen video stream in the file."""
    codec: str
    """Codec of the chosen video stream."""
    time_base: Fraction
    """Unit of the stream's timestamps in seconds."""
    start: Fraction
    """Time of the first frame in the container's clock, seconds."""
    rotation: int
    """Counter-clockwise rotation already applied to frames, degrees: 0, 90, 180 or 270."""
    pixel_aspect: Fraction
    """Width of a displayed pixel over its height."""
    colour: tuple[int, int, int]
    """Matrix, primaries and transfer as coded in the stream (ITU-T H.273), kept when films are written."""
    sound: SoundInfo | None
    """The sound track, or None for a silent film."""
    tolerant: bool = False
    """Whether what cannot be decoded is skipped (``allow_truncated``) instead of refused."""
    notes: tuple[str, ...] = field(default=())
    """What a user should be told: streams not chosen, rotation, damage."""

    @property
    def seconds(self) -> float:
        """Duration by frame count and average rate."""
        return float(self.frames / self.fps)


@dataclass(frozen=True)
class FilmFrame:
    """One decoded frame."""

    index: int
    """0-based number in presentation order."""
    pts: int
    """Presentation time in units of the film's time base; strictly increasing."""
    start: float
    """Seconds after the first frame."""
    stop: float
    """Seconds after the first frame at which the frame's display ends."""
    pixels: np.ndarray
    """RGB, uint8 (H, W, 3)."""


def pyav() -> Any:
    """The module ``av``, imported when a film is first touched."""
    try:
        import av
    except ImportError as error:
        raise MissingDependencyError("reading films needs PyAV: pip install av") from error
    return av


def open_container(path: Path) -> Any:
    """Open a file for reading with PyAV.

    Raises:
        InputError: If there is no such file, or it cannot be read as a film.
    """
    av = pyav()
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a film: give a file such as film.mp4")
    if not path.is_file():
        raise InputError(f"{path} does not exist: check the path of the film")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes): copy or download it again")
    try:
        container = av.open(str(path), metadata_errors="replace")
    except PermissionError as error:
        raise InputError(f"{path} cannot be read: permission denied; check its access rights") from error
    except av.error.FFmpegError as error:
        raise InputError(
            f"{path} is not a film that can be read, or its index was cut off ({error.strerror}): "
            "give a whole mp4, webm or mkv file"
        ) from error
    name = container.format.name
    if name in NOT_FILMS or name.endswith("_pipe"):
        container.close()
        raise InputError(f"{path} is not a film (recognised as {name}): give an mp4, webm or mkv file")
    return container


def open_film(path: Path | str, *, allow_truncated: bool = False) -> FilmInfo:
    """Look at a film: which streams it has, how long it is, whether it is whole and can be decoded.

    Of several video streams the one with the most pixels is taken (the first of equals); cover pictures are
    not video. All packets are read once and the first frame is decoded, so that a damaged file is refused
    here and not after hours.

    Args:
        path: Any file that FFmpeg's libraries read: mp4, mov, webm, mkv, avi, ts.
        allow_truncated: Accept a cut or damaged film and note it instead of refusing.

    Raises:
        InputError: If the file is missing, empty, a folder, not a film, without video, or damaged.
    """
    av = pyav()
    path = Path(path)
    with open_container(path) as container:
        stream, notes = _choose_video(container, path)
        sound = _choose_sound(container)
        if len(container.streams.audio) > 1 and sound is not None:
            notes.append(
                f"{len(container.streams.audio)} sound tracks: taking stream {sound.index} ({sound.layout})"
            )
        found = survey(container, stream, path)
        number = stream.index  # a stream's attributes must not be read once its container is closed
    if found.damage and not allow_truncated:
        raise InputError(
            f"{path} is damaged: {found.damage}; copy it again, or pass --allow_truncated to use the rest"
        )
    if found.damage:
        notes.append(f"damaged film: {found.damage}; using what can be decoded")
    with open_container(path) as container:
        stream = container.streams[number]
        context = stream.codec_context
        try:
            frame = next(container.decode(stream), None)
        except av.error.FFmpegError as error:
            raise InputError(
                f"{path}: its first frame cannot be decoded ({error.strerror}): re-encode it"
            ) from error
        if frame is None:
            raise InputError(f"{path} holds no frame that can be decoded: give a whole film")
        rotation = round(frame.rotation / 90) % 4 * 90
        if rotation:
            notes.append(f"film is stored turned: rotating by {rotation} degrees")
        width, height = (frame.width, frame.height) if rotation % 180 == 0 else (frame.height, frame.width)
        fps = stream.average_rate or stream.guessed_rate or stream.base_rate or Fraction(25)
        aspect = Fraction(stream.sample_aspect_ratio or 1)
        if aspect <= 0:
            aspect = Fraction(1)
        return FilmInfo(
            path=path,
            width=width,
            height=height,
            fps=Fraction(fps),
            frames=found.packets,
            video_index=number,
            codec=context.name,
            time_base=Fraction(stream.time_base),
            start=Fraction(frame.pts or 0) * Fraction(stream.time_base),
            rotation=rotation,
            pixel_aspect=aspect if rotation % 180 == 0 else 1 / aspect,
            colour=(int(context.colorspace), int(context.color_primaries), int(context.color_trc)),
            sound=sound,
            tolerant=allow_truncated,
            notes=tuple(notes),
        )


def decode_video(info: FilmInfo) -> Generator[tuple[int, Any], None, None]:
    """Every frame as PyAV gives it (not rotated, in the codec's pixel format), in presentation order.

    Yields:
        Presentation time in units of ``info.time_base``, strictly increasing, and the ``av.VideoFrame``.
        Where a file has no times (some avi), frame ``i`` is shown at ``i / fps``.

    Raises:
        InputError: If a frame cannot be decoded and the film was not opened with ``allow_truncated``.
    """
    av = pyav()
    base = round(info.start / info.time_base)
    step = 1 / info.fps / info.time_base
    index, last = 0, base - 1
    with open_container(info.path) as container:
        stream = container.streams[info.video_index]
        stream.thread_type = "AUTO"
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                frames = [] if packet is None else packet.decode()
            except av.error.EOFError:
                break
            except av.error.FFmpegError as error:
                if not info.tolerant:
                    raise InputError(
                        f"{info.path} is damaged: decoding stops after frame {index} ({error.strerror}); "
                        "copy it again, or pass --allow_truncated to use the rest"
                    ) from error
                log.warning("%s: skipping what cannot be decoded after frame %d", info.path, index)
                continue
            if packet is None:
                break
            for frame in frames:
                pts = frame.pts if frame.pts is not None else base + round(index * step)
                pts = last + 1 if pts <= last else pts
                index, last = index + 1, pts
                yield pts, frame


def iterate_frames(film: FilmInfo | Path | str, size: tuple[int, int] | None = None) -> Iterator[FilmFrame]:
    """Every frame of a film as RGB, upright, in presentation order; one frame in memory at a time.

    Args:
        film: A path, or what :func:`open_film` returned.
        size: (H, W) to resize to on the way from the codec's pixels to RGB; None keeps the film's own.

    Raises:
        InputError: As :func:`open_film`, or if decoding fails in the middle.
    """
    info = film if isinstance(film, FilmInfo) else open_film(film)
    base = round(info.start / info.time_base)
    for index, (pts, frame) in enumerate(decode_video(info)):
        start = float((pts - base) * info.time_base)
        shown = float(frame.duration * info.time_base) if frame.duration else float(1 / info.fps)
        yield FilmFrame(index, pts, start, start + shown, to_rgb(frame, info.rotation, size))


def to_rgb(frame: Any, rotation: int = 0, size: tuple[int, int] | None = None) -> np.ndarray:
    """An ``av.VideoFrame`` as upright RGB, uint8 (H, W, 3).

    Args:
        frame: Any pixel format; its own colour matrix and range are used.
        rotation: Counter-clockwise degrees, a multiple of 90.
        size: (H, W) after rotation, or None for the frame's own.
    """
    height, width = size or (None, None)
    if rotation % 180:
        height, width = width, height
    rgb = frame.reformat(width=width, height=height, format="rgb24", interpolation=RESIZE_FLAGS).to_ndarray()
    return np.ascontiguousarray(np.rot90(rgb, rotation // 90)) if rotation else rgb


def _choose_video(container: Any, path: Path) -> tuple[Any, list[str]]:
    """The video stream with the most pixels, and what to say about the others."""
    from av.stream import Disposition

    pictures = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    films = [s for s in container.streams.video if not s.disposition & pictures and s.codec_context.width]
    if not films:
        sound = len(container.streams.audio)
        what = f"only sound ({sound} track{'s' * (sound != 1)})" if sound else "neither video nor sound"
        raise InputError(f"{path} has no video stream, {what}: give a film with pictures")
    stream = max(films, key=lambda s: s.codec_context.width * s.codec_context.height)  # the first of equals
    notes = []
    if len(films) > 1:
        others = ", ".join(f"stream {s.index} ({_size(s)})" for s in films if s is not stream)
        notes.append(
            f"{len(films)} video streams: taking the larger, "
            f"stream {stream.index} ({_size(stream)}), not {others}"
        )
    return stream, notes


def _choose_sound(container: Any) -> SoundInfo | None:
    """The sound track that FFmpeg thinks best, or None."""
    stream = container.streams.best("audio")
    if stream is None:
        return None
    context = stream.codec_context
    return SoundInfo(
        index=stream.index,
        codec=context.name,
        channels=context.channels,
        layout=context.layout.name,
        rate=context.sample_rate,
        start=Fraction(stream.start_time or 0) * Fraction(stream.time_base),
    )


def _size(stream: Any) -> str:
    return f"{stream.codec_context.width}x{stream.codec_context.height}"
