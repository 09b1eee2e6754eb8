"""Shared buffers of dataloader workers: used again, never overwritten while a tensor of theirs is in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightning_avsp.data import collate as batches
from lightning_avsp.data.collate import MAX_BUFFERS, SharedBatch, open_batch, stack_clips

BATCH = {
    "audio": torch.arange(6.0).view(2, 3),
    "has_audio": torch.tensor([True, False]),
    "ground_truth": [torch.ones(2, 2, dtype=torch.uint8), torch.zeros(3, 1, dtype=torch.uint8)],
    "fixations": [torch.zeros(0, 2, dtype=torch.int64), torch.tensor([[1, 2]])],
    "video_id": ["a", "b"],
    "empty": [],
}
CLIPS = [torch.full((2, 5), number, dtype=torch.uint8) for number in (3, 4)]


def assert_same(found: Any, wanted: Any) -> None:
    if isinstance(wanted, list) and wanted and isinstance(wanted[0], Tensor):
        for one, other in zip(found, wanted, strict=True):
            assert_same(one, other)
    elif isinstance(wanted, Tensor):
        assert found.dtype == wanted.dtype
        assert torch.equal(found, wanted)
    else:
        assert found == wanted


def test_a_shared_batch_is_the_batch_again_and_its_buffer_free_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert isinstance(stack_clips(BATCH, CLIPS), dict)  # in this process
    monkeypatch.setattr(batches, "get_worker_info", lambda: True)
    monkeypatch.setattr(batches, "_BUFFERS", [])
    packed = stack_clips(BATCH, CLIPS)
    assert isinstance(packed, SharedBatch)
    buffer = packed.buffer
    found = open_batch(*packed.__reduce__()[1])
    assert list(found) == ["video", *BATCH]
    assert_same(found.pop("video"), torch.stack(CLIPS))
    for key, value in BATCH.items():
        assert_same(found[key], value)
    kept = found["fixations"][1][0, 1:]
    del found
    assert buffer[0]
    assert kept.item() == 2
    del kept
    assert not buffer[0]
    small = stack_clips(BATCH, CLIPS)
    assert isinstance(small, SharedBatch)
    assert small.buffer is buffer
    larger = stack_clips(BATCH, [torch.zeros(9, 10_000, dtype=torch.uint8)] * 2)
    assert isinstance(larger, SharedBatch)
    assert larger.buffer is not buffer
    with pytest.raises(RuntimeError, match="equal size"):
        stack_clips(BATCH, [torch.zeros(2, 3, dtype=torch.uint8), torch.zeros(3, 2, dtype=torch.uint8)])


class Counted(Dataset[Any]):
    """Clips filled with their index."""

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> Tensor:
        return torch.full((1000,), index, dtype=torch.uint8)


def counted(clips: Sequence[Tensor]) -> Any:
    shared = stack_clips({"extra": torch.ones(3)}, clips)
    buffers = len(batches._BUFFERS) if isinstance(shared, SharedBatch) else -1
    contents = shared.contents if isinstance(shared, SharedBatch) else shared
    contents["buffers"] = buffers
    return shared


@pytest.fixture
def loader() -> DataLoader[Any]:
    return DataLoader(
        Counted(), batch_size=2, num_workers=1, collate_fn=counted, multiprocessing_context="fork"
    )


def test_a_worker_uses_its_buffers_again(loader: DataLoader[Any]) -> None:
    for number, batch in enumerate(loader):
        assert batch["video"][:, 0].tolist() == [2 * number, 2 * number + 1]
        assert (batch["video"] == batch["video"][:, :1]).all()
        assert batch["extra"].tolist() == [1, 1, 1]
        assert 0 < batch["buffers"] <= 5  # of 20 batches


def test_batches_that_are_kept_are_not_overwritten(loader: DataLoader[Any]) -> None:
    batches = list(loader)
    assert [batch["video"][0, 0].item() for batch in batches] == list(range(0, 40, 2))
    assert [batch["video"][1, -1].item() for batch in batches] == list(range(1, 40, 2))
    assert sum(batch["buffers"] == -1 for batch in batches) == 20 - MAX_BUFFERS
