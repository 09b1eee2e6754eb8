"""Order and sharding of samples, and shares of corpora in an epoch."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lightning_avsp.data.corpora import read_videos
from lightning_avsp.data.dataset import TrainingClips
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.reader import ClipReader
from lightning_avsp.data.samplers import BalancedMix, EpochShuffleSampler, UnrepeatedSampler, shares
from lightning_avsp.errors import InputError
from lightning_avsp.media.audio import LogMel
from lightning_avsp.structures import ClipPolicy

SIZES = {"DIEM": 60, "AVAD": 9, "ETMD": 3}
LABELS = [name for name, size in SIZES.items() for _ in range(size)]


def epoch_of(mix: BalancedMix, epoch: int) -> list[int]:
    return [mix.clip(place, epoch) for place in range(len(mix))]


def test_shares_of_corpora() -> None:
    assert shares(10, [1, 1, 1]) == [4, 3, 3]
    assert shares(7, [3.0, 1.0]) == [5, 2]
    assert shares(3, [1.0]) == [3]
    mix = BalancedMix(LABELS, "uniform")
    assert len(mix) == 72
    assert mix.counts == {"DIEM": 24, "AVAD": 24, "ETMD": 24}
    for epoch in range(4):
        assert Counter(LABELS[clip] for clip in epoch_of(mix, epoch)) == Counter(mix.counts)
    mix = BalancedMix(LABELS, "sqrt")
    assert mix.sizes == SIZES
    # 60 : 9 : 3 -> roots 7.75 : 3 : 1.73
    assert mix.counts == {"DIEM": 45, "AVAD": 17, "ETMD": 10}


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    balance=st.sampled_from(["uniform", "sqrt"]),
    epochs=st.integers(1, 6),
)
def test_no_clip_is_ahead_of_another_of_its_corpus(sizes: list[int], balance: str, epochs: int) -> None:
    labels = [f"c{place}" for place, size in enumerate(sizes) for _ in range(size)]
    mix = BalancedMix(labels, balance)  # type: ignore[arg-type]
    assert sum(mix.counts.values()) == len(mix) == len(labels)
    assert min(mix.counts.values()) >= 1
    drawn = Counter(clip for epoch in range(epochs) for clip in epoch_of(mix, epoch))
    for name in mix.counts:
        of_corpus = [drawn[clip] for clip, label in enumerate(labels) if label == name]
        assert sum(of_corpus) == epochs * mix.counts[name]
        assert max(of_corpus) - min(of_corpus) <= 1


def test_clips_depend_on_seed_epoch_and_position_alone() -> None:
    mix, again = BalancedMix(LABELS, "uniform", seed=3), BalancedMix(LABELS, "uniform", seed=3)
    wanted = {(place, epoch): mix.clip(place, epoch) for epoch in range(5) for place in range(len(mix))}
    for place, epoch in reversed(wanted):
        assert again.clip(place, epoch) == wanted[place, epoch]
    assert epoch_of(mix, 0) != epoch_of(mix, 1)
    assert epoch_of(BalancedMix(LABELS, "uniform", seed=4), 0) != epoch_of(mix, 0)


@pytest.fixture
def reader() -> ClipReader:
    return ClipReader((16, 32), LogMel(size=(8, 12)))


def mixed(root: Path) -> list[VideoEntry]:
    return read_videos(root, ["AVAD", "Coutrot1"], 1, "train")


def test_clips_of_a_balanced_mix(corpus_root: Path, reader: ClipReader) -> None:
    videos = mixed(corpus_root)
    plain = TrainingClips(videos, ClipPolicy(draw="random"), reader)
    clips = TrainingClips(videos, ClipPolicy(draw="random"), reader, balance="uniform")
    assert len(clips) == len(plain) == 2 * (4 + 2)  # the length of an epoch stays
    for epoch in range(3):
        drawn = [clips.clip(index, epoch) for index in range(len(clips))]
        assert Counter(entry.corpus for entry, _ in drawn) == {"AVAD": 6, "Coutrot1": 6}
        assert drawn == [clips.clip(index, epoch) for index in range(len(clips))]
        # a clip that comes twice is cut anew each time
        assert len({(entry.key, clip.first) for entry, clip in drawn}) > len(videos)
    assert {entry.corpus for entry, _ in (plain.clip(i) for i in range(8))} == {"AVAD"}


def test_blank_maps_are_redrawn_in_the_same_corpus(own_root: Path, reader: ClipReader) -> None:
    videos = mixed(own_root)
    blank = next(video for video in videos if video.corpus == "Coutrot1")
    for number in range(1, 41):
        Image.new("L", (128, 64)).save(blank.maps.path(number))  # type: ignore[attr-defined]
    clips = TrainingClips(videos, ClipPolicy(draw="random"), reader, balance="uniform")
    drawn = [clips.clip(index, 1)[0] for index in range(len(clips))]
    assert Counter(entry.corpus for entry in drawn) == {"AVAD": 6, "Coutrot1": 6}
    assert blank.key not in {entry.key for entry in drawn}


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
def test_training_shards_drop_or_pad_the_rest(length: int, world: int, epoch: int) -> None:
    parts = shards(length, world, epoch, uneven="pad")
    assert {len(part) for part in parts} == {-(-length // world)}
    assert {index for part in parts for index in part} == set(range(length))
    if length < world:
        with pytest.raises(InputError, match="cannot be shared"):
            shards(length, world)
        return
    parts = shards(length, world, epoch)
    drawn = [index for part in parts for index in part]
    assert {len(part) for part in parts} == {length // world}
    assert len(set(drawn)) == len(drawn)


def test_epochs_and_seeds_differ_and_repeat_and_a_skip_counts_once() -> None:
    (first,), (second,) = shards(50, 1, 0), shards(50, 1, 1)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert shards(50, 1, 0) == [first]
    assert list(EpochShuffleSampler(range(50), seed=0)) != list(EpochShuffleSampler(range(50), seed=1))
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


@pytest.mark.parametrize(("length", "world"), [(5, 2), (7, 3), (8, 4), (3, 3)])
def test_sharded_evaluation_gives_every_process_equally_many_and_each_sample_to_one(
    length: int, world: int
) -> None:
    shares = [
        list(UnrepeatedSampler(range(length), rank=rank, world=world, even=True)) for rank in range(world)
    ]
    assert len({len(share) for share in shares}) == 1
    assert sorted({index for share in shares for index in share}) == list(range(length))
    assert all(not set(a) & set(b) for place, a in enumerate(shares) for b in shares[place + 1 :])
