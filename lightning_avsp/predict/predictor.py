"""Maps for every frame of a film, from any conditional denoiser: clip by clip, with bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lightning_avsp.data.reader import reverse
from lightning_avsp.diffusion import GaussianDiffusion, Sampling, stable_seed
from lightning_avsp.errors import InputError
from lightning_avsp.media.audio import AudioInput, LogMel, to_mono
from lightning_avsp.media.soundtrack import read_sound
from lightning_avsp.media.video import FilmInfo, iterate_frames, open_film
from lightning_avsp.predict.clips import FilmClip, sliding_clips
from lightning_avsp.structures import ClipPolicy, DiffusionNetwork
from lightning_avsp.tasks.prediction import draw_maps

Modality = Literal["av", "v", "a"]


@dataclass
class FilmReport:
    """What happened while a film was predicted; filled in by :func:`predict_film`."""

    seconds: dict[str, float] = field(default_factory=dict)
    """Time spent in ``sound``, ``decode`` (with the cutting of clips) and ``network``."""
    used: str = ""
    """What the network made features of: ``av``, ``v`` or ``a``. A network without an audio encoder leaves sound
    unused whatever was asked for."""


def predict_film(
    network: DiffusionNetwork,
    diffusion: GaussianDiffusion,
    sampling: Sampling,
    film: FilmInfo | Path | str,
    *,
    size: tuple[int, int],
    audio: AudioInput,
    map_size: tuple[int, int] | None = None,
    clip: ClipPolicy | None = None,
    stride: int = 1,
    modality: Modality = "av",
    seed: int = 0,
    batch: int = 4,
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] | None = None,
    report: FilmReport | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """A map for every frame of a film, in order.

    Each frame is decoded once; the clip around a target repeats the film's first and last frame where it
    hangs over. Each clip is encoded once, whatever the number of denoising steps. The noise of a frame comes
    from ``seed`` and the frame's number alone, so neither ``batch`` nor ``stride`` changes a predicted map.

    Args:
        network: Conditional denoiser; moved to ``device`` and set to eval mode.
        diffusion: The noise schedule it was trained with.
        sampling: Algorithm, steps, and samples per map.
        film: A path, or what :func:`~lightning_avsp.media.video.open_film` returned.
        size: (H, W) of the frames that the network sees.
        audio: How sound becomes log-mel slices or a waveform.
        map_size: (H, W) of its maps; ``size`` when None.
        clip: Which frame of a clip its map belongs to, how far its frames lie apart, and what happens at the head of
            the film; that of the network's length, with the target at its centre, by default.
        stride: Predict every ``stride``-th frame and the last one; maps in between are interpolated linearly
            in the frame number.
        modality: Picture and sound, picture only, or sound only. A film without sound is predicted from its
            picture.
        seed: Start of every frame's noise.
        batch: Clips per forward pass.
        device: Where the network runs.
        progress: Called with the number of maps done so far.
        report: Filled in as the film is predicted.

    Yields:
        0-based frame number, and its map, float32 (H, W) in [0, 1].

    Raises:
        InputError: If the film cannot be decoded, a setting is out of range, or a silent film is asked for
            modality ``a``.
    """
    if stride < 1 or batch < 1:
        raise InputError(f"stride={stride} and batch={batch} must both be at least 1")
    info = film if isinstance(film, FilmInfo) else open_film(film)
    if modality == "a" and info.sound is None:
        raise InputError(f"{info.path} has no sound track, which modality 'a' needs: use --modality v")
    report = report if report is not None else FilmReport()
    clock = _Stopwatch(report.seconds)
    policy = clip or ClipPolicy(frames=network.clip_frames)
    with clock.part("sound"):
        listen = modality != "v" and info.sound is not None
        sound = _Sound(info, audio, policy.reverse_audio) if listen else None
    network = network.to(device).eval()
    clips = sliding_clips(
        iterate_frames(info, size),
        policy.frames,
        policy.target_index,
        stride,
        float(1 / info.fps),
        policy.stride,
        policy.start_padding == "reversed",
    )

    def predicted() -> Iterator[tuple[int, np.ndarray]]:
        while True:
            with clock.part("decode"):
                group = list(islice(clips, batch))
            if not group:
                return
            with clock.part("sound"):
                mel = None if sound is None else torch.stack([sound.slices(clip) for clip in group])
            with clock.part("network"):
                maps, report.used = _predict_clips(
                    network,
                    diffusion,
                    sampling,
                    None if modality == "a" else torch.from_numpy(np.stack([clip.frames for clip in group])),
                    mel,
                    map_size or size,
                    [stable_seed(seed, clip.target) for clip in group],
                    torch.device(device),
                )
            yield from zip([clip.target for clip in group], maps, strict=True)

    for index, saliency in fill_between(predicted()):
        yield index, saliency
        if progress is not None:
            progress(index + 1)


@torch.inference_mode()
def _predict_clips(
    network: DiffusionNetwork,
    diffusion: GaussianDiffusion,
    sampling: Sampling,
    frames: Tensor | None,
    mel: Tensor | None,
    map_size: tuple[int, int],
    seeds: list[int],
    device: torch.device,
) -> tuple[np.ndarray, str]:
    """Maps (B, H, W), and what was used, from frames uint8 (B, T, H, W, 3) and mel (B, 1, S, Ha, Wa)."""
    video = None if frames is None else network.normalize_video(frames.to(device))  # (B, 3, T, H, W)
    condition = network.encode(video, None if mel is None else mel.to(device))
    used = ("a" if condition.audio is not None else "") + ("v" if condition.video else "")
    maps = draw_maps(network, condition, sampling, diffusion, (len(seeds), 1, *map_size), seeds, device)
    return maps[:, 0].cpu().numpy(), used


def fill_between(maps: Iterable[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
    """Maps of all frames from those of some: linear in the frame number between neighbours.

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


class _Sound:
    """Log-mel slices of a film's clips; the track is held as one channel at the slices' own rate."""

    def __init__(self, info: FilmInfo, config: AudioInput, reverse: bool = False) -> None:
        self.reverse = reverse
        wave, rate, self.offset = read_sound(info, reduce=lambda block: to_mono(block)[None])  # (1, N)
        self.wave = config.prepare(wave, rate)
        self.config = config

    def slices(self, clip: FilmClip) -> Tensor:
        """The sound that belongs to a clip, (1, S, Ha, Wa) or (1, N)."""
        start, stop = clip.start - self.offset, clip.stop - self.offset
        if (
            isinstance(self.config, LogMel) and self.config.alignment == "released"
        ):  # there the frames that hang over take no time
            start, stop = start + clip.overhang[0], stop - clip.overhang[1]
        wave = self.wave
        if self.reverse and clip.reversed:
            wave, start, stop = reverse(wave, start, stop)
        return self.config.cut(wave, start, stop, clip.covered)


class _Stopwatch:
    """Adds up the seconds spent in named parts."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds
        self.name, self.begin = "", 0.0

    def part(self, name: str) -> _Stopwatch:
        self.name = name
        return self

    def __enter__(self) -> None:
        self.begin = perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds[self.name] = self.seconds.get(self.name, 0.0) + perf_counter() - self.begin
