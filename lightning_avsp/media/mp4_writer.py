"""mp4 files written with PyAV: H.264 frames on the original's clock, with the original's audio."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from lightning_avsp.media.audio_track import decode_audio
from lightning_avsp.media.video import RESIZE_FLAGS, VideoInfo, open_container, pyav

#: Audio codecs that every player takes inside mp4: their packets are copied, all others become AAC.
COPIED = ("aac", "mp3", "mp3float")
#: Sampling rates of AAC; others are resampled to 48 kHz.
AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
#: Layouts the AAC encoder takes, by number of channels; variants such as 5.1(side) are mapped onto them.
AAC_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
AAC_BITS_PER_CHANNEL = 96_000
#: ITU-T H.273 matrices that swscale can convert with.
MATRICES = (1, 4, 5, 6, 7, 9)


class Mp4Writer:
    """One mp4 file with the frame size, timestamps and audio of another video.

    Odd sizes are made even by repeating the last row or column, which 4:2:0 colour needs. Audio packets are
    written in step with the frames, so memory does not grow with the video.

    Args:
        path: File to write.
        info: The video whose size, clock, colour matrix and audio are copied.
    """

    def __init__(self, path: Path, info: VideoInfo) -> None:
        self.info = info
        audio_start = info.audio.start if info.audio else info.start
        self.shift = min(info.start, audio_start)  # the earlier of the two begins at 0
        # the index in front, so that a browser plays before it has everything
        self.container = pyav().open(str(path), "w", format="mp4", options={"movflags": "faststart"})
        self.matrix = info.colour[0] if info.colour[0] in MATRICES else None
        self.video = self._add_video()
        self.audio: Iterator[tuple[Fraction, list[Any]]] | None = None
        self.source: Any = None
        self.pending: tuple[Fraction, list[Any]] | None = None
        if info.audio is not None:
            self.audio = self._copied() if info.audio.codec in COPIED else self._encoded()
            self.pending = next(self.audio, None)  # adds the audio stream before the header is written

    def write(self, image: np.ndarray, pts: int) -> None:
        """Add a frame.

        Args:
            image: RGB, uint8 (H, W, 3), or grey, uint8 (H, W), of the video's size.
            pts: Presentation time in the video's time base.
        """
        height, width = image.shape[:2]
        if height % 2 or width % 2:
            edges = ((0, height % 2), (0, width % 2), (0, 0))[: image.ndim]
            image = np.pad(image, edges, mode="edge")
        frame = pyav().VideoFrame.from_ndarray(
            np.ascontiguousarray(image), format="gray" if image.ndim == 2 else "rgb24"
        )
        frame = frame.reformat(format="yuv420p", dst_colorspace=self.matrix, interpolation=RESIZE_FLAGS)
        frame.pts = pts - round(self.shift / self.info.time_base)
        frame.time_base = self.info.time_base
        self._write_audio(Fraction(frame.pts) * self.info.time_base)
        self.container.mux(self.video.encode(frame))

    def close(self) -> None:
        """Write the rest and finish the file."""
        rest = self.video.encode(None)
        if rest:  # the encoder knows when frames begin, and not when the last one ends
            rest[-1].duration = round(self.info.last / rest[-1].time_base)
        self.container.mux(rest)
        self._write_audio(None)
        self.container.close()
        self._close_source()

    def abort(self) -> None:
        """Close the file without finishing it; it cannot be played."""
        self._close_source()
        self.container.close()

    def __enter__(self) -> Mp4Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Finish the file, or abandon it after an error."""
        if kind is None:
            self.close()
        else:
            self.abort()

    def _add_video(self) -> Any:
        info = self.info
        stream = self.container.add_stream("libx264", rate=info.fps)
        stream.width, stream.height = info.width + info.width % 2, info.height + info.height % 2
        stream.pix_fmt = "yuv420p"
        # "veryfast" at 18 is visually lossless and encodes faster than networks predict; in the order of presentation,
        # in which mp4 can state how long the last frame stays.
        stream.options = {"preset": "veryfast", "crf": "18", "bf": "0"}
        context = stream.codec_context
        context.time_base = info.time_base  # the video's own clock, so that variable frame rate survives
        context.sample_aspect_ratio = info.pixel_aspect
        context.color_range = 1  # limited, as reformat() makes it
        if self.matrix is not None:
            context.colorspace, context.color_primaries, context.color_trc = info.colour
        return stream

    def _write_audio(self, until: Fraction | None) -> None:
        """Write audio up to a time on the output's clock, or the whole rest."""
        while self.pending is not None and self.audio is not None:
            time, packets = self.pending
            if until is not None and time > until:
                return
            self.container.mux(packets)
            self.pending = next(self.audio, None)

    def _copied(self) -> Iterator[tuple[Fraction, list[Any]]]:
        """Move the video's own audio packets to the output's clock."""
        assert self.info.audio is not None
        errors = pyav().error.FFmpegError
        self.source = open_container(self.info.path)
        origin = self.source.streams[self.info.audio.index]
        stream = self.container.add_stream_from_template(origin)
        shift = round(self.shift / origin.time_base)
        try:
            for packet in self.source.demux(origin):
                if packet.size == 0 or packet.pts is None or packet.is_corrupt:
                    continue
                time = (packet.pts - shift) * Fraction(origin.time_base)
                packet.pts -= shift
                packet.dts = packet.pts  # audio is never reordered
                packet.stream = stream
                yield time, [packet]
        except errors:  # only a video accepted as damaged gets here: the survey refuses others
            return

    def _encoded(self) -> Iterator[tuple[Fraction, list[Any]]]:
        """Encode the video's audio as AAC with all its channels."""
        info = self.info.audio
        assert info is not None
        rate = info.rate if info.rate in AAC_RATES else 48000
        stream = self.container.add_stream("aac", rate=rate, layout=AAC_LAYOUTS.get(info.channels, "stereo"))
        stream.bit_rate = AAC_BITS_PER_CHANNEL * info.channels
        for frame in decode_audio(self.info):
            if frame.pts is not None:
                frame.pts -= round(self.shift / frame.time_base)
            yield Fraction(frame.pts or 0) * frame.time_base, stream.encode(frame)
        yield Fraction(0), stream.encode(None)

    def _close_source(self) -> None:
        if self.source is not None:
            self.source.close()
