"""Samples: shapes, determinism, blank maps, audio, broken files, and frames remembered between clips."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from rounding import LOG_MEL

from lightning_avsp.data.collate import collate
from lightning_avsp.data.corpora import read_videos
from lightning_avsp.data.dataset import EvaluationFrames, TrainingClips
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.reader import ClipReader, FrameReader
from lightning_avsp.data.sources import PictureFrames
from lightning_avsp.errors import InputError
from lightning_avsp.media.audio import LogMel, Wave
from lightning_avsp.media.images import read_image
from lightning_avsp.structures import ClipPolicy

AUDIO = LogMel(size=(14, 24))
SIZE = (32, 48)


def videos_of(root: Path) -> list[VideoEntry]:
    return read_videos(root, ["AVAD"], 1, "train")


@pytest.fixture
def reader() -> ClipReader:
    return ClipReader(SIZE, AUDIO)


def test_a_training_sample_and_its_contents(corpus_root: Path, reader: ClipReader) -> None:
    clips = TrainingClips(videos_of(corpus_root), ClipPolicy(), reader, seed=1)
    assert len(clips) == 4  # one segment in 40 frames
    assert torch.equal(clips[2]["video"], clips[2, 0]["video"])  # a plain index is of epoch 0
    entry, clip = clips.clip(1, epoch=3)
    sample = clips[1, 3]
    assert (sample["corpus"], sample["video_id"], sample["frame"]) == ("AVAD", entry.video, clip.target)
    assert 9 <= sample["frame"] <= 33
    assert (sample["video"].shape, sample["video"].dtype) == ((16, *SIZE, 3), torch.uint8)
    assert (sample["saliency"].shape, sample["saliency"].dtype) == ((1, *SIZE), torch.uint8)
    assert sample["saliency"].max() > 100
    assert "ground_truth" not in sample
    with Image.open(entry.frames.path(clip.frames[5])) as image:
        shown = np.asarray(image.resize((48, 32), Image.Resampling.BILINEAR)).astype(float)
    assert np.abs(sample["video"][5].numpy() - shown).mean() < 2  # we decode JPEG at a scale
    assert entry.wave is not None
    samples, rate = soundfile.read(entry.wave, dtype="float32")
    assert rate == 16_000
    expected = AUDIO.cut(Wave(torch.from_numpy(samples), AUDIO.sample_rate), *clip.span(entry.fps))
    assert sample["has_audio"] is True
    assert expected.shape == (1, 9, 14, 24)
    torch.testing.assert_close(sample["audio"], expected, rtol=0, atol=LOG_MEL)


def blacken(entry: VideoEntry, *numbers: int) -> None:
    for number in numbers:
        Image.new("L", (128, 64)).save(entry.maps.path(number))


def test_blank_maps_are_redrawn_or_kept(own_root: Path, reader: ClipReader) -> None:
    videos = videos_of(own_root)
    blacken(videos[0], *range(1, 41))
    policy = ClipPolicy(draw="every")
    again = TrainingClips(videos, policy, reader)
    kept = TrainingClips(videos, policy, reader, blank_maps="keep")
    for index in range(0, 25, 6):
        assert again[index, 2]["saliency"].any()
        assert again.clip(index, 2) == again.clip(index, 2)
        assert not kept[index, 2]["saliency"].any()
    clips = [TrainingClips(videos, ClipPolicy(), reader)[index] for index in range(4)]
    assert collate(clips)["redrawn"].tolist() == [True, False, False, False]
    scored = EvaluationFrames(videos[:1], ClipPolicy(), ClipReader(SIZE, AUDIO, map_size=(20, 30)))
    assert len(scored) == 40
    assert not scored[4]["ground_truth"].any()
    assert (scored[4]["ground_truth"].shape, scored[4]["saliency"].shape) == ((64, 128), (1, 20, 30))


def test_one_per_video_is_redrawn_in_its_video(own_root: Path, reader: ClipReader) -> None:
    videos = videos_of(own_root)
    blacken(videos[0], *range(1, 33))  # targets are frames 9 to 33: one of 25 has a map
    blacken(videos[1], *range(9, 21))
    clips = TrainingClips(videos, ClipPolicy(draw="one_per_video"), reader)
    for epoch in range(10):
        entry, clip = clips.clip(1, epoch)
        assert entry.key == videos[1].key
        assert clip.target > 20
    hard = [clips.clip(0, epoch) for epoch in range(20)]
    assert {clip.target for entry, clip in hard if entry.key == videos[0].key} == {33}
    # after 25 tries another video stands in
    blacken(videos[0], *range(33, 41))
    assert clips.clip(0)[0].key != videos[0].key
    with pytest.raises(InputError, match="50 target maps in a row are blank"):
        TrainingClips(videos[:1], ClipPolicy(), reader)[0]


def test_evaluation_samples_in_any_order(corpus_root: Path, reader: ClipReader) -> None:
    frames = EvaluationFrames(videos_of(corpus_root), ClipPolicy(), reader)
    assert len(frames) == 160
    forwards = [frames.clip(index) for index in range(160)]
    assert len({(entry.video, clip.target) for entry, clip in forwards}) == 160
    order = np.random.default_rng(0).permutation(160)
    assert all(frames.clip(int(index)) == forwards[index] for index in order)
    sample = frames[40 + 11]
    entry, clip = forwards[51]
    assert (sample["frame"], clip.target) == (12, 12)
    assert sample["ground_truth"].shape == (64, 128)
    assert sample["fixations"].ndim == 2
    assert sample["fixations"].shape[0] > 5
    assert entry.maps.path(12).is_file()


def test_frames_of_reversed_unscored_and_strided_clips(corpus_root: Path, reader: ClipReader) -> None:
    videos = videos_of(corpus_root)[:2]
    every = EvaluationFrames(videos[:1], ClipPolicy(frames=1), reader)
    policy = ClipPolicy(frames=12, target="last", start_padding="reversed")
    frames = EvaluationFrames(videos[:1], policy, ClipReader(SIZE, AUDIO, kept_frames=20))
    assert len(frames) == 40
    head, plain = frames[4], frames[20]
    assert head["frame"] == 5
    for place in range(12):
        assert torch.equal(head["video"][place], every[16 - place - 1]["video"][0])
        assert torch.equal(plain["video"][place], every[9 + place]["video"][0])
    assert torch.equal(head["ground_truth"], every[4]["ground_truth"])
    frames = EvaluationFrames(videos, ClipPolicy(start_padding="skip"), reader)
    scored = [(entry.video, clip.target) for entry, clip in map(frames.clip, range(len(frames)))]
    assert scored == [(video.video, frame) for video in videos for frame in range(9, 41)]
    strided = EvaluationFrames(videos[:1], ClipPolicy(frames=5, stride=4), reader)[20]
    for place, frame in enumerate((13, 17, 21, 25, 29)):
        assert torch.equal(strided["video"][place], every[frame - 1]["video"][0])
    assert strided["frame"] == 21


@pytest.mark.parametrize(("rate", "channels"), [(48_000, 6), (44_100, 2), (22_050, 1), (16_000, 1)])
@pytest.mark.parametrize("alignment", ["clip", "released"])
def test_audio_of_any_rate_and_channels(own_root: Path, rate: int, channels: int, alignment: str) -> None:
    entry = videos_of(own_root)[0]
    assert entry.wave is not None
    samples, own_rate = soundfile.read(entry.wave)
    stretched = np.interp(np.arange(0, 3.2, 1 / rate), np.arange(len(samples)) / own_rate, samples)
    soundfile.write(entry.wave, np.repeat(stretched[:, None], channels, 1), rate)
    fast = replace(entry, fps=25.0)  # at 12.5 fps a clip of 48 kHz does not fit into the released buffer
    audio = LogMel(alignment=alignment)  # type: ignore[arg-type]
    sample = EvaluationFrames([fast], ClipPolicy(), ClipReader(SIZE, audio))[20]
    assert sample["audio"].shape == (1, 9, 112, 192)
    assert torch.isfinite(sample["audio"]).all()
    assert sample["has_audio"] is True


def test_mismatched_audio_and_silence(corpus_root: Path, reader: ClipReader) -> None:
    own, other = videos_of(corpus_root)[:2]
    wrong = EvaluationFrames([own], ClipPolicy(), ClipReader(SIZE, AUDIO, audio_of={own.key: other.wave}))
    true = EvaluationFrames([other], ClipPolicy(), reader)
    assert torch.equal(wrong[20]["audio"], true[20]["audio"])
    assert wrong[20]["video_id"] == own.video
    muted = EvaluationFrames([own], ClipPolicy(), ClipReader(SIZE, AUDIO, audio_of={own.key: None}))
    for silent in (muted[20], TrainingClips([replace(own, wave=None)], ClipPolicy(), reader)[0]):
        assert silent["has_audio"] is False
        assert torch.equal(silent["audio"], AUDIO.silence())


def test_shorter_mismatched_audio_starts_again(own_root: Path) -> None:
    own, other = videos_of(own_root)[:2]
    assert other.wave is not None
    samples, rate = soundfile.read(other.wave)
    soundfile.write(other.wave, samples[: 10 * rate // 10], rate)  # 1 s of 3.2
    audio = LogMel(size=(14, 24), slices=1)
    reader = ClipReader(SIZE, audio, audio_of={own.key: other.wave})
    frames = EvaluationFrames([own], ClipPolicy(frames=3), reader)
    # 12.5 fps, so 25 frames are 2 s: two turns of the mismatched audio later
    torch.testing.assert_close(frames[30]["audio"], frames[5]["audio"], rtol=0, atol=LOG_MEL)
    assert frames[30]["audio"].max() > audio.silence().max()


def test_broken_frame_is_named(own_root: Path, reader: ClipReader) -> None:
    entry = videos_of(own_root)[0]
    path = entry.frames.path(20)
    path.write_bytes(path.read_bytes()[:300])
    frames = EvaluationFrames([entry], ClipPolicy(), reader)
    with pytest.raises(InputError, match=rf"{entry.video}/img_00020\.jpg \(300 bytes\)"):
        frames[20]


def test_memory_changes_nothing_and_is_bounded(corpus_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = next((corpus_root / "video_frames" / "AVAD").iterdir())
    source = PictureFrames(folder, "img_{:05d}.jpg")
    decoded: list[Path] = []

    def counting(path: Path, size: tuple[int, int]) -> np.ndarray:
        decoded.append(path)
        return read_image(path, size)

    monkeypatch.setattr("lightning_avsp.data.sources.read_image", counting)
    kept, forgetful = FrameReader((32, 48), capacity=4), FrameReader((32, 48))
    for start in range(17):
        window = range(start + 1, start + 5)
        assert torch.equal(kept.read(source, window), forgetful.read(source, window))
    assert len(decoded) == 20 + 17 * 4  # remembered: each frame once
    clip = forgetful.read(source, (1, 1, 2, 3))
    assert (clip.shape, clip.dtype) == ((4, 32, 48, 3), torch.uint8)
    assert torch.equal(clip[0], clip[1])
    assert not torch.equal(clip[1], clip[2])


def test_clips_depend_on_seed_epoch_and_index_alone(corpus_root: Path, reader: ClipReader) -> None:
    videos = videos_of(corpus_root)
    policy = ClipPolicy(draw="random")
    one, two = (TrainingClips(videos, policy, reader, seed=4) for _ in range(2))
    forward = {(index, epoch): one.clip(index, epoch) for epoch in range(3) for index in range(len(one))}
    for (index, epoch), drawn in reversed(forward.items()):
        assert two.clip(index, epoch) == drawn
    starts = [clip.first for _, clip in forward.values()]
    assert len(set(starts)) > 8
    other = TrainingClips(videos, policy, reader, seed=5)
    assert any(other.clip(*key) != drawn for key, drawn in forward.items())
    released = TrainingClips(videos, ClipPolicy(crop="centre", short_videos="loop"), reader)
    assert released.clip(0, 0) == released.clip(0, 7)
    assert released.clip(0)[1].first == 1 + 20 - 8
