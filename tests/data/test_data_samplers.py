"""Order and sharding of samples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_avsp.data.samplers import EpochShuffleSampler, UnrepeatedSampler
from lightning_avsp.errors import InputError

sizes = st.integers(1, 60)
worlds = st.integers(1, 8)


def shards(length: int, world: int, epoch: int = 0, uneven: str = "drop") -> list[list[int]]:
    out = []
    for rank in range(world):
        sampler = EpochShuffleSampler(range(length), seed=5, rank=rank, world=world, uneven=uneven)  # type: ignore[arg-type]
        sampler.set_epoch(epoch)
        pairs = list(sampler)
        assert len(pairs) == len(sampler)
        assert {e for _, e in pairs} <= {epoch}
        out.append([index for index, _ in pairs])
    return out


@given(length=sizes, world=worlds, epoch=st.integers(0, 3))
def test_training_shards_drop_the_rest(length: int, world: int, epoch: int) -> None:
    if length < world:
        with pytest.raises(InputError, match="cannot be shared"):
            shards(length, world)
        return
    parts = shards(length, world, epoch)
    drawn = [index for part in parts for index in part]
    assert {len(part) for part in parts} == {length // world}
    assert len(set(drawn)) == len(drawn)


@given(length=sizes, world=worlds)
def test_training_shards_pad_the_rest(length: int, world: int) -> None:
    parts = shards(length, world, uneven="pad")
    drawn = [index for part in parts for index in part]
    assert {len(part) for part in parts} == {-(-length // world)}
    assert set(drawn) == set(range(length))


def test_epochs_differ_and_repeat() -> None:
    (first,), (second,) = shards(50, 1, 0), shards(50, 1, 1)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert shards(50, 1, 0) == [first]


def test_seeds_differ() -> None:
    assert list(EpochShuffleSampler(range(50), seed=0)) != list(EpochShuffleSampler(range(50), seed=1))


def test_skip_counts_once() -> None:
    sampler = EpochShuffleSampler(range(10))
    whole = list(sampler)
    sampler.skip = 4
    assert list(sampler) == whole[4:]
    assert list(sampler) == whole


@given(length=sizes, world=worlds)
def test_evaluation_shards_hold_each_frame_exactly_once(length: int, world: int) -> None:
    if length < world:
        with pytest.raises(InputError, match="without repeating"):
            UnrepeatedSampler(range(length), world=world)
        return
    samplers = [UnrepeatedSampler(range(length), rank=rank, world=world) for rank in range(world)]
    assert [index for sampler in samplers for index in sampler] == list(range(length))
    assert [len(list(sampler)) for sampler in samplers] == [len(sampler) for sampler in samplers]
    assert max(map(len, samplers)) - min(map(len, samplers)) <= 1
