"""Audio of files and videos, and log-mel slices: the front end against an independent computation."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from rounding import LOG_MEL

from lightning_avsp.data.reader import WaveStore
from lightning_avsp.errors import InputError
from lightning_avsp.media.audio import (
    LogMel,
    Wave,
    force_count,
    log_mel,
    mel_matrix,
    released_examples,
    to_mono,
)
from lightning_avsp.media.audio_track import load_audio, read_audio
from lightning_avsp.media.video import open_video

CONFIG = LogMel()
RELEASED = LogMel(alignment="released")
RATES = [16_000, 22_050, 32_000, 44_100, 48_000]


def tone(rate: int, seconds: float, hertz: float = 440.0) -> torch.Tensor:
    return 0.5 * torch.sin(2 * math.pi * hertz * torch.arange(round(rate * seconds)) / rate)


def by_hand(samples: np.ndarray) -> np.ndarray:
    """The front end written out in numpy float64, window by window and band by band."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    mel = 1127 * np.log(1 + np.arange(257) * (8000 / 256) / 700)
    edges = np.linspace(1127 * np.log(1 + 125 / 700), 1127 * np.log(1 + 7500 / 700), 66)
    rows = []
    for start in range(0, len(samples) - 399, 160):
        magnitude = np.abs(np.fft.rfft(samples[start : start + 400] * hann, 512))
        bands = []
        for low, centre, high in zip(edges, edges[1:], edges[2:], strict=False):
            weight = np.maximum(0, np.minimum((mel - low) / (centre - low), (high - mel) / (high - centre)))
            bands.append((weight[1:] * magnitude[1:]).sum())
        rows.append(np.log(np.array(bands) + 0.01))
    return np.array(rows)


