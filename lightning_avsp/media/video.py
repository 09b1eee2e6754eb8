"""Videos decoded in order with PyAV: their streams, and their frames in presentation order.

Files are only ever read forward from the start. Seeking is what decoders get wrong (broken indices, open
groups of pictures, variable frame rate); a forward pass gives every frame once, with its own time.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Iterable, Iterator
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
CONTAINERS = (
    "mov,matroska,avi,flv,live_flv,asf,asf_o,mpegts,mpeg,mpegvideo,ogg,gif,nut,mxf,ivf,dv,rm,wtv,yuv4mpegpipe,h264,hevc,"
    "av1,obu,vc1,m4v,mjpeg,swf,wav,w64,aiff,mp3,aac,ac3,flac,caf"
)
"""Formats that FFmpeg may open: none that turns text or images into video, or opens other files (playlists)."""
LOWEST_RATE, HIGHEST_RATE = 1_000, 1_000_000
"""Sample rates of audio in Hz that can be meant; resampling others needs absurd amounts of memory."""
LOST_AT_START = 8
"""Frames before the first that stands on its own, which a decoder may leave out."""


@dataclass(frozen=True)
class AudioInfo:
    """The selected audio stream."""

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
class VideoInfo:
    """Properties of a video that are known before its frames are decoded."""

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
    """Matrix, primaries and transfer as coded in the stream (ITU-T H.273), kept when videos are written."""
    audio: AudioInfo | None
    """The audio stream, or None."""
    mirrored: bool = False
    """True if frames were mirrored, left to right, before they were rotated."""
    tolerant: bool = False
    """True to skip what cannot be decoded (``allow_truncated``) instead of refusing it."""
    times: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64), compare=False, repr=False)
    """Presentation time of each frame in units of ``time_base``, int64 (N,), increasing; empty if any is missing."""
    keys: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64), compare=False, repr=False)
    """Presentation times of the key frames among them, int64 (K,), increasing."""
    last: Fraction = Fraction(0)
    """Seconds for which the last frame is shown: the last picture of a slideshow may stay."""
    open_groups: bool = False
    """True if frames that follow a key frame in the file are shown before it, and so need the group before."""
    damage: str | None = None
    """Damage of a video opened with ``allow_truncated``."""
    complete: bool = False
    """True in containers that keep a whole frame in each packet."""
    notes: tuple[str, ...] = field(default=())
    """Notes for the user: streams not selected, rotation, damage."""

    @property
    def seconds(self) -> float:
        """Duration from the first frame to the end of the last; by number and average rate where times are missing."""
        if not len(self.times):
            return float(self.frames / self.fps)
        return float(int(self.times[-1] - self.times[0]) * self.time_base + self.last)


@dataclass(frozen=True)
class DecodedFrame:
    """One decoded frame."""

    index: int
    """0-based number in presentation order."""
    pts: int
    """Presentation time in units of the video's time base; strictly increasing."""
    start: float
    """Seconds after the first frame."""
    pixels: np.ndarray
    """RGB, uint8 (H, W, 3)."""


def pyav() -> Any:
    """Import ``av``, which stays optional."""
    try:
        import av
    except ImportError as error:
        raise MissingDependencyError("reading videos needs PyAV: pip install av") from error
    # torchvision 0.23 hands FFmpeg's messages to Python's logging; a decoder's thread that waits for the GIL with
    # one then hangs the thread that holds the GIL and closes the decoder
    av.logging.set_level(None)
    return av


def open_container(path: Path) -> Any:
    """Open a file for reading with PyAV.

    Raises:
        InputError: If there is no such file, or it cannot be read as a video.
    """
    av = pyav()
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a video: give a file such as video.mp4")
    if not path.is_file():
        absent = "does not exist: check the path of the video"
        raise InputError(f"{path} {'is no regular file: give a video file' if path.exists() else absent}")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes): copy or download it again")
    try:
        # The protocol by name: a colon in a name is no protocol, and nothing but this file is opened.
        return av.open(
            f"file:{path}",
            # titles may be in any encoding
            metadata_errors="replace",
            options={"protocol_whitelist": "file", "format_whitelist": CONTAINERS},
        )
    except PermissionError as error:
        raise InputError(f"{path} cannot be read: permission denied; check its access rights") from error
    except (av.error.FFmpegError, UnicodeError) as error:
        raise InputError(
            f"{path} is not a video that can be read, or its index was cut off "
            f"({getattr(error, 'strerror', error)}): give a whole mp4, webm or mkv file"
        ) from error


