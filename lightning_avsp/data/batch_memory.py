"""Memory for batches: frames are read into their places, and a loader process uses the same shared memory again.

A clip of 16x224x384 has 4 MB. Copied from its source to an array, from there into a batch, and from there into memory
that a loader process shares with the training, each of them costs more than reading it from a prepared file, most of
it for pages that the system has to find and clear. So the frames of a batch are read into one tensor from the start
(:func:`empty_batch`), which in a loader process is a :class:`Slot` of shared memory; the batch's other tensors are put
behind them (:func:`parcel`), and one file descriptor hands over all. When the receiver has dropped every tensor of
a batch, its slot is free again. Whoever keeps batches just keeps slots: a process without a free slot takes new memory
for each batch, as torch's own collation does.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

MOST_SLOTS = 8
"""Slots of one loader process: two batches fetched ahead, one being read, the rest in the receiver's hands."""
ALIGNMENT = 64
"""Tensors in a slot start at multiples of so many bytes; so long is the mark at its start."""


class Slot:
    """Shared memory for one batch at a time: a mark whether it is in use, the frames, the rest.

    Args:
        size: Bytes.
    """

    def __init__(self, size: int) -> None:
        self.memory = shared_tensor((size,))
        self.memory[0] = 0

    def free(self) -> bool:
        """Whether nobody has the last batch any more. The mark lies in the memory itself: the receiver clears it."""
        return not bool(self.memory[0])

    def take(self, shape: tuple[int, ...]) -> Tensor:
        """Room for the frames: uint8 of a shape; the slot is in use from now on."""
        self.memory[0] = 1
        return self.memory[ALIGNMENT : ALIGNMENT + math.prod(shape)].view(shape)

    def holds(self, frames: Tensor) -> bool:
        """Whether these are the frames that were read into this slot."""
        return frames.data_ptr() == self.memory.data_ptr() + ALIGNMENT


