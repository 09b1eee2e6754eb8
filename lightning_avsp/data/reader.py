"""Reader of the clips of a video: frames, audio, target map, and ground truth for evaluation."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from lightning_avsp.data.cache.sources import SUFFIXES, prepared_wave
from lightning_avsp.data.captions.features import TextSource
from lightning_avsp.data.clips import Clip
from lightning_avsp.data.entries import VideoEntry, VideoKey
from lightning_avsp.data.sources import FrameSource, VideoMaps
from lightning_avsp.media.audio import CONTEXT_S, AudioInput, LogMel, Wave
from lightning_avsp.media.audio_track import load_audio
from lightning_avsp.media.images import resize


class FrameReader:
    """Reads the frames of clips and remembers the last decoded ones.

    Args:
        size: (height, width) of the frames that are returned.
        capacity: Frames to remember; 0 remembers none.
    """

    def __init__(self, size: tuple[int, int], capacity: int = 0) -> None:
        self.size = size
        self.capacity = capacity
        self._kept: OrderedDict[tuple[FrameSource, int], np.ndarray] = OrderedDict()

    def read(self, source: FrameSource, numbers: Sequence[int]) -> Tensor:
        """Read frames by number: uint8 (T, H, W, 3), RGB. A repeated number is decoded once."""
        wanted = list(dict.fromkeys(numbers))
        if not self.capacity:
            frames = source.read(wanted, self.size)
            if len(wanted) < len(numbers):
                frames = frames[[wanted.index(number) for number in numbers]]
            return torch.from_numpy(frames)
        missing = [number for number in wanted if (source, number) not in self._kept]
        decoded = source.read(missing, self.size) if missing else ()
        # neighbouring clips of an evaluation share all frames but one
        new = dict(zip(missing, decoded, strict=True))
        for number in wanted:  # last used, last out
            self._kept[source, number] = new[number] if number in new else self._kept.pop((source, number))
        clip = torch.from_numpy(np.stack([self._kept[source, number] for number in numbers]))
        while len(self._kept) > self.capacity:
            self._kept.popitem(last=False)
        return clip


class WaveStore:
    """Loads, mixes and resamples an audio file once and keeps the last used ones, up to a number of bytes.

    Args:
        config: Audio input, which defines the sample rate.
        capacity_bytes: Memory for samples (256 MiB: over an hour at 16 kHz). The newest wave is kept whatever
            its size.
    """

    def __init__(self, config: AudioInput, capacity_bytes: int = 1 << 28) -> None:
        self.config = config
        self.capacity_bytes = capacity_bytes
        self._kept: OrderedDict[Path, Wave] = OrderedDict()

    def get(self, path: Path) -> Wave:
        """Return the audio of a file, ready for the input's ``cut``."""
        # resampling a video's audio takes longer than all other work on a clip's
        wave = self._kept.pop(path, None)
        if wave is None:
            wave = self._load(path)
        self._kept[path] = wave  # last used, last out
        # The newest stays whatever its size, or a long video would be resampled anew for every clip
        bytes_of = [kept.samples.numel() * kept.samples.element_size() for kept in self._kept.values()]
        while len(bytes_of) > 1 and sum(bytes_of) > self.capacity_bytes:
            self._kept.popitem(last=False)
            del bytes_of[0]
        return wave

    def _load(self, path: Path) -> Wave:
        # a cache stores some rates; another one is resampled from the original file
        if path.suffix in SUFFIXES:
            found = prepared_wave(path, self.config.target_rate)
            if isinstance(found, Wave):
                return found
            path = found
        return self.config.prepare(*load_audio(path))

    def __len__(self) -> int:
        """Return the number of files in memory."""
        return len(self._kept)


class Sample(TypedDict, total=False):
    """One clip before it is put into a batch: the fields of ``SaliencyBatch`` without the batch axis."""

    video: Tensor
    """uint8 (T, H, W, 3), RGB."""
    audio: Tensor
    """float32 (1, S, Ha, Wa) or (1, N)."""
    has_audio: bool
    text: Tensor
    """float32 (N, C); only where there are captions."""
    has_text: bool
    saliency: Tensor
    """uint8 (1, H, W)."""
    corpus: str
    video_id: str
    frame: int
    """Number of the target frame, from 1."""
    ground_truth: Tensor
    """uint8 (Hg, Wg), or float32 from 0 to 255 of maps with more bits; evaluation only."""
    fixations: Tensor
    """int64 (N, 2), (row, column); evaluation only."""
    redrawn: bool
    """Training only: True if the clip replaces one with a blank map."""


