"""What an audit looks at: a model, the test videos, and the groups of videos that are reported apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from lightning_avsp.data import AVSaliencyDataModule
from lightning_avsp.data.captions.frames import Captions
from lightning_avsp.data.catalogue import find_corpus
from lightning_avsp.data.entries import VideoKey
from lightning_avsp.data.missing_audio import MissingAudio
from lightning_avsp.data.options import EvaluationOptions, LoadingOptions
from lightning_avsp.tasks.loading import LoadedModel, load_model

CONDITION_TITLES = {"sound": "sound decides", "music": "unrelated music", "silent": "silent"}
"""What decides where the observers of a synthetic video look."""


@dataclass(frozen=True)
class Subject:
    """A model with the seed of its noise."""

    model: LoadedModel
    seed: int = 0
    """Start of the noise that maps are drawn from; with the training's seed, maps are those of `lightning test`."""


@dataclass(frozen=True)
class AuditData:
    """Test frames that an audit predicts."""

    root: Path
    """Folder with the corpora."""
    corpora: tuple[str, ...] = ("AVAD",)
    """Public names."""
    split: int = 1
    """Published split, 1 to 3."""
    every: int = 5
    """Every k-th frame of each test video."""
    batch: int = 8
    """Clips per forward pass."""
    workers: int = 0
    """Loader processes."""
    missing_audio: MissingAudio = "error"
    """What to do with videos without a sound file."""
    limit_videos: int | None = None
    """At most so many test videos, the first listed; for trials."""

    def module(
        self,
        model: LoadedModel,
        test_audio: Literal["true", "other_video", "silent"] = "true",
        test_audio_shift: float = 0.0,
        captions: Captions | None = None,
    ) -> AVSaliencyDataModule:
        """Data as the model was fed in training, with the given sound."""
        return AVSaliencyDataModule(
            root=self.root,
            corpora=list(self.corpora),
            split=self.split,
            size=model.size,
            map_size=model.map_size,
            clip=model.clip,
            audio=model.audio,
            batch_size=self.batch,
            num_workers=self.workers,
            captions=captions,
            test=EvaluationOptions(self.every, audio=test_audio, audio_shift=test_audio_shift),
            loading=LoadingOptions(missing_audio=self.missing_audio, limit_videos=self.limit_videos),
        )

    def facts(self) -> dict[str, Any]:
        """What was looked at, for the record."""
        return {
            "root": str(self.root),
            "corpora": list(self.corpora),
            "split": self.split,
            "test_every": self.every,
            "missing_audio": self.missing_audio,
            "limit_videos": self.limit_videos,
        }


def open_subject(
    checkpoint: Path, device: str = "auto", steps: int | None = None, seed: int | None = None
) -> Subject:
    """The model of a checkpoint on its device, in eval mode.

    Args:
        checkpoint: A training run's ``.ckpt``, or an official DiffSal file.
        device: ``auto``, ``cpu``, ``cuda``, ...
        steps: Denoising steps; the checkpoint's own number when None.
        seed: Start of all noise; the checkpoint's own when None, or 0 if it has none.

    Raises:
        InputError: If the file is no such checkpoint, the device is absent, or there are too many steps.
    """
    from lightning_avsp.predict.job import pick_device

    chosen = pick_device(device)
    model = load_model(checkpoint)
    if steps is not None:
        model = replace(model, sampling=replace(model.sampling, steps=steps))
    model.sampling.timesteps(model.diffusion)  # refuses more steps than the process has
    model.network.to(chosen).eval()
    return Subject(model, stored_seed(checkpoint) if seed is None else seed)


def stored_seed(checkpoint: Path) -> int:
    """Seed that the run behind a checkpoint gave to its draws; 0 where the file does not say."""
    content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    settings = content.get("hyper_parameters") if isinstance(content, dict) else None
    seed = settings.get("seed") if isinstance(settings, dict) else None
    return seed if isinstance(seed, int) else 0


def video_groups(data: AVSaliencyDataModule, videos: Iterable[VideoKey]) -> dict[str, list[VideoKey]]:
    """Groups of videos to report apart: all, each corpus if there are several, each condition if synthetic."""
    from lightning_avsp.synthetic import read_conditions

    everything = sorted(set(videos))
    groups = {"all videos": everything}
    if len(data.corpora) > 1:
        groups |= {name: [key for key in everything if key[0] == name] for name in data.corpora}
    for corpus in data.synthetic:
        conditions = read_conditions(data.root, find_corpus(corpus, data.root).folder)
        for condition, title in CONDITION_TITLES.items():
            found = [key for key in everything if key[0] == corpus and conditions.get(key[1]) == condition]
            if found:
                groups[f"{corpus} (SYNTHETIC), {title}"] = found
    return groups
