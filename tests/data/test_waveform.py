"""Waveforms of clips: timing at every sample rate, silence, and excerpts that do not fit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from lightning_avsp.data.clips import clip_at, reversed_clip
from lightning_avsp.data.collate import collate
from lightning_avsp.data.corpora import read_videos
from lightning_avsp.data.dataset import EvaluationFrames
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.reader import ClipReader
from lightning_avsp.errors import InputError
from lightning_avsp.media.audio import Wave
from lightning_avsp.media.waveform import Waveform
from lightning_avsp.structures import ClipPolicy

RATES = [16_000, 22_050, 44_100, 48_000]
PLAIN = Waveform(hann="none")


def film(rate: int, click_s: float, channels: int = 2, seconds: float = 4.0) -> torch.Tensor:
    """Silence with a click of about a millisecond, (C, N); channels differ, their mean is the click."""
    time = torch.arange(round(seconds * rate)) / rate
    click = torch.exp(-(((time - click_s) / 5e-4) ** 2))
    weights = torch.tensor([1.5, 0.5] if channels == 2 else [1.0])
    return weights[:, None] * click


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("frame", [20, 27, 35])
def test_a_click_comes_with_its_frame(rate: int, frame: int) -> None:
    fps = 25.0
    wave = PLAIN.prepare(film(rate, (frame - 1) / fps), rate)
    clip = clip_at(20, 100, ClipPolicy())
    sound = PLAIN.cut(wave, *clip.span(fps), len(clip.frames))
    assert sound.shape == (1, 35_280)
    # 16 frames last 14112 samples, in the middle of the buffer; a frame's own time is the middle of its share
    expected = (35_280 - 14_112) // 2 + (frame - 20 + 0.5) * 22_050 / fps
    assert int(sound[0].argmax()) == pytest.approx(expected, abs=2)
    assert sound.max() == pytest.approx(256, rel=0.03)


def test_the_buffer_has_one_length_for_all_frame_rates() -> None:
    wave = Wave(torch.ones(22_050 * 10), 22_050)
    for fps in (10.0, 12.5, 24.99975, 29.97003):
        for frames, samples in ((16, 35_280), (32, 70_560)):
            clip = clip_at(40, 200, ClipPolicy(frames=frames))
            sound = PLAIN.cut(wave, *clip.span(fps), frames)
            assert sound.shape == (1, samples)
            count = round(frames / fps * 22_050)  # to a sample
            assert int((sound != 0).sum()) == pytest.approx(count, abs=1)
            first = int((sound[0] != 0).nonzero()[0])
            assert first == pytest.approx((samples - count) / 2, abs=1)


def test_windows_and_silence_outside_the_file() -> None:
    # cosines in float32 whose angle is off by 6e-8 of 2 pi
    wave, bare = Wave(torch.ones(22_050), 22_050), Waveform(pad_to="none", hann="none")
    whole = Waveform(pad_to="none", scale=1.0).cut(wave, 0.1, 0.5, 4)[0]
    np.testing.assert_allclose(whole.numpy(), np.hanning(8820), atol=1e-6)
    parts = Waveform(pad_to="none", scale=1.0, hann="frame").cut(wave, 0.1, 0.5, 4)[0]
    np.testing.assert_allclose(parts.numpy(), np.tile(np.hanning(2205), 4), atol=1e-6)
    assert torch.equal(bare.cut(wave, 0.1, 0.5, 4), torch.full((1, 8820), 256.0))
    before, after = bare.cut(wave, -0.1, 0.1, 5)[0], bare.cut(wave, 0.9, 1.1, 5)[0]
    assert before[2205:].all()
    assert after[:2205].all()
    assert not torch.cat([before[:2205], after[2205:]]).any()


@pytest.mark.parametrize("settings", [Waveform(), Waveform(pad_to="none"), Waveform(hann="frame")])
@pytest.mark.parametrize("stride", [1, 3])
def test_silence_has_the_shape_of_audio(corpus_root: Path, settings: Waveform, stride: int) -> None:
    entry = read_videos(corpus_root, ["AVAD"], 1, "train")[0]
    reader = ClipReader((16, 32), settings)
    clip = clip_at(3, 40, ClipPolicy(frames=8, stride=stride))
    sound, heard = reader.read_audio(entry, clip)
    silence, silent = reader.read_audio(replace(entry, wave=None), clip)
    assert (heard, silent) == (True, False)
    assert sound.shape == silence.shape
    if settings.pad_to == "none":  # audio of a strided clip covers its whole time
        assert sound.shape[-1] == round((7 * stride + 1) / entry.fps * 22_050)
    assert sound.any()
    assert not silence.any()


def test_too_long_an_excerpt_is_refused() -> None:
    wave = Wave(torch.ones(22_050 * 10), 22_050)
    with pytest.raises(InputError, match=r"16 frames lasts 2\.00 s, 44100 samples.* 35280.*min_fps"):
        Waveform().cut(wave, 1.0, 3.0, 16)
    assert Waveform(min_fps=8.0).cut(wave, 1.0, 3.0, 16).shape == (1, 44_100)
    with pytest.raises(InputError, match="48000 Hz"):
        Waveform().cut(Wave(wave.samples, 48_000), 1.0, 2.0, 16)
    with pytest.raises(InputError, match="end after it starts"):
        Waveform().cut(wave, 1.0, 1.0, 16)
    with pytest.raises(InputError, match="min_fps=0"):
        Waveform(min_fps=0)


def test_excerpts_of_several_lengths_make_one_batch(corpus_root: Path) -> None:
    entries = read_videos(corpus_root, ["AVAD"], 1, "train")[:2]
    slow, fast = (replace(entry, fps=fps) for entry, fps in zip(entries, (12.5, 25.0), strict=True))
    reader = ClipReader((16, 32), Waveform(pad_to="none", hann="none"))
    samples = [EvaluationFrames([entry], ClipPolicy(), reader)[20] for entry in (slow, fast)]
    lengths = [round(16 / fps * 22_050) for fps in (12.5, 25.0)]
    assert [sample["audio"].shape[-1] for sample in samples] == lengths
    batch = collate(samples)
    assert batch["audio"].shape == (2, 1, lengths[0])
    assert torch.equal(batch["audio"][0], samples[0]["audio"])
    room = (lengths[0] - lengths[1]) // 2
    assert torch.equal(batch["audio"][1, :, room : room + lengths[1]], samples[1]["audio"])
    assert not batch["audio"][1, :, :room].any()


@pytest.fixture
def clicking(corpus_root: Path, tmp_path: Path) -> VideoEntry:
    """40 frames, 25 a second, with a click at frame 10."""
    entry = read_videos(corpus_root, ["AVAD"], 1, "train")[0]
    soundfile.write(tmp_path / "click.wav", film(22_050, 9 / 25, channels=1).T.numpy(), 22_050)
    return replace(entry, wave=tmp_path / "click.wav", fps=25.0)


@pytest.mark.parametrize("backwards", [False, True])
def test_audio_of_a_reversed_start(clicking: VideoEntry, backwards: bool) -> None:
    policy = ClipPolicy(frames=12, target="last", start_padding="reversed", reverse_audio=backwards)
    reader = ClipReader((16, 32), Waveform(hann="none", pad_to="none"))
    clip = reversed_clip(5, 40, policy)  # frames 16, 15, ..., 5
    sound, _ = reader.read_audio(clicking, clip)
    place = (10 - 5 + 0.5) * 22_050 / 25
    forwards, _ = reader.read_audio(clicking, clip_at(5, 40, policy))
    # a click of some samples; backwards, the same samples
    assert int(forwards.argmax()) == pytest.approx(place, abs=2)
    if backwards:
        # with the frames: the click comes with frame 10, now the seventh of twelve
        assert clip.frames.index(10) == 6
        assert int(sound.argmax()) == pytest.approx((6 + 0.5) * 22_050 / 25, abs=2)
        assert torch.equal(sound, forwards.flip(-1))
    else:
        assert torch.equal(sound, forwards)


def test_audio_outside_the_file_runs_backwards_too(clicking: VideoEntry) -> None:
    policy = ClipPolicy(frames=12, target="last", start_padding="reversed", reverse_audio=True)
    reader = ClipReader((16, 32), Waveform(hann="none", pad_to="none"))
    clip = reversed_clip(1, 40, policy)  # starts half a frame before the sound
    sound, _ = reader.read_audio(clicking, clip)
    forwards, _ = reader.read_audio(clicking, clip_at(1, 40, policy))
    assert torch.equal(sound, forwards.flip(-1))
    half = round(0.5 / 25 * 22_050)
    assert not sound[0, -half + 1 :].any()