def test_front_end_equals_direct_computation() -> None:
    assert (CONFIG.window, CONFIG.hop, CONFIG.n_fft, CONFIG.slice_samples) == (400, 160, 512, 10_480)
    assert mel_matrix(512, 16_000, 64, 1.0, 7500.0)[0].abs().sum() == 0  # no weight on the DC bin
    samples = np.random.default_rng(0).normal(0, 0.2, 4321)
    ours = log_mel(torch.from_numpy(samples).float(), CONFIG)
    expected = by_hand(samples)
    assert ours.shape == expected.shape == (1 + (4321 - 400) // 160, 64)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=0, atol=LOG_MEL)


def test_slices_are_cut_around_the_middle_of_each_part() -> None:
    wave = torch.from_numpy(np.random.default_rng(1).normal(0, 0.2, 32_000)).float()
    config = LogMel(size=(64, 64))  # no resize: the slice itself
    slices = config.cut(Wave(wave, 16_000), 0.7, 1.3)
    assert slices.shape == (1, 9, 64, 64)
    for index in range(9):
        centre = 0.7 + (index + 0.5) * 0.6 / 9
        start = round(centre * 16_000) - 5240
        expected = by_hand(wave[start : start + 10_480].double().numpy())
        np.testing.assert_allclose(slices[0, index].numpy(), expected, rtol=0, atol=LOG_MEL)


def test_time_is_the_height_and_mel_the_width() -> None:
    wave = torch.cat([torch.zeros(16_000), tone(16_000, 1.0, 3000.0)])
    slices = LogMel(slices=1, size=(64, 64)).cut(Wave(wave, 16_000), 0.99, 1.01)[0, 0]
    assert slices[60].max() > slices[3].max() + 3  # loud in the later rows only
    low = LogMel(slices=1, size=(64, 64)).cut(Wave(tone(16_000, 2.0, 200.0), 16_000), 0.9, 1.1)[0, 0]
    assert int(low[32].argmax()) < 16 < int(slices[60].argmax())


@pytest.mark.parametrize(
    ("start", "length", "samples"),
    [(0.3, 0.9, 32_000), (-5.0, 0.01, 1), (-0.4, 3.0, 40_000), (2.4, 0.3, 40_000), (5.0, 1.0, 300)],
)
def test_any_window_gives_finite_slices_and_silence_outside(
    start: float, length: float, samples: int
) -> None:
    config = LogMel(slices=3, size=(8, 8))
    slices = config.cut(Wave(torch.full((samples,), 0.3), 16_000), start, start + length)
    assert slices.shape == (1, 3, 8, 8)
    assert torch.isfinite(slices).all()
    reach = config.slice_samples / 2 / 16_000
    if start + length + reach < 0 or start - reach > samples / 16_000:
        torch.testing.assert_close(slices, config.silence(), rtol=0, atol=LOG_MEL)


def sweep(rate: int) -> torch.Tensor:
    """Two seconds of a tone that rises all the time: no two moments are alike."""
    seconds = torch.arange(rate * 2, dtype=torch.float64) / rate
    return (0.4 * torch.sin(2 * math.pi * (300 + 400 * seconds) * seconds)).float()


@pytest.mark.parametrize("rate", RATES)
def test_every_rate_gives_the_same_slices(rate: int) -> None:
    wave = CONFIG.prepare(sweep(rate)[None], rate)
    assert wave.rate == 16_000
    slices = CONFIG.cut(wave, 0.6, 1.24)
    expected = CONFIG.cut(Wave(sweep(16_000), 16_000), 0.6, 1.24)
    heard = expected > 0  # the tone itself, not what leaks beside it
    assert (slices - expected)[heard].abs().max() < 0.02
    assert len({part.numpy().tobytes() for part in slices[0]}) == 9


@pytest.mark.parametrize(
    ("rate", "genuine", "distinct"),
    # at 16 kHz the first two of nine lie in the buffer's silence
    [(16_000, 15, 8), (22_050, 9, 9), (32_000, 5, 5), (44_100, 2, 2), (48_000, 1, 1)],
)
def test_released_number_of_examples_depends_on_the_rate(rate: int, genuine: int, distinct: int) -> None:
    wave = sweep(rate)
    examples = released_examples(wave, 0.5, 1.14, RELEASED, rate)
    assert examples.shape == (genuine, 64, 64)
    nine = RELEASED.cut(Wave(wave, rate), 0.5, 1.14)
    assert nine.shape == (1, 9, 112, 192)
    assert len({part.numpy().tobytes() for part in nine[0]}) == distinct


def test_released_buffer_written_out() -> None:
    rate = 16_000
    wave = torch.from_numpy(np.random.default_rng(3).normal(0, 0.2, 3 * rate)).float()
    fps, first = 25.0, 26  # frames 26 .. 41
    start, stop = (
        int((first - 1) / fps * rate - rate / fps / 2),
        int((first + 14) / fps * rate + rate / fps / 2),
    )
    excerpt = wave[start : stop + 1]
    buffer = np.zeros(35_280)
    left = (35_280 - len(excerpt)) // 2
    buffer[left : left + len(excerpt)] = excerpt.numpy()
    spectrum = by_hand(buffer)
    expected = np.stack([spectrum[11 * k : 11 * k + 64] for k in range(9)])
    ours = released_examples(wave, (first - 1.5) / fps, (first + 14.5) / fps, RELEASED, rate)
    np.testing.assert_allclose(ours[:9].numpy(), expected, rtol=0, atol=LOG_MEL)


@pytest.mark.parametrize(
    ("have", "expected"),
    [
        (1, [0] * 9),
        (2, [0, 0, 0, 0, 1, 1, 1, 1, 0]),
        (5, [0, 1, 2, 3, 4, 0, 1, 2, 3]),
        (4, [0, 0, 1, 1, 2, 2, 3, 3, 0]),
        (9, list(range(9))),
        (15, list(range(9))),
    ],
)
def test_forced_to_nine(have: int, expected: list[int]) -> None:
    assert force_count(torch.arange(have), 9).tolist() == expected


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_files_of_all_channels_and_rates(tmp_path: Path, rate: int, channels: int) -> None:
    path = tmp_path / "sound.wav"
    mono = tone(rate, 0.5).numpy()
    gains = np.linspace(0.5, 1.5, channels)
    soundfile.write(path, mono[:, None] * gains / gains.max(), rate, subtype="PCM_16")
    wave, got = load_audio(path)
    assert got == rate
    assert wave.shape == (channels, len(mono))
    assert wave.abs().max() <= 1
    wanted = torch.from_numpy(mono * gains.mean() / gains.max()).float()
    torch.testing.assert_close(to_mono(wave), wanted, rtol=0, atol=2**-14)  # 16 bits, -32768 to 32767
    assert CONFIG.prepare(wave, got).seconds == pytest.approx(0.5, abs=1 / 16_000)  # a sample


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: released_examples(torch.zeros(100_000), 0.5, 0.5 + 16 / 15, RELEASED, 48_000),
            "51201 samples at 48000 Hz does not fit.*35280",
        ),
        (
            lambda: CONFIG.cut(Wave(torch.zeros(44_100), 44_100), 0.1, 0.4),
            "44100 Hz.*16000 Hz; call prepare once",
        ),
        (lambda: CONFIG.cut(Wave(torch.zeros(16_000), 16_000), 0.5, 0.5), "must end after it starts"),
        (lambda: LogMel(high_hz=9000.0), "high_hz=9000"),
        (lambda: LogMel(low_hz=8000.0), "low_hz=8000"),
        (lambda: LogMel(slices=0), "at least 1"),
    ],
)
def test_impossible_clips_and_settings(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"V1\.wav \(0 bytes\) cannot be read"),
        (b"RIFF but not a wave", r"V1\.wav \(19 bytes\) cannot be read"),
        (np.zeros(0), "holds no sample"),
        (None, r"V1\.wav \(missing\)"),
    ],
)
def test_unusable_audio_is_named(tmp_path: Path, content: bytes | np.ndarray | None, message: str) -> None:
    path = tmp_path / "V1.wav"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        soundfile.write(path, content, 16_000)
    with pytest.raises(InputError, match=message):
        load_audio(path)


