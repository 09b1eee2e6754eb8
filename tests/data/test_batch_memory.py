"""Memory of batches: frames in their places, slots that are used again, and nothing that is overwritten too soon."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightning_avsp.data import batch_memory
from lightning_avsp.data.augmentation import Augmentation
from lightning_avsp.data.batch_memory import (
    ALIGNMENT,
    MOST_SLOTS,
    Parcel,
    Place,
    Slot,
    Slots,
    empty_batch,
    open_parcel,
    parcel,
    stack,
)
from lightning_avsp.data.collate import collate
from lightning_avsp.data.corpora import read_videos
from lightning_avsp.data.dataset import EvaluationFrames, TrainingClips
from lightning_avsp.data.reader import ClipReader
from lightning_avsp.media.audio import LogMel
from lightning_avsp.structures import ClipPolicy


def test_places_of_one_batch_are_stacked_without_a_copy() -> None:
    batch = empty_batch((3, 2, 4))
    batch.random_(0, 255)
    stacked = stack(list(batch))
    assert stacked.data_ptr() == batch.data_ptr()
    assert torch.equal(stacked, batch)
    behind = stack(list(batch)[1:])
    assert behind.data_ptr() == batch[1].data_ptr()
    assert torch.equal(behind, batch[1:])


@pytest.mark.parametrize("order", [(1, 0), (0, 2), (0, 0)])
def test_other_tensors_are_copied(order: Sequence[int]) -> None:
    batch = torch.arange(12, dtype=torch.uint8).view(3, 4)
    stacked = stack([batch[place] for place in order])
    assert stacked.data_ptr() not in {part.data_ptr() for part in batch}
    assert torch.equal(stacked, batch[list(order)])


def test_neighbours_with_memory_of_their_own_are_copied() -> None:
    room = torch.arange(8, dtype=torch.uint8)
    one, other = (torch.from_numpy(room.numpy()[start : start + 4]) for start in (0, 4))
    assert other.data_ptr() == one.data_ptr() + 4  # side by side, yet each storage ends with its tensor
    assert torch.equal(stack([one, other]), room.view(2, 4))


def test_different_shapes_are_refused() -> None:
    with pytest.raises(RuntimeError, match="equal size"):
        stack([torch.zeros(2, 3, dtype=torch.uint8), torch.zeros(3, 2, dtype=torch.uint8)])


def assert_same(found: Any, wanted: Any) -> None:
    if isinstance(wanted, list) and wanted and isinstance(wanted[0], Tensor):
        for one, other in zip(found, wanted, strict=True):
            assert_same(one, other)
    elif isinstance(wanted, Tensor):
        assert found.dtype == wanted.dtype
        assert torch.equal(found, wanted)
    else:
        assert found == wanted


def filled(slot: Slot) -> dict[str, Any]:
    frames = slot.take((2, 5))
    frames.copy_(torch.arange(10).view(2, 5))
    return {
        "video": frames,
        "audio": torch.randn(2, 3),
        "has_audio": torch.tensor([True, False]),
        "frame": torch.tensor([7, 8]),
        "ground_truth": [torch.ones(2, 2, dtype=torch.uint8), torch.zeros(3, 1, dtype=torch.uint8)],
        "fixations": [torch.zeros(0, 2, dtype=torch.int64), torch.tensor([[1, 2]])],
        "video_id": ["a", "b"],
        "empty": [],
    }


@pytest.mark.parametrize("size", [4096, 300, ALIGNMENT + 10])
def test_a_parcel_is_the_batch_again_whether_all_fits_or_not(size: int) -> None:
    slot = Slot(size)
    batch = filled(slot)
    packed = Parcel(slot, batch, "video")
    found = open_parcel(*packed.__reduce__()[1])
    assert list(found) == list(batch)
    for key, value in batch.items():
        assert_same(found[key], value)
    in_slot = [key for key, value in packed.contents.items() if isinstance(value, Place)]
    assert in_slot == {
        4096: ["video", "audio", "has_audio", "frame"],
        300: ["video", "audio", "has_audio", "frame"],
    }.get(size, ["video"])
    assert (
        packed.needed == 3 * 64 + 2 * 64 + 64
    )  # three tensors, two maps, one list of fixations that is not empty


def test_a_slot_is_free_when_the_last_tensor_is_gone() -> None:
    slot = Slot(4096)
    assert slot.free()
    packed = Parcel(slot, filled(slot), "video")
    found = open_parcel(*packed.__reduce__()[1])
    assert not slot.free()
    kept = found["fixations"][1][0, 1:]
    del found
    assert not slot.free()
    assert kept.item() == 2
    del kept
    assert slot.free()


def test_slots_grow_in_number_and_size_up_to_a_limit() -> None:
    slots = Slots()
    taken = [slots.take((100,)) for _ in range(MOST_SLOTS)]
    assert len({room.data_ptr() for room in taken if room is not None}) == MOST_SLOTS
    assert slots.take((100,)) is None
    slots.slots[3].memory[0] = 0
    again = slots.take((60,))
    assert again is not None
    assert taken[3] is not None
    assert again.data_ptr() == taken[3].data_ptr()
    slots.slots[3].memory[0] = 0
    larger = slots.take((10_000_000,))  # does not fit: the free slot makes room for a larger one
    assert larger is not None
    assert len(slots.slots) == MOST_SLOTS
    assert larger.numel() == 10_000_000


def test_in_this_process_there_are_no_slots() -> None:
    frames = empty_batch((2, 3))
    assert parcel({"video": frames}) is None
    assert not batch_memory._OF_THIS_PROCESS.slots


class Counted(Dataset[Any]):
    """Samples whose frames hold their index, and the number of slots of the process that read them."""

    def __len__(self) -> int:
        return 40

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        places = empty_batch((len(indices), 1000))
        return [{"video": place.fill_(index)} for place, index in zip(places, indices, strict=True)]


def counted(samples: Sequence[dict[str, Any]]) -> Any:
    batch = {"video": stack([sample["video"] for sample in samples])}
    packed = parcel(batch | {"slots": len(batch_memory._OF_THIS_PROCESS.slots), "extra": torch.ones(3)})
    return packed or batch | {"slots": -1, "extra": torch.ones(3)}


@pytest.fixture
def loader() -> DataLoader[Any]:
    return DataLoader(
        Counted(), batch_size=2, num_workers=1, collate_fn=counted, multiprocessing_context="fork"
    )


def test_a_process_uses_its_slots_again(loader: DataLoader[Any]) -> None:
    most = 0
    for number, batch in enumerate(loader):
        assert batch["video"][:, 0].tolist() == [2 * number, 2 * number + 1]
        assert (batch["video"] == batch["video"][:, :1]).all()
        assert batch["extra"].tolist() == [1, 1, 1]
        most = max(most, batch["slots"])
        assert batch["slots"] > 0
    assert most <= 5  # of 20 batches


def test_batches_that_are_kept_are_not_overwritten(loader: DataLoader[Any]) -> None:
    batches = list(loader)
    assert [batch["video"][0, 0].item() for batch in batches] == list(range(0, 40, 2))
    assert [batch["video"][1, -1].item() for batch in batches] == list(range(1, 40, 2))
    assert sum(batch["slots"] == -1 for batch in batches) == 20 - MOST_SLOTS


@pytest.mark.parametrize("augmentation", [Augmentation(), Augmentation(flip=0.5, brightness=0.3, gain_db=3)])
def test_loader_processes_give_what_this_process_gives(corpus_root: Path, augmentation: Augmentation) -> None:
    def training() -> TrainingClips:
        return TrainingClips(
            read_videos(corpus_root, ["AVAD"], 1, "train"),
            ClipPolicy(draw="every"),
            ClipReader((32, 64), LogMel(size=(16, 32))),
            augmentation=augmentation,
        )

    def scored() -> EvaluationFrames:
        return EvaluationFrames(
            read_videos(corpus_root, ["AVAD"], 1, "test"),
            ClipPolicy(),
            ClipReader((32, 64), LogMel(size=(16, 32)), kept_frames=20),
            every=3,
        )

    made: list[Callable[[], Any]] = [training, scored]
    for dataset in made:
        here = list(DataLoader(dataset(), batch_size=3, collate_fn=collate))[:12]
        settings: Any = {"num_workers": 2, "multiprocessing_context": "fork"}
        there = list(DataLoader(dataset(), batch_size=3, collate_fn=collate, **settings))[:12]
        singly = [collate([dataset()[index]]) for index in range(2)]
        assert torch.equal(here[0]["video"][:2], torch.cat([batch["video"] for batch in singly]))
        assert len(here) == len(there) >= 2
        for one, other in zip(here, there, strict=True):
            assert list(one) == list(other)
            for key, value in one.items():
                assert_same(other[key], value)
