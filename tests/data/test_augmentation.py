"""Random changes of training clips: exact, together, and drawn by seed, epoch and index alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as pictures

from lightning_avsp.data.augmentation import Augmentation, Change
from lightning_avsp.data.corpora import read_videos
from lightning_avsp.data.dataset import EvaluationFrames, TrainingClips
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.reader import ClipReader
from lightning_avsp.errors import InputError
from lightning_avsp.media.audio import LogMel
from lightning_avsp.media.waveform import Waveform
from lightning_avsp.structures import ClipPolicy

STRONG = Augmentation(flip=0.5, brightness=0.4, contrast=0.4, saturation=0.4, gain_db=6.0)
PLAIN = Waveform(hann="none", pad_to="none", scale=1.0)


@pytest.fixture(scope="module")
def videos(corpus_root: Path) -> list[VideoEntry]:
    return read_videos(corpus_root, ["AVAD"], 1, "train")


@pytest.fixture
def reader() -> ClipReader:
    return ClipReader((32, 64), PLAIN)


def video(seed: int = 0, frames: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (frames, 12, 20, 3), dtype=torch.uint8, generator=generator)


def test_augmentation_is_off_by_default_and_leaves_the_choice_of_clips(
    videos: list[VideoEntry], reader: ClipReader
) -> None:
    assert not Augmentation().active
    policy = ClipPolicy(draw="random")
    plain = TrainingClips(videos, policy, reader)
    changed = TrainingClips(videos, policy, reader, augmentation=STRONG)
    for index in range(len(plain)):
        assert plain.clip(index, 3) == changed.clip(index, 3)
        assert plain[index, 3]["frame"] == changed[index, 3]["frame"]
    own = reader.read(*plain.clip(2, 1))
    assert all(torch.equal(plain[2, 1][name], own[name]) for name in ("video", "audio", "saliency"))  # type: ignore[literal-required]


def test_strength_of_changes_which_do_not_disturb_each_other() -> None:
    generator = np.random.default_rng(0)
    # of 2000, half are off by a standard error of .011, and the ends are farther off than this once in e**25 times
    drawn = [STRONG.sample(generator) for _ in range(2000)]
    assert np.mean([change.flip for change in drawn]) == pytest.approx(0.5, abs=0.05)
    for name in ("brightness", "contrast", "saturation"):
        values = [getattr(change, name) for change in drawn]
        assert (min(values), max(values)) == (pytest.approx(0.6, abs=0.01), pytest.approx(1.4, abs=0.01))
    gains = 20 * np.log10([change.gain for change in drawn])
    assert (gains.min(), gains.max()) == (pytest.approx(-6, abs=0.1), pytest.approx(6, abs=0.1))
    alone = Augmentation(saturation=0.4).sample(np.random.default_rng(0))
    assert alone == Change(saturation=drawn[0].saturation)


def test_frames_map_and_fixations_are_mirrored_together(videos: list[VideoEntry], reader: ClipReader) -> None:
    sample = EvaluationFrames(videos[:1], ClipPolicy(), reader)[20]
    mirrored = Change(flip=True).apply(sample)
    assert torch.equal(mirrored["video"], sample["video"].flip(2))
    assert torch.equal(mirrored["saliency"], sample["saliency"].flip(2))
    assert torch.equal(mirrored["ground_truth"], sample["ground_truth"].flip(1))
    # points stay points, on the same values of the map
    assert mirrored["fixations"].dtype == torch.int64
    assert mirrored["fixations"].shape == sample["fixations"].shape

    def under(one: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        return one[points[:, 0], points[:, 1]]

    assert torch.equal(
        under(mirrored["ground_truth"], mirrored["fixations"]),
        under(sample["ground_truth"], sample["fixations"]),
    )
    assert torch.equal(mirrored["audio"], sample["audio"])
    again = Change(flip=True).apply(mirrored)
    assert torch.equal(again["fixations"], sample["fixations"])
    assert torch.equal(again["video"], sample["video"])


@pytest.mark.parametrize("factor", [0.6, 1.3])
def test_brightness_and_saturation_are_those_of_torchvision(factor: float) -> None:
    frames = video().permute(0, 3, 1, 2)
    for ours, theirs in (
        (Change(brightness=factor), pictures.adjust_brightness(frames, factor)),
        (Change(saturation=factor), pictures.adjust_saturation(frames, factor)),
    ):
        got = ours.recolour(video())
        assert got.dtype == torch.uint8
        difference = got.int() - theirs.permute(0, 2, 3, 1).int()
        assert difference.abs().max() <= 1  # torchvision cuts fractions off, we round


def test_contrast_turns_around_the_mean_of_the_whole_clip() -> None:
    frames = torch.stack([torch.full((4, 4, 3), value, dtype=torch.uint8) for value in (50, 150)])
    # around 100; per frame they would stay
    assert Change(contrast=0.5).recolour(frames).unique().tolist() == [75, 125]
    mixed = Change(brightness=1.2, contrast=0.5).recolour(frames)
    assert mixed.unique().tolist() == [90, 150]  # 60 and 180, around 120


def test_all_three_at_once_are_the_three_in_turn() -> None:
    calm = (video().float() / 4 + 96).to(torch.uint8)  # far from 0 and 255, where a step would be cut off
    steps = calm
    for change in (Change(brightness=1.1), Change(contrast=0.8), Change(saturation=1.2)):
        steps = change.recolour(steps)
    once = Change(brightness=1.1, contrast=0.8, saturation=1.2).recolour(calm)
    assert (once.int() - steps.int()).abs().max() <= 2  # one rounding instead of three


def test_gain_is_in_decibels(videos: list[VideoEntry], reader: ClipReader) -> None:
    frames = EvaluationFrames(videos[:1], ClipPolicy(), reader)
    entry, clip = frames.clip(20)
    plain, _ = reader.read_audio(entry, clip)
    louder, heard = reader.read_audio(entry, clip, 10 ** (6 / 20))
    assert heard
    torch.testing.assert_close(louder, plain * 1.9952623)  # two roundings of float32
    # the stored sound is not changed by it
    assert torch.equal(reader.read_audio(entry, clip)[0], plain)
    silent = replace(entry, wave=None)
    assert not reader.read_audio(silent, clip, 2.0)[0].any()


@pytest.mark.parametrize("alignment", ["clip", "released"])
def test_gain_comes_before_the_logarithm(videos: list[VideoEntry], alignment: str) -> None:
    audio = LogMel(size=(64, 64), slices=3, alignment=alignment)  # type: ignore[arg-type]  # of its size: not resized
    reader = ClipReader((32, 64), audio)
    entry, clip = EvaluationFrames(videos[:1], ClipPolicy(), reader).clip(20)
    plain, louder = (reader.read_audio(entry, clip, gain)[0].double().exp() - 0.01 for gain in (1.0, 2.0))
    # float32 logarithms of magnitude 10 hold 1e-6 of what they are of
    torch.testing.assert_close(louder, 2 * plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"flip": 1.5}, "flip=1.5 is out of range: give a number from 0 to 1"),
        ({"brightness": -0.1}, "brightness"),
        ({"saturation": 2.0}, "saturation"),
        ({"gain_db": -3.0}, "gain_db"),
        ({"gain_db": float("inf")}, "gain_db"),
    ],
)
def test_impossible_settings(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Augmentation(**settings)
