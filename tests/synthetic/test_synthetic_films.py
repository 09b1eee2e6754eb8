"""Films: exact frames, sound in step with them, and the command that writes all of it."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from lightning_avsp.cli.data import synth
from lightning_avsp.errors import InputError
from lightning_avsp.synthetic import SyntheticSpec, synthesise_corpus


@pytest.mark.parametrize(("fps", "sample_rate"), [(12.5, 16000), (29.97, 44100)])
def test_a_film_holds_the_frames_and_the_sound(tmp_path: Path, fps: float, sample_rate: int) -> None:
    spec = SyntheticSpec(seconds=2.0, fps=fps, sample_rate=sample_rate)
    synthesise_corpus(tmp_path, videos=3, spec=spec, films=True)
    with av.open(str(tmp_path / "films/AVAD/V1_Sound.mp4")) as film:
        assert float(film.streams.video[0].average_rate) == pytest.approx(fps, rel=1e-5)
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    with av.open(str(tmp_path / "films/AVAD/V1_Sound.mp4")) as film:
        assert film.streams.audio[0].rate == sample_rate
        assert film.streams.audio[0].channels == 1
        blocks = [(block.pts, block.to_ndarray()[0]) for block in film.decode(audio=0)]
    assert len(frames) == spec.frames
    for number in (1, spec.frames):
        image = Image.open(tmp_path / f"video_frames/AVAD/V1_Sound/img_{number:05d}.jpg")
        difference = np.abs(np.asarray(image).astype(float) - frames[number - 1])
        assert difference.mean() < 6  # camera noise of 4 grey levels, chroma at half the resolution

    heard = np.concatenate([samples for pts, samples in blocks if pts >= 0])[: spec.samples]
    path = tmp_path / "video_audio/AVAD/V1_Sound/V1_Sound.wav"
    sound = np.frombuffer(path.read_bytes()[44:], "<i2") / 32767
    length = min(len(heard), len(sound), sample_rate)
    spectrum = np.fft.rfft(heard[:length], 2 * length) * np.conj(np.fft.rfft(sound[:length], 2 * length))
    lag = int(np.argmax(np.fft.irfft(spectrum)))
    assert min(lag, 2 * length - lag) <= 2


def test_the_command_writes_and_says_that_it_is_synthetic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    synth(tmp_path, videos=3, height=32, width=56, seconds=0.8, workers=1, films=True, ceilings=True)
    said = capsys.readouterr().out
    assert said.lstrip().startswith("SYNTHETIC AVAD: 3 videos (2 sound, 1 music, 0 silent), 10 frames each")
    assert "3 written, 0 kept" in said
    assert "Nobody was recorded" in said
    assert "attended" in said
    assert len(list((tmp_path / "films/AVAD").iterdir())) == 3
    synth(tmp_path, videos=3, height=32, width=56, seconds=0.8, workers=1)
    assert "0 written, 3 kept" in capsys.readouterr().out
    with pytest.raises(InputError, match="overwrite"):
        synth(tmp_path, videos=3, height=64, width=56, seconds=0.8, workers=1)
