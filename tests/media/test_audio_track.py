from __future__ import annotations

import numpy as np
import pytest

from lightning_avsp.errors import InputError
from lightning_avsp.media.audio import to_mono
from lightning_avsp.media.audio_track import read_audio
from lightning_avsp.media.video import open_video


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


def test_audio_before_the_frames(make_film) -> None:
    _, _, offset = read_audio(make_film("x.mkv", acodec="flac", pts=[400 + 40 * i for i in range(20)]))
    assert offset == pytest.approx(-0.4)


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


def test_silent_video(make_film) -> None:
    info = open_video(make_film(channels=0))
    with pytest.raises(InputError, match="has no audio"):
        read_audio(info)
