"""Maps of every frame of a video: clip by clip, with bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from time import perf_counter
from typing import Literal

import numpy as np
import torch

from lightning_avsp.data.reader import clip_audio, clip_span
from lightning_avsp.errors import InputError
from lightning_avsp.media.audio_track import AudioStream
from lightning_avsp.media.video import DecodedFrame, VideoInfo, iterate_frames
from lightning_avsp.parallel import work_ahead
from lightning_avsp.predict.captions import VideoCaptions
from lightning_avsp.predict.clips import VideoClip, video_clips
from lightning_avsp.structures import SaliencyBatch
from lightning_avsp.tasks.loading import LoadedModel
from lightning_avsp.tasks.prediction import pin_batch, used_modalities

Modality = Literal["av", "v", "a"]


@dataclass
class PredictionReport:
    """Course of a prediction; filled in by :func:`predict_video`."""

    seconds: dict[str, float] = field(default_factory=dict)
    """Time spent in ``decode`` (with the cutting of clips) and ``audio``, each in a thread of its own, and in the
    network: ``encode`` and ``denoise``. A GPU does the first of these during the second. A writer adds ``write``."""
    used: str = ""
    """Modalities that the maps depend on, e.g. ``av`` or ``tav``. A network without an audio encoder leaves audio
    unused."""
    times: Sequence[float] = ()
    """Seconds after the first frame at which each frame that was decoded so far is shown."""
    damage: str = ""
    """Error that ended the decoding of the video before its end; frames before it are predicted."""

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add the seconds of a block to a part."""
        begin = perf_counter()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + perf_counter() - begin


def predict_video(
    model: LoadedModel,
    video: VideoInfo,
    *,
    stride: int = 1,
    modality: Modality = "av",
    captions: VideoCaptions | None = None,
    batch: int = 4,
    start: int = 0,
    report: PredictionReport | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Predict a map for every frame of a video, in order.

    Each frame and each block of audio is decoded once, when its turn comes, and each clip is encoded once, whatever
    the number of denoising steps. The noise of a frame depends on the model's seed and the frame's number alone, so
    neither ``batch`` nor ``stride`` changes a map.

    Args:
        model: The model, on its device.
        video: Result of :func:`~lightning_avsp.media.video.open_video`.
        stride: Predict every ``stride``-th frame and the last one; maps in between are interpolated linearly in the
            frame number.
        modality: Frames and audio, frames only, or audio only. A video without audio is predicted from its frames.
        captions: Captions, for a network that reads text.
        batch: Clips per forward pass.
        start: First predicted frame, from 0; a multiple of ``stride``.
        report: Filled in during prediction. Damage of the video ends the frames and is noted here, if it is given.

    Yields:
        Frame number from 0, and its map, float32 (H, W) in [0, 1].

    Raises:
        InputError: If the video cannot be decoded, a setting is out of range, or a video without audio is asked for
            modality ``a``.
    """
    if stride < 1 or batch < 1:
        raise InputError(f"stride={stride} and batch={batch} must both be at least 1")
    if modality == "a" and video.audio is None:
        raise InputError(f"{video.path} has no audio, which modality 'a' needs: use --modality v")
    noted, report = report is not None, report or PredictionReport()
    audio, fps = model.spec.audio, float(video.fps)
    silent = modality == "v" or video.audio is None
    stream = None if silent else AudioStream(video, audio.target_rate)

    def decoded() -> Iterator[DecodedFrame]:
        try:
            yield from iterate_frames(video, model.spec.size)
        except InputError as error:
            if not noted:
                raise
            report.damage = str(error)

    def cut() -> Iterator[VideoClip]:
        clips = video_clips(decoded(), model.spec.clip, stride, start)
        while True:
            with report.timed("decode"):
                clip = next(clips, None)
            if clip is None:
                return
            yield clip

    def read(group: list[VideoClip]) -> SaliencyBatch:
        numbers = [item.clip.target for item in group]
        # one name for all videos: the noise must not depend on the file's name
        names = [""] * len(group)
        found: SaliencyBatch = {"corpus": names, "video_id": names, "frame": torch.tensor(numbers)}
        if modality != "a":
            found["video"] = torch.from_numpy(np.stack([item.frames for item in group]))
        if stream is not None:
            spans = [(item.clip, clip_span(audio, item.clip, fps, item.times)) for item in group]
            waves = [clip_audio(audio, stream.around(*span), clip, span) for clip, span in spans]
            found["audio"] = torch.stack(waves)
        if captions is not None:
            found["text"] = torch.stack([captions.tokens(number) for number in numbers])
        return found

    def batches() -> Iterator[SaliencyBatch]:
        # decoding takes a third of the time of reading: a thread for it, and one for the rest
        clips = work_ahead(cut(), batch)
        while group := list(islice(clips, batch)):
            report.times = group[-1].times
            with report.timed("audio"):
                found = read(group)
            # in this thread, so that the copy to the GPU need not wait in the other
            yield pin_batch(found) if model.device.type == "cuda" else found

    def predicted() -> Iterator[tuple[int, np.ndarray]]:
        # the next clips are decoded while the network predicts these
        for clip_batch in work_ahead(batches()):
            with torch.inference_mode():
                with report.timed("encode"):
                    inputs = model.inputs(clip_batch)
                    encoded = model.encode(inputs)
                report.used = used_modalities(model.network, inputs, encoded)
                with report.timed("denoise"):
                    maps = model.sample(encoded, clip_batch)[:, 0].cpu().numpy()
            yield from zip((clip_batch["frame"] - 1).tolist(), maps, strict=True)

    yield from fill_between(predicted())


def fill_between(maps: Iterable[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
    """Interpolate the maps of all frames from those of some, linearly in the frame number.

    Args:
        maps: Frame numbers, increasing from 0, and maps (H, W).
    """
    previous: tuple[int, np.ndarray] | None = None
    for index, saliency in maps:
        if previous is not None:
            before, earlier = previous
            for between in range(before + 1, index):
                weight = np.float32((between - before) / (index - before))
                yield between, earlier + weight * (saliency - earlier)
        yield index, saliency
        previous = index, saliency
