"""Which videos train, validate and test, and whose audio or captions they get in a perturbed test."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.mismatch import label_of, mismatched_audio, mismatched_text
from lightning_avsp.data.partition import partition_videos
from lightning_avsp.data.sources import MatFixations, PictureFrames, PictureMaps
from lightning_avsp.errors import InputError

TRAIN = [("AVAD", f"V{k}") for k in range(30)] + [("ETMD", f"V{k}") for k in range(8)]
TEST = [("AVAD", f"V{k}") for k in range(30, 45)]


@given(
    sizes=st.lists(st.integers(2, 30), min_size=1, max_size=4),
    share=st.floats(0.01, 0.6),
    seed=st.integers(0, 100),
)
def test_parts_share_nothing_and_lose_nothing(sizes: list[int], share: float, seed: int) -> None:
    train = [(f"C{c}", f"v{k}") for c, size in enumerate(sizes) for k in range(size)]
    parts = partition_videos(train, TEST, share=share, seed=seed)
    assert not set(parts.train) & set(parts.validation)
    assert sorted((*parts.train, *parts.validation)) == sorted(train)
    assert parts.test == tuple(TEST)
    for c, size in enumerate(sizes):  # every corpus is represented on both sides
        held_out = sum(key[0] == f"C{c}" for key in parts.validation)
        assert held_out == max(1, round(share * size))
        assert held_out < size


def test_share_is_seeded_and_does_not_depend_on_the_order_of_the_list() -> None:
    parts = partition_videos(TRAIN, TEST, seed=3)
    assert len(parts.validation) == 3 + 1
    assert set(partition_videos(TRAIN[::-1], TEST, seed=3).validation) == set(parts.validation)
    assert any(
        set(partition_videos(TRAIN, TEST, seed=s).validation) != set(parts.validation) for s in range(4)
    )


def test_adding_a_corpus_leaves_the_others_validation_alone() -> None:
    alone = partition_videos(TRAIN[:30], TEST, seed=1).validation
    mixed = partition_videos(TRAIN, TEST, seed=1).validation
    assert alone == tuple(key for key in mixed if key[0] == "AVAD")


def test_choosing_on_the_test_list_is_possible_when_said() -> None:
    parts = partition_videos(TRAIN, TEST, selection="test")
    assert parts.train == tuple(TRAIN)
    assert parts.validation == parts.test == tuple(TEST)


@pytest.mark.parametrize("selection", ["validation", "test"])
def test_video_in_both_lists_is_refused(selection: str) -> None:
    with pytest.raises(InputError, match=r"1 videos are both in a training and in a test list.*AVAD/V3"):
        partition_videos(TRAIN, [*TEST, ("AVAD", "V3")], selection=selection)  # type: ignore[arg-type]


def test_one_name_in_two_corpora_is_no_overlap() -> None:
    parts = partition_videos([("Coutrot1", "clip1"), ("Coutrot1", "clip2")], [("Coutrot2", "clip1")])
    assert parts.test == (("Coutrot2", "clip1"),)


def test_too_few_to_hold_one_out() -> None:
    with pytest.raises(InputError, match="lists 1 training videos"):
        partition_videos(TRAIN[:1], TEST)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_impossible_share(share: float) -> None:
    with pytest.raises(InputError, match=r"validation\.share"):
        partition_videos(TRAIN, TEST, share=share)


@pytest.mark.parametrize("part", ["training", "test"])
def test_two_videos_of_one_key_are_refused(part: str) -> None:
    lists = {"training": TRAIN, "test": TEST}
    lists[part] = [*lists[part], lists[part][0]]
    with pytest.raises(InputError, match=rf"1 videos are listed twice for {part} \(AVAD/V"):
        partition_videos(lists["training"], lists["test"])


HERE = (Path("nowhere"), "{}")
FILES = (PictureFrames(*HERE), PictureMaps(*HERE), MatFixations(*HERE))


def entries(*names: str, corpus: str = "AVAD") -> list[VideoEntry]:
    return [
        VideoEntry(corpus, name, 40, 25.0, *FILES, Path(corpus) / f"{name}.wav", (64, 128)) for name in names
    ]


@pytest.mark.parametrize(
    ("video", "label"),
    [("V3_Speech3", "Speech"), ("clip12", ""), ("CHI_1_color", "color"), ("sport_football_1280x712", "x")],
)
def test_labels(video: str, label: str) -> None:
    assert label_of(video) == label


def test_audio_is_exchanged_inside_a_label() -> None:
    videos = entries("V1_Speech1", "V2_Dog1", "V3_Speech2", "V4_Dog2", "V5_Speech3")
    for (_, video), wave in mismatched_audio(videos, "other_video", 0).items():
        assert wave is not None
        assert label_of(wave.stem) == label_of(video)
        assert wave.stem != video


@given(
    names=st.lists(
        st.from_regex(r"V[0-9]{1,3}(_[A-C])?", fullmatch=True), min_size=2, max_size=20, unique=True
    ),
    seed=st.integers(0, 9),
)
def test_no_video_keeps_its_own_audio(names: list[str], seed: int) -> None:
    videos = entries(*names)
    exchanged = mismatched_audio(videos, "other_video", seed)
    assert set(exchanged) == {entry.key for entry in videos}
    assert all(exchanged[entry.key] != entry.wave for entry in videos)
    assert mismatched_audio(videos, "other_video", seed) == exchanged


def test_one_name_in_two_corpora() -> None:
    videos = entries("clip1", corpus="Coutrot1") + entries("clip1", corpus="Coutrot2")
    exchanged = mismatched_audio(videos, "other_video", 0)
    assert exchanged["Coutrot1", "clip1"] == Path("Coutrot2/clip1.wav")
    assert exchanged["Coutrot2", "clip1"] == Path("Coutrot1/clip1.wav")


def test_a_single_video_has_no_other() -> None:
    class Silent:
        def tokens(self, key: tuple[str, str], frame: int) -> tuple[torch.Tensor, bool]:
            return torch.zeros(2, 3), False

    one = entries("V1")
    with pytest.raises(InputError, match="need at least 2 videos, there is 1"):
        mismatched_audio(one, "other_video", 0)
    with pytest.raises(InputError, match="need at least 2 videos, there is 1"):
        mismatched_text(Silent(), one, "other_video", 0)
    assert mismatched_audio(one, "silent", 0) == {one[0].key: None}
    assert mismatched_audio(one, "true", 0) == {}
