"""Samples to one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_avsp.data.batch_memory import parcel, stack
from lightning_avsp.data.reader import Sample
from lightning_avsp.structures import SaliencyBatch


class LoadedBatch(SaliencyBatch, total=False):
    """A batch with what the training loader takes out of it to count it."""

    redrawn: Tensor
    """Training: whether another clip was drawn first, whose map was blank: bool (B,)."""


def collate(samples: Sequence[Sample]) -> LoadedBatch:
    """Stack what has one shape, list what has not.

    Ground truth keeps its own size in every corpus and fixations are as many as they are, so both stay lists.
    """
    batch: LoadedBatch = {
        "video": stack([sample["video"] for sample in samples]),  # (B, T, H, W, 3)
        "audio": stack_sound([sample["audio"] for sample in samples]),  # (B, 1, S, Ha, Wa) or (B, 1, N)
        "has_audio": torch.tensor([sample["has_audio"] for sample in samples]),  # (B,)
        "saliency": torch.stack([sample["saliency"] for sample in samples]),  # (B, 1, H, W)
        "corpus": [sample["corpus"] for sample in samples],
        "video_id": [sample["video_id"] for sample in samples],
        "frame": torch.tensor([sample["frame"] for sample in samples]),  # (B,)
    }
    if "text" in samples[0]:
        batch["text"] = torch.stack([sample["text"] for sample in samples])  # (B, N, C)
        batch["has_text"] = torch.tensor([sample["has_text"] for sample in samples])  # (B,)
    if "ground_truth" in samples[0]:
        batch["ground_truth"] = [sample["ground_truth"] for sample in samples]
        batch["fixations"] = [sample["fixations"] for sample in samples]
    if "redrawn" in samples[0]:
        batch["redrawn"] = torch.tensor([sample["redrawn"] for sample in samples])  # (B,)
    # A loader process sends a parcel, which is the batch again when it arrives
    return cast(LoadedBatch, parcel(batch) or batch)


def stack_sound(sounds: Sequence[Tensor]) -> Tensor:
    """Sounds of clips in one tensor; waveforms of several lengths stand in the middle of the longest one's zeros."""
    longest = max(sound.shape[-1] for sound in sounds)
    rooms = [longest - sound.shape[-1] for sound in sounds]
    return torch.stack(
        [F.pad(sound, (room // 2, room - room // 2)) for sound, room in zip(sounds, rooms, strict=True)]
    )