class Slots:
    """The slots of one loader process."""

    def __init__(self) -> None:
        self.slots: list[Slot] = []
        self.rest = 0
        """Most bytes that a batch's other tensors took."""

    def take(self, shape: tuple[int, ...]) -> Tensor | None:
        """Room for frames in a free slot; None if all are in use."""
        frames = math.prod(shape)
        size = ALIGNMENT + aligned(frames) + (self.rest or frames // 4 + 2**20)
        # too small: from smaller batches, or from before the other tensors were known
        self.slots = [slot for slot in self.slots if not slot.free() or slot.memory.numel() >= size]
        for slot in self.slots:
            if slot.free():
                return slot.take(shape)
        if len(self.slots) >= MOST_SLOTS:
            return None
        self.slots.append(Slot(size))
        return self.slots[-1].take(shape)

    def holding(self, frames: Tensor) -> Slot | None:
        """The slot in which frames lie, if one does."""
        return next((slot for slot in self.slots if slot.holds(frames)), None)


_OF_THIS_PROCESS = Slots()


def empty_batch(shape: tuple[int, ...]) -> Tensor:
    """Uninitialised uint8 tensor for the frames of a batch; in a loader process it lies in shared memory.

    Args:
        shape: Any.
    """
    if get_worker_info() is None:
        return torch.empty(shape, dtype=torch.uint8)
    room = _OF_THIS_PROCESS.take(shape)
    if room is not None:
        return room
    return shared_tensor(shape)


def shared_tensor(shape: tuple[int, ...]) -> Tensor:
    """Uninitialised uint8 in memory that other processes can map, as torch's own collation takes it."""
    return _over(torch.UntypedStorage._new_shared(math.prod(shape)), 0, shape)


def _over(storage: torch.UntypedStorage, offset: int, shape: tuple[int, ...]) -> Tensor:
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return torch.empty(0, dtype=torch.uint8).set_(storage, offset, shape, strides)


def stack(parts: Sequence[Tensor]) -> Tensor:
    """uint8 tensors of one shape as one batch (B, ...), without a copy where they are one batch's places in order.

    Raises:
        RuntimeError: If shapes differ.
    """
    first = parts[0]
    size, storage = first.numel(), first.untyped_storage()
    in_order = all(
        part.shape == first.shape
        and part.is_contiguous()
        and part.data_ptr() == first.data_ptr() + place * size
        for place, part in enumerate(parts)
    )
    shape = (len(parts), *first.shape)
    # the second condition: neighbours by chance, each with memory of its own
    if in_order and storage.nbytes() >= first.storage_offset() + len(parts) * size:
        return _over(storage, int(first.storage_offset()), shape)
    return torch.stack(list(parts), out=empty_batch(shape))


@dataclass(frozen=True)
class Place:
    """Where a tensor lies in a slot."""

    offset: int
    """Bytes from the end of the mark."""
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def of(self, room: Tensor) -> Tensor:
        """The tensor at this place of a slot's memory behind the mark."""
        return room[self.offset : self.offset + self.size].view(self.dtype).view(self.shape)


class Parcel:
    """A batch in a slot: pickled by the loader process, it is the batch again in the receiver.

    Args:
        slot: Where its frames lie.
        batch: The batch; tensors that do not fit behind the frames travel on their own.
        frames: Key of the frames.
    """

    def __init__(self, slot: Slot, batch: Mapping[str, Any], frames: str) -> None:
        self.memory = slot.memory
        self.end = 0
        self.contents: dict[str, Any] = {frames: self._reserve(batch[frames])}
        self.needed = 0
        """Bytes behind the frames, had all tensors room."""
        self.contents |= {key: self._put(value) for key, value in batch.items() if key != frames}

    def _reserve(self, tensor: Tensor) -> Place | None:
        place = Place(self.end, tensor.dtype, tuple(tensor.shape))
        if ALIGNMENT + self.end + place.size > self.memory.numel():
            return None
        self.end = aligned(self.end + place.size)
        return place

    def _put(self, value: Any) -> Any:
        if isinstance(value, list) and value and isinstance(value[0], Tensor):
            return [self._put(tensor) for tensor in value]
        if not isinstance(value, Tensor):
            return value
        self.needed += aligned(value.nbytes)
        place = self._reserve(value)
        if place is None:
            return value
        place.of(self.memory[ALIGNMENT:]).copy_(value)
        return place

    def __reduce__(self) -> tuple[Any, ...]:
        """How the receiver gets the batch."""
        return open_parcel, (self.memory, self.contents)


def parcel(batch: Mapping[str, Any], frames: str = "video") -> Parcel | None:
    """A batch as a loader process sends it, all its tensors in the slot that its frames were read into.

    Args:
        batch: Tensors, lists of tensors, and anything else that can be pickled.
        frames: Key of the tensor that :func:`empty_batch` gave.

    Returns:
        None where there is no such slot: in the training's own process, or when all are in use.
    """
    slot = None if get_worker_info() is None else _OF_THIS_PROCESS.holding(batch[frames])
    if slot is None:
        return None
    packed = Parcel(slot, batch, frames)
    _OF_THIS_PROCESS.rest = max(_OF_THIS_PROCESS.rest, packed.needed)
    return packed


def open_parcel(memory: Tensor, contents: dict[str, Any]) -> dict[str, Any]:
    """The batch that a loader process put into a slot; the slot is free when all its tensors are gone.

    Args:
        memory: The slot's.
        contents: Its places by key, and what travelled beside it.
    """
    room = memory[ALIGNMENT:].numpy()
    # All tensors of the batch share one storage, which holds this array and nothing else does
    weakref.finalize(room, _release, memory).atexit = False
    base = torch.from_numpy(room)
    return {key: _taken(base, value) for key, value in contents.items()}


def _taken(base: Tensor, value: Any) -> Any:
    if isinstance(value, Place):
        return value.of(base)
    return [_taken(base, one) for one in value] if isinstance(value, list) else value


def aligned(size: int) -> int:
    """The next multiple of the alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def _release(memory: Tensor) -> None:
    memory[0] = 0
