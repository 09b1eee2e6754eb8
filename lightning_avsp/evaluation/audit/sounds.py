"""Test frames read once, each with every sound that it is played with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightning_avsp.data import AVSaliencyDataModule
from lightning_avsp.data.collate import collate
from lightning_avsp.data.dataset import EvaluationFrames
from lightning_avsp.data.reader import ClipReader, Sample
from lightning_avsp.evaluation.audit.subject import AuditData
from lightning_avsp.structures import SaliencyBatch
from lightning_avsp.tasks.loading import LoadedModel

TRUE = "true"
OTHER = "other_video"
WITHOUT = "none"


@dataclass(frozen=True)
class Sound:
    """One sound that videos are played with."""

    name: str
    """Name in the JSON file."""
    title: str
    """What the table says."""


def sounds_of(shift: float) -> tuple[Sound, ...]:
    """The sounds of the audit; a shift of 0 leaves the shifted ones out."""
    shifted = (Sound("late", f"its own, {shift:g} s late"), Sound("early", f"its own, {shift:g} s early"))
    return (
        Sound(TRUE, "its own"),
        Sound("silent", "silence"),
        *(shifted if shift else ()),
        Sound(OTHER, "another video's"),
        Sound(WITHOUT, "no sound input"),
    )


HeardSample = tuple[Sample, dict[str, Tensor]]
HeardBatch = tuple[SaliencyBatch, dict[str, Tensor]]


class HeardFrames(Dataset[HeardSample]):
    """Frames to be scored, each with log-mel slices of several sounds.

    Args:
        frames: The frames with their own sound.
        readers: A reader of each other sound, by name.
    """

    def __init__(self, frames: EvaluationFrames, readers: Mapping[str, ClipReader]) -> None:
        self.frames = frames
        self.readers = dict(readers)
        for reader in self.readers.values():
            reader.waves = frames.reader.waves  # each file is decoded and resampled once, whoever plays it

    def __len__(self) -> int:
        """Frames to be scored."""
        return len(self.frames)

    def __getitem__(self, index: int) -> HeardSample:
        """One frame, and its log-mel slices float32 (1, S, Ha, Wa) by name of the sound, its own among them."""
        sample = self.frames[index]
        entry, clip = self.frames.clip(index)
        others = {name: reader.read_audio(entry, clip)[0] for name, reader in self.readers.items()}
        return sample, {TRUE: sample["audio"], **others}


def collate_heard(samples: Sequence[HeardSample]) -> HeardBatch:
    """A batch, and each sound (B, 1, S, Ha, Wa)."""
    sounds = [heard for _, heard in samples]
    stacked = {name: torch.stack([heard[name] for heard in sounds]) for name in sounds[0]}
    return collate([sample for sample, _ in samples]), stacked


def heard_loader(
    data: AuditData, model: LoadedModel, shift: float
) -> tuple[AVSaliencyDataModule, DataLoader[HeardBatch]]:
    """The test videos with every sound, and the data module behind them.

    Args:
        data: Which videos.
        model: Says how it must be fed.
        shift: Seconds that sound is shifted by, both ways; 0 leaves that out.

    Raises:
        InputError: If there is only one test video, which has no other whose sound it could take.
    """
    true = data.module(model)
    true.setup("test")
    others = {"silent": data.module(model, "silent"), OTHER: data.module(model, "other_video")}
    if shift:
        others |= {
            "late": data.module(model, test_audio_shift=shift),
            "early": data.module(model, test_audio_shift=-shift),
        }
    readers = {name: _frames(module).reader for name, module in others.items()}
    dataset = HeardFrames(_frames(true), readers)
    loader = DataLoader(
        cast(Any, dataset), batch_size=data.batch, num_workers=data.workers, collate_fn=collate_heard
    )
    return true, loader


def _frames(module: AVSaliencyDataModule) -> EvaluationFrames:
    frames = module.test_dataloader().dataset
    assert isinstance(frames, EvaluationFrames)
    return frames