def open_video(path: Path | str, *, allow_truncated: bool = False) -> VideoInfo:
    """Open a video: find its streams and length, and check that it is whole and can be decoded.

    Of several video streams the one with the most pixels is taken (the first of equals); cover images are
    not video. All packets are read once and the first frame is decoded, so that a damaged file is refused
    here and not after hours.

    Args:
        path: Any file that FFmpeg's libraries read: mp4, mov, webm, mkv, avi, ts.
        allow_truncated: Accept a cut or damaged video and note it instead of refusing.

    Raises:
        InputError: If the file is missing, empty, a folder, not a video, without frames, or damaged.
    """
    av = pyav()
    path = Path(path)
    with open_container(path) as container:
        stream, notes = _choose_video(container, path)
        audio = _choose_audio(container, path, notes)
        found = survey(container, stream, path)
        number = stream.index  # a stream's attributes must not be read once its container is closed
    if found.damage and not allow_truncated:
        raise InputError(
            f"{path} is damaged: {found.damage}; copy it again, or pass --allow_truncated to use the rest"
        )
    if found.damage:
        notes.append(f"damaged video: {found.damage}; using what can be decoded")
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
            raise InputError(f"{path} holds no frame that can be decoded: give a whole video")
        known = None not in found.times
        rotation, mirrored = _orientation(frame)
        if rotation:
            notes.append(f"video is stored rotated: rotating by {rotation} degrees")
        if mirrored:
            notes.append("video is stored mirrored: mirroring it")
        width, height = (frame.width, frame.height) if rotation % 180 == 0 else (frame.height, frame.width)
        # some containers state one of them only
        fps = stream.average_rate or stream.guessed_rate or stream.base_rate or Fraction(25)
        aspect = max(Fraction(stream.sample_aspect_ratio or 1), Fraction(0)) or Fraction(1)
        return VideoInfo(
            path=path,
            width=width,
            height=height,
            fps=Fraction(fps),
            frames=len(found.times),
            video_index=number,
            codec=context.name,
            time_base=Fraction(stream.time_base),
            start=Fraction(frame.pts or 0) * Fraction(stream.time_base),
            rotation=rotation,
            mirrored=mirrored,
            pixel_aspect=aspect if rotation % 180 == 0 else 1 / aspect,
            colour=(int(context.colorspace), int(context.color_primaries), int(context.color_trc)),
            audio=audio,
            tolerant=allow_truncated,
            times=np.sort(np.array(found.times if known else [], dtype=np.int64)),
            keys=np.sort(np.array(found.keys if known else [], dtype=np.int64)),
            last=found.last * Fraction(stream.time_base) or 1 / Fraction(fps),
            open_groups=found.open_groups,
            damage=found.damage,
            complete=bool({"mov", "matroska"} & set(container.format.name.split(","))),
            notes=tuple(notes),
        )


def decode_video(info: VideoInfo) -> Generator[tuple[int, Any], None, None]:
    """Decode every frame in presentation order, not rotated and in the codec's pixel format.

    Yields:
        Presentation time in units of ``info.time_base``, strictly increasing, and the ``av.VideoFrame``.
        Where a file has no times (some avi), frame ``i`` is shown at ``i / fps``.

    Raises:
        InputError: If a frame cannot be decoded and the video was not opened with ``allow_truncated``.
    """
    base = round(info.start / info.time_base)
    step = 1 / info.fps / info.time_base
    index, last = 0, base - 1

    def damage() -> str:
        return f"decoding stops after frame {index}"

    for frame in decode_stream(info, info.video_index, damage):
        if frame.is_corrupt and index and not info.tolerant:
            raise InputError(
                f"{info.path} is damaged: the decoder marks frame {index + 1} as corrupt; copy it again, or pass "
                "--allow_truncated to use the rest"
            )
        pts = frame.pts if frame.pts is not None else base + round(index * step)
        pts = last + 1 if pts <= last else pts
        index, last = index + 1, pts
        yield pts, frame
    lost = info.frames - index
    # Elsewhere two packets may be one frame, or a packet none (fields).
    if info.complete and lost > (LOST_AT_START if info.open_groups else 0) and not info.tolerant:
        raise InputError(
            f"{info.path} is damaged: {index} of its {info.frames} frames can be decoded; copy it again, or pass "
            "--allow_truncated to use the rest"
        )


def decode_stream(info: VideoInfo, index: int, damage: Callable[[], str]) -> Iterator[Any]:
    """Decode every frame, or block of audio, of one stream.

    Args:
        info: The video.
        index: Number of the stream in the file.
        damage: Called to describe what has been reached when something cannot be decoded.

    Raises:
        InputError: If something cannot be decoded and the video was not opened with ``allow_truncated``.
    """
    av = pyav()
    with open_container(info.path) as container:
        stream = container.streams[index]
        if stream.type == "video":
            # frames in parallel: files are read in order here, unlike by random access
            stream.thread_type = "AUTO"
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                frames = [] if packet is None else packet.decode()
            except av.error.EOFError:
                return
            except av.error.FFmpegError as error:
                if not info.tolerant:
                    raise InputError(
                        f"{info.path} is damaged: {damage()} ({error.strerror}); copy it again, or pass "
                        "--allow_truncated to use the rest"
                    ) from error
                log.warning("%s: skipping a damaged part (%s)", info.path, damage())
                continue
            if packet is None:
                return
            yield from frames


