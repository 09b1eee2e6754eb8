"""Shares of corpora in an epoch."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lightning_avsp.data.corpora import read_videos
from lightning_avsp.data.dataset import TrainingClips
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.reader import ClipReader
from lightning_avsp.data.samplers import BalancedMix, EpochShuffleSampler, shares
from lightning_avsp.media.audio import LogMel
from lightning_avsp.structures import ClipPolicy

SIZES = {"DIEM": 60, "AVAD": 9, "ETMD": 3}
LABELS = [name for name, size in SIZES.items() for _ in range(size)]


def epoch_of(mix: BalancedMix, epoch: int) -> list[int]:
    return [mix.clip(place, epoch) for place in range(len(mix))]


def test_uniform_gives_each_corpus_the_same() -> None:
    mix = BalancedMix(LABELS, "uniform")
    assert len(mix) == 72
    assert mix.counts == {"DIEM": 24, "AVAD": 24, "ETMD": 24}
    for epoch in range(4):
        assert Counter(LABELS[clip] for clip in epoch_of(mix, epoch)) == Counter(mix.counts)


def test_root_lies_between() -> None:
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
    drawn = Counter(clip for epoch in range(epochs) for clip in epoch_of(mix, epoch))
    for name in mix.counts:
        of_corpus = [drawn[clip] for clip, label in enumerate(labels) if label == name]
        assert sum(of_corpus) == epochs * mix.counts[name]
        assert max(of_corpus) - min(of_corpus) <= 1


def test_draws_depend_on_seed_epoch_and_place_alone() -> None:
    mix, again = BalancedMix(LABELS, "uniform", seed=3), BalancedMix(LABELS, "uniform", seed=3)
    wanted = {(place, epoch): mix.clip(place, epoch) for epoch in range(5) for place in range(len(mix))}
    for place, epoch in reversed(wanted):
        assert again.clip(place, epoch) == wanted[place, epoch]
    assert epoch_of(mix, 0) != epoch_of(mix, 1)
    assert epoch_of(BalancedMix(LABELS, "uniform", seed=4), 0) != epoch_of(mix, 0)


def test_shares_add_up() -> None:
    assert shares(10, [1, 1, 1]) == [4, 3, 3]
    assert shares(7, [3.0, 1.0]) == [5, 2]
    assert shares(3, [1.0]) == [3]


@given(sizes=st.lists(st.integers(1, 500), min_size=1, max_size=6))
def test_every_corpus_has_a_place(sizes: list[int]) -> None:
    labels = [f"c{place}" for place, size in enumerate(sizes) for _ in range(size)]
    for balance in ("uniform", "sqrt"):
        assert min(BalancedMix(labels, balance).counts.values()) >= 1  # type: ignore[arg-type]


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


@pytest.mark.parametrize("world", [2, 3, 5])
def test_processes_share_a_balanced_epoch(corpus_root: Path, reader: ClipReader, world: int) -> None:
    clips = TrainingClips(mixed(corpus_root), ClipPolicy(draw="random"), reader, balance="uniform")
    places = []
    for rank in range(world):
        sampler = EpochShuffleSampler(clips, rank=rank, world=world)
        sampler.set_epoch(2)
        places += [index for index, _ in sampler]
    assert len(set(places)) == len(places) == len(clips) // world * world


def test_blank_maps_are_drawn_again_in_the_same_corpus(own_root: Path, reader: ClipReader) -> None:
    videos = mixed(own_root)
    blank = next(video for video in videos if video.corpus == "Coutrot1")
    for number in range(1, 41):
        Image.new("L", (128, 64)).save(blank.maps.path(number))  # type: ignore[attr-defined]
    clips = TrainingClips(videos, ClipPolicy(draw="random"), reader, balance="uniform")
    drawn = [clips.clip(index, 1)[0] for index in range(len(clips))]
    assert Counter(entry.corpus for entry in drawn) == {"AVAD": 6, "Coutrot1": 6}
    assert blank.key not in {entry.key for entry in drawn}


def test_without_balance_nothing_changes(corpus_root: Path, reader: ClipReader) -> None:
    clips = TrainingClips(mixed(corpus_root), ClipPolicy(), reader)
    assert clips.mix is None
    generator = np.random.default_rng([0, 3, 4])
    assert clips.clip(4, 3)[1].first == 1 + int(generator.integers(25))
