"""Which videos train, validate and test, and whose audio or captions they get in a perturbed test."""

import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_avsp.data.entries import VideoEntry, VideoKey
from lightning_avsp.data.mismatch import label_of, mismatched_audio, mismatched_text
from lightning_avsp.data.partition import describe_choice, partition_videos
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


def test_share_is_seeded_and_depends_on_nothing_else() -> None:
    parts = partition_videos(TRAIN, TEST, seed=3)
    assert len(parts.validation) == 3 + 1
    assert set(partition_videos(TRAIN[::-1], TEST, seed=3).validation) == set(parts.validation)
    others = [set(partition_videos(TRAIN, TEST, seed=seed).validation) for seed in range(4)]
    assert any(other != set(parts.validation) for other in others)
    alone = partition_videos(TRAIN[:30], TEST, seed=3).validation  # without the other corpus
    assert alone == tuple(key for key in parts.validation if key[0] == "AVAD")
    parts = partition_videos(TRAIN, TEST, selection="test")
    assert parts.train == tuple(TRAIN)
    assert parts.validation == parts.test == tuple(TEST)


@pytest.mark.parametrize(
    ("train", "test", "settings", "message"),
    [
        (TRAIN, [*TEST, TRAIN[3]], {}, "1 videos are both in a training and in a test list.*AVAD/V3"),
        (TRAIN, [*TEST, TRAIN[3]], {"selection": "test"}, "1 videos are both in a training.*AVAD/V3"),
        (TRAIN[:1], TEST, {}, "lists 1 training videos"),
        (TRAIN, TEST, {"share": 0.0}, r"validation\.share"),
        (TRAIN, TEST, {"share": 1.0}, r"validation\.share"),
        (TRAIN, TEST, {"share": -0.1}, r"validation\.share"),
        ([*TRAIN, TRAIN[0]], TEST, {}, r"1 videos are listed twice for training \(AVAD/V"),
        (TRAIN, [*TEST, TEST[0]], {}, r"1 videos are listed twice for test \(AVAD/V"),
    ],
)
def test_lists_that_cannot_be_divided_are_refused(
    train: list[VideoKey], test: list[VideoKey], settings: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        partition_videos(train, test, **settings)
    # one name in two corpora is no overlap
    parts = partition_videos([("Coutrot1", "clip1"), ("Coutrot1", "clip2")], [("Coutrot2", "clip1")])
    assert parts.test == (("Coutrot2", "clip1"),)


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


@pytest.mark.parametrize(
    ("selection", "checkpoint", "label"),
    [
        ("validation", "run/checkpoints/best.ckpt", "chosen on validation"),
        (
            "validation",
            "run/checkpoints/last.ckpt",
            "taken last, of a training without the validation videos",
        ),
        ("test", "run/checkpoints/best.ckpt", "chosen on the TEST list"),
        ("test", "run/checkpoints/last.ckpt", "taken last, .* watched the TEST list"),
        ("none", "run/checkpoints/last.ckpt", "taken last, .* whole published training list"),
        ("validation", None, "taken as published"),
    ],
)
def test_results_name_the_choice_of_the_tested_checkpoint(
    selection: str, checkpoint: str | None, label: str
) -> None:
    assert re.match(label, describe_choice(selection, checkpoint))  # type: ignore[arg-type]
