"""Samples to one batch, in shared memory that dataloader workers use again and again.

A worker writes all tensors of a batch into one buffer and sends that. When the receiver has dropped every tensor of
the batch, the buffer is free again. A worker without a free buffer sends tensors as torch does.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import get_worker_info

from lightning_avsp.data.reader import Sample
from lightning_avsp.structures import SaliencyBatch

# A clip of 16x224x384 has 4 MB. Finding and clearing fresh pages for a batch costs more than reading it from a prepared
# file, and every tensor that is sent on its own costs a file descriptor.
MAX_BUFFERS = 8  # two batches fetched ahead, one being written, the rest in use by the receiver
_ALIGNMENT = 64  # bytes, a cache line; the first ones are the flag that a buffer is in use
_BUFFERS: list[Tensor] = []
"""Buffers of this process, uint8."""


@dataclass(frozen=True)
class Span:
    """Position of a tensor in a buffer."""

    offset: int
    """Bytes from the start of the buffer."""
    dtype: torch.dtype
    shape: tuple[int, ...]

    def of(self, buffer: Tensor) -> Tensor:
        """Return the tensor at this position, over the buffer's memory."""
        size = math.prod(self.shape) * self.dtype.itemsize
        return buffer[self.offset : self.offset + size].view(self.dtype).view(self.shape)


@dataclass(frozen=True)
class SharedBatch:
    """A batch in a shared buffer; pickled by a worker, it is the batch itself in the receiver."""

    buffer: Tensor
    contents: dict[str, Any]

    def __reduce__(self) -> tuple[Any, ...]:
        """Unpickle to the batch."""
        return open_batch, (self.buffer, self.contents)


def stack_clips(batch: Mapping[str, Any], clips: Sequence[Tensor]) -> dict[str, Any] | SharedBatch:
    """Add clips to a batch as ``video``; in a worker, move all its tensors into one shared buffer.

    Args:
        batch: Tensors, lists of tensors, and anything else that can be pickled.
        clips: Tensors of one shape and type.

    Returns:
        The batch, or in a worker with a free buffer the object that arrives as one.
    """
    layout = _Layout()
    video = layout.reserve(clips[0].dtype, (len(clips), *clips[0].shape))
    contents = {"video": video, **{key: layout.place(value) for key, value in batch.items()}}
    buffer = None if get_worker_info() is None else _free_buffer(layout.end)
    if buffer is None:
        return {"video": torch.stack(list(clips)), **batch}
    # straight into the buffer: clips are nearly all of a batch, and are copied once
    torch.stack(list(clips), out=video.of(buffer))
    for span, value in layout.pending:
        span.of(buffer).copy_(value)
    return SharedBatch(buffer, contents)


class _Layout:
    """Positions of the tensors of one batch."""

    def __init__(self) -> None:
        self.end = _ALIGNMENT
        self.pending: list[tuple[Span, Tensor]] = []

    def reserve(self, dtype: torch.dtype, shape: tuple[int, ...]) -> Span:
        span = Span(self.end, dtype, shape)
        self.end += -(-math.prod(shape) * dtype.itemsize // _ALIGNMENT) * _ALIGNMENT
        return span

    def place(self, value: Any) -> Any:
        if isinstance(value, list) and value and isinstance(value[0], Tensor):
            return [self.place(tensor) for tensor in value]
        if not isinstance(value, Tensor):
            return value
        span = self.reserve(value.dtype, tuple(value.shape))
        self.pending.append((span, value))
        return span


def open_batch(buffer: Tensor, contents: dict[str, Any]) -> dict[str, Any]:
    """Return the batch in a buffer, which is free again when all its tensors are gone."""
    # All tensors of the batch share one storage, the only holder of this array
    memory = buffer.numpy()[:]
    # not at exit, when nobody needs the flag and the buffer may be gone
    weakref.finalize(memory, _release, buffer).atexit = False
    base = torch.from_numpy(memory)
    return {key: _take(base, value) for key, value in contents.items()}


def _take(base: Tensor, value: Any) -> Any:
    if isinstance(value, Span):
        return value.of(base)
    return [_take(base, one) for one in value] if isinstance(value, list) else value


def _free_buffer(size: int) -> Tensor | None:
    """Return a free buffer of at least ``size`` bytes, marked as in use; None if all are in use."""
    # a free one that is too small was for smaller batches
    _BUFFERS[:] = [buffer for buffer in _BUFFERS if buffer[0] or buffer.numel() >= size]
    found = next((buffer for buffer in _BUFFERS if not buffer[0]), None)
    if found is None:
        if len(_BUFFERS) >= MAX_BUFFERS:
            return None
        size += size // 8  # for batches with more fixations or longer audio
        found = torch.empty(0, dtype=torch.uint8).set_(
            torch.UntypedStorage._new_shared(size), 0, (size,), (1,)
        )
        _BUFFERS.append(found)
    found[0] = 1
    return found


def _release(buffer: Tensor) -> None:
    buffer[0] = 0


_LISTS = ("corpus", "video_id", "ground_truth", "fixations")  # ground truth has its own size in every corpus


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