class ClipReader:
    """Reads clips and remembers frames and audio between them. One for each dataloader worker.

    Args:
        size: (height, width) of frames.
        map_size: (height, width) of target maps; that of the frames by default.
        audio: Form of the audio, with its settings.
        kept_frames: Decoded frames that are remembered (:class:`~lightning_avsp.data.reader.FrameReader`).
        audio_of: Audio to play with a video instead of its own, by (corpus, video): another file, or None for
            silence. Other videos keep theirs.
        shift_s: Seconds by which audio comes too late (negative: too early), for tests of whether a model uses audio.
            Outside the file is silence.
        text: Captions, or None.
    """

    def __init__(
        self,
        size: tuple[int, int],
        audio: AudioInput,
        *,
        map_size: tuple[int, int] | None = None,
        kept_frames: int = 0,
        audio_of: Mapping[VideoKey, Path | None] | None = None,
        shift_s: float = 0.0,
        text: TextSource | None = None,
    ) -> None:
        self.audio = audio
        self.map_size = map_size or size
        self.audio_of = dict(audio_of or {})
        self.shift_s = shift_s
        self.text = text
        self.frames = FrameReader(size, kept_frames)
        self.waves = WaveStore(audio)

    def read(
        self,
        entry: VideoEntry,
        clip: Clip,
        *,
        with_ground_truth: bool = False,
        gain: float = 1.0,
        target_map: Tensor | None = None,
    ) -> Sample:
        """Read one clip with its target map; ground truth at its own size for evaluation.

        Args:
            entry: The video.
            clip: Its frames.
            with_ground_truth: True to add the map at its own size and the fixations.
            gain: Factor on the samples of the audio.
            target_map: :meth:`target_map` of the clip, if it was read before.

        Raises:
            InputError: If a file of the clip cannot be read; the message names it.
        """
        truth = None
        if with_ground_truth and isinstance(entry.maps, VideoMaps):
            # read once: scored at their 10 bits, as the challenge does, and rounded as the network learns them
            truth = entry.maps.map(clip.target, deep=True)
            target_map, truth = ((truth + 128) // 257).to(torch.uint8), truth / 257
        saliency = self.target_map(entry, clip) if target_map is None else target_map  # (Hg, Wg)
        audio, has_audio = self.read_audio(entry, clip, gain)
        # the target map first: a broken one is found before frames are decoded
        sample: Sample = {
            "video": self.frames.read(entry.frames, clip.frames),
            "audio": audio,
            "has_audio": has_audio,
            # antialiased bilinear, for training targets alone: fixations stay points
            "saliency": torch.from_numpy(np.array(resize(saliency.numpy(), self.map_size)))[None],
            "corpus": entry.corpus,
            "video_id": entry.video,
            "frame": clip.target,
        }
        if self.text is not None:
            sample["text"], sample["has_text"] = self.text.tokens(entry.key, clip.target)
        if with_ground_truth:
            height, width = saliency.shape
            sample["ground_truth"] = saliency if truth is None else truth
            sample["fixations"] = entry.fixations.points(clip.target, (height, width))
        return sample

    def target_map(self, entry: VideoEntry, clip: Clip) -> Tensor:
        """Read the map of the clip's target frame at its own size, uint8 (Hg, Wg)."""
        return entry.maps.map(clip.target)

    def read_audio(self, entry: VideoEntry, clip: Clip, gain: float = 1.0) -> tuple[Tensor, bool]:
        """Read the audio of a clip, float32 (1, S, Ha, Wa) or (1, N), and return True if there is any.

        Args:
            entry: The video.
            clip: Its frames; audio covers their whole time, backwards if the clip is set so.
            gain: Factor on the samples.
        """
        own = entry.key not in self.audio_of
        path = entry.wave if own else self.audio_of[entry.key]
        start_s, stop_s = clip_span(self.audio, clip, entry.fps)
        if path is None:
            return self.audio.silence(start_s, stop_s, clip.covered), False
        wave = self.waves.get(path)
        start_s, stop_s = start_s - self.shift_s, stop_s - self.shift_s
        if not own:
            # Mismatched audio may be shorter than this video: start again instead of falling silent.
            turns = max(0.0, start_s) // wave.seconds
            start_s, stop_s = start_s - turns * wave.seconds, stop_s - turns * wave.seconds
        # a new Wave: the stored one serves other clips
        if gain != 1.0:
            wave = Wave(wave.samples * gain, wave.rate)
        return clip_audio(self.audio, wave, clip, (start_s, stop_s)), True


def clip_span(audio: AudioInput, clip: Clip, fps: float, times: Sequence[float] = ()) -> tuple[float, float]:
    """Return the time in seconds whose audio belongs to a clip, see :meth:`Clip.span`."""
    released = isinstance(audio, LogMel) and audio.alignment == "released"
    return clip.released_span(fps, times) if released else clip.span(fps, times)


def clip_audio(audio: AudioInput, wave: Wave, clip: Clip, span: tuple[float, float]) -> Tensor:
    """Cut the audio of a clip, float32 (1, S, Ha, Wa) or (1, N), backwards where the clip's audio is reversed.

    Args:
        audio: Settings of the network's audio input.
        wave: Audio of the video, as ``audio.prepare`` returns it.
        clip: The clip.
        span: Its time in ``wave``, in seconds (:func:`clip_span`).
    """
    start_s, stop_s = span
    if clip.audio_reversed:
        # with the context that resampling and spectrograms need on either side; zeros where there is no audio
        first, last = (
            math.floor((start_s - CONTEXT_S) * wave.rate),
            math.ceil((stop_s + CONTEXT_S) * wave.rate),
        )
        wave = Wave(wave.excerpt(first, last).flip(0), wave.rate)
        start_s, stop_s = last / wave.rate - stop_s, last / wave.rate - start_s
    return audio.cut(wave, start_s, stop_s, clip.covered)
