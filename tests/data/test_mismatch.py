"""Mismatched audio and captions."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.mismatch import label_of, mismatched_audio, mismatched_text
from lightning_avsp.data.sources import MatFixations, PictureFrames, PictureMaps
from lightning_avsp.errors import InputError

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