def iterate_frames(
    video: VideoInfo | Path | str, size: tuple[int, int] | None = None
) -> Iterator[DecodedFrame]:
    """Decode every frame as upright RGB, in presentation order; one frame in memory at a time.

    Args:
        video: A path, or the result of :func:`open_video`.
        size: (H, W) to resize to on the way from the codec's pixels to RGB; None keeps the video's own.

    Raises:
        InputError: As :func:`open_video`, or if decoding fails in the middle.
    """
    info = video if isinstance(video, VideoInfo) else open_video(video)
    base = round(info.start / info.time_base)
    for index, (pts, frame) in enumerate(decode_video(info)):
        start = float((pts - base) * info.time_base)
        yield DecodedFrame(index, pts, start, to_rgb(frame, info, size))


def to_rgb(frame: Any, info: VideoInfo | None = None, size: tuple[int, int] | None = None) -> np.ndarray:
    """Convert an ``av.VideoFrame`` to upright RGB, uint8 (H, W, 3).

    Args:
        frame: Any pixel format; its own colour matrix and range are used.
        info: Its video, for orientation and size; without it a frame is taken as it is.
        size: (H, W) of the upright frame; that of the video's first frame if None, since later ones may differ.
    """
    height, width = size or ((info.height, info.width) if info else (None, None))
    if info and info.rotation % 180:
        height, width = width, height
    rgb = frame.reformat(width=width, height=height, format="rgb24", interpolation=RESIZE_FLAGS).to_ndarray()
    return set_upright(rgb, info) if info else rgb


def set_upright(pixels: np.ndarray, info: VideoInfo) -> np.ndarray:
    """Mirror and rotate a stored frame (h, w, ...) as its video is shown: (H, W, ...)."""
    if not (info.mirrored or info.rotation):
        return pixels
    # a copy: torch reads no array whose axes run backwards
    return np.ascontiguousarray(np.rot90(pixels[:, :: -1 if info.mirrored else 1], info.rotation // 90))


def _orientation(frame: Any) -> tuple[int, bool]:
    """Counter-clockwise degrees by which a frame must be rotated, after it was mirrored if the second is True."""
    from av.sidedata.sidedata import Type

    matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return 0, False
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].astype(float)  # columns of x and y, 16.16 bits
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return round(math.degrees(math.atan2(-b, a)) / 90) % 4 * 90, bool(mirrored)


def _choose_video(container: Any, path: Path) -> tuple[Any, list[str]]:
    """Select the video stream with the most pixels that can be decoded, and note the others."""
    from av.stream import Disposition

    images = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    every = [s for s in container.streams.video if not s.disposition & images]
    streams = [s for s in every if s.codec_context is not None and s.codec_context.width]
    if not streams:
        audio = len(container.streams.audio)
        found = f"only audio ({audio} stream{'s' * (audio != 1)})" if audio else "neither video nor audio"
        if every:
            found = "only some that cannot be decoded, for lack of a decoder or of a size"
        raise InputError(f"{path} has no video stream, {found}: give a file with frames")
    stream = max(streams, key=lambda s: s.codec_context.width * s.codec_context.height)  # the first of equals
    notes = _undecodable(every, "video")
    if len(streams) > 1:
        others = ", ".join(f"stream {s.index} ({_size(s)})" for s in streams if s is not stream)
        notes.append(
            f"{len(streams)} video streams: taking the larger, "
            f"stream {stream.index} ({_size(stream)}), not {others}"
        )
    return stream, notes


def _choose_audio(container: Any, path: Path, notes: list[str]) -> AudioInfo | None:
    """Select the audio stream that FFmpeg ranks best among those that can be decoded, or None; notes the others."""
    every = container.streams.audio
    streams = [s for s in every if s.codec_context is not None and s.codec_context.sample_rate]
    notes += _undecodable(every, "audio")
    if not streams:
        return None
    best = container.streams.best("audio")
    stream = next((s for s in streams if best is not None and s.index == best.index), streams[0])
    context = stream.codec_context
    check_rate(path, context.sample_rate)
    if len(every) > 1:
        notes.append(f"{len(every)} audio streams: taking stream {stream.index} ({context.layout.name})")
    return AudioInfo(
        index=stream.index,
        codec=context.name,
        channels=context.channels,
        layout=context.layout.name,
        rate=context.sample_rate,
        start=Fraction(stream.start_time or 0) * Fraction(stream.time_base),
    )


def check_rate(path: Path, rate: int) -> None:
    """Refuse sample rates that cannot be meant: resampling them needs absurd amounts of memory.

    Raises:
        InputError: If the rate lies outside the limits.
    """
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise InputError(
            f"{path}: its audio claims {rate} samples per second; {LOWEST_RATE} to {HIGHEST_RATE} can be read: "
            "re-encode it"
        )


def _undecodable(streams: Iterable[Any], kind: str) -> list[str]:
    """Note the streams in codecs that FFmpeg's libraries do not have."""
    lacking = [str(s.index) for s in streams if s.codec_context is None]
    return [f"no decoder for {kind} stream {', '.join(lacking)}: not used"] if lacking else []


def _size(stream: Any) -> str:
    return f"{stream.codec_context.width}x{stream.codec_context.height}"
