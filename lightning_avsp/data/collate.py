"""Samples to one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_avsp.data.reader import Sample
from lightning_avsp.data.shared_batch import stack_clips
from lightning_avsp.structures import SaliencyBatch

_LISTS = ("corpus", "video_id", "ground_truth", "fixations")
"""Fields without a common shape: ground truth has its own size in every corpus."""


class LoadedBatch(SaliencyBatch, total=False):
    """A batch with a field for the training loader's statistics."""

    redrawn: Tensor
    """Training: True for clips that replace one with a blank map: bool (B,)."""


def collate(samples: Sequence[Sample]) -> LoadedBatch:
    """Stack fields of one shape and list the others."""
    batch: dict[str, Any] = {}
    for key, first in samples[0].items():
        values: list[Any] = [sample[key] for sample in samples]  # type: ignore[literal-required]
        if key == "audio":
            batch[key] = stack_audio(values)  # (B, 1, S, Ha, Wa) or (B, 1, N)
        elif key in _LISTS:
            batch[key] = values
        elif key != "video":
            batch[key] = torch.stack(values) if isinstance(first, Tensor) else torch.tensor(values)
    # A worker's shared batch is a LoadedBatch when it arrives
    return cast(LoadedBatch, stack_clips(batch, [sample["video"] for sample in samples]))


def stack_audio(clips: Sequence[Tensor]) -> Tensor:
    """Stack the audio of clips; shorter waveforms are padded with zeros on both sides."""
    longest = max(audio.shape[-1] for audio in clips)
    rooms = [longest - audio.shape[-1] for audio in clips]
    return torch.stack(
        [F.pad(audio, (room // 2, room - room // 2)) for audio, room in zip(clips, rooms, strict=True)]
    )