def test_store_loads_once_and_forgets_the_oldest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / f"{name}.wav" for name in "abc"]
    for path in paths:
        soundfile.write(path, np.zeros(16_000), 16_000)
    loaded: list[str] = []

    def counting(path: Path) -> tuple[torch.Tensor, int]:
        loaded.append(path.stem)
        return load_audio(path)

    monkeypatch.setattr("lightning_avsp.data.reader.load_audio", counting)
    store = WaveStore(CONFIG, capacity_bytes=2 * 16_000 * 4)
    for place in (0, 1, 0, 2, 0, 1):
        store.get(paths[place])
    assert loaded == ["a", "b", "c", "b"]
    assert len(store) == 2
    small = WaveStore(CONFIG, capacity_bytes=1)
    small.get(paths[0])
    assert len(small) == 1


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_all_channels_are_read(make_film, expected_noise, channels) -> None:
    wave, rate, offset = read_audio(make_film("x.mkv", acodec="flac", channels=channels))
    assert (rate, offset) == (48000, 0.0)
    wanted = expected_noise(channels, wave.shape[1])
    np.testing.assert_allclose(wave.numpy(), wanted[:channels], atol=2e-4)  # 16 bits: levels of 3e-5


@pytest.mark.parametrize("name", ["x.mp4", "x.mkv"])
def test_audio_lies_on_the_clock_of_the_frames(make_film, expected_noise, align, name) -> None:
    wave, rate, offset = read_audio(make_film(name, channels=1, sound_delay=0.25))
    lag, correlation = align(expected_noise(1, 57600)[0], wave[0].numpy())
    assert correlation > 0.98
    assert offset + lag / rate == pytest.approx(0.25, abs=1e-3)  # Matroska rounds times to a millisecond
    _, _, offset = read_audio(make_film("x.mkv", acodec="flac", pts=[400 + 40 * i for i in range(20)]))
    assert offset == pytest.approx(-0.4)  # audio before the frames
    with pytest.raises(InputError, match="has no audio"):
        read_audio(open_video(make_film(channels=0)))


def test_holes_are_silence(make_film, expected_noise, align) -> None:
    wave, rate, _ = read_audio(make_film("x.mkv", acodec="pcm_s16le", channels=1, gap=(0.4, 0.8)))
    silent = wave[0].abs() == 0
    assert silent[round(0.45 * rate) : round(0.78 * rate)].all()
    wanted = expected_noise(1, wave.shape[1])[0]
    later = slice(round(0.9 * rate), round(1.1 * rate))
    lag, correlation = align(wanted[later], wave[0, later].numpy())
    assert abs(lag) <= 48  # Matroska rounds times to a millisecond
    assert correlation > 0.95


def test_mixing_while_reading_equals_mixing_afterwards(make_film) -> None:
    path = make_film(channels=6)
    wave, _, _ = read_audio(path)
    mono, _, _ = read_audio(path, mono=True)
    assert mono.shape == (1, wave.shape[1])
    np.testing.assert_allclose(mono[0], to_mono(wave), atol=6 * 6e-8)  # a sum of six channels below 1
