"""Audio read beside the frames equals the audio read as a whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_avsp.data.clips import Clip
from lightning_avsp.data.reader import clip_audio
from lightning_avsp.media.audio import AudioInput, LogMel, Wave, resample, to_mono
from lightning_avsp.media.audio_track import AudioStream, load_audio
from lightning_avsp.media.video import open_video
from lightning_avsp.media.waveform import Waveform


def write_long(path: Path, seconds: int) -> None:
    """A frame a second, and noise at 16 kHz."""
    import av

    wave = np.random.default_rng(0).normal(0, 0.2, (1, 16_000 * seconds)).clip(-1, 1)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=1)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        track = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for _ in range(seconds):
            picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        for start in range(0, wave.shape[1], 4_000):
            block = np.round(wave[:, start : start + 4_000] * 32_767).astype(np.int16)
            piece = av.AudioFrame.from_ndarray(block, "s16", "mono")
            piece.sample_rate, piece.pts = 16_000, start
            container.mux(track.encode(piece))
        container.mux(track.encode(None))


INPUTS = [LogMel(), LogMel(alignment="released"), Waveform()]


@pytest.mark.parametrize("audio", INPUTS, ids=["clip", "released", "waveform"])
@pytest.mark.parametrize("reverse", [False, True])
def test_clips_cut_from_a_stream_are_those_of_the_whole(
    audio: AudioInput, reverse: bool, tmp_path: Path
) -> None:
    path = tmp_path / "long.mkv"
    write_long(path, seconds=65)
    info = open_video(path)
    whole = Wave(to_mono(load_audio(info)[0]), 16_000)
    if audio.target_rate not in (None, 16_000):
        whole = Wave(resample(whole.samples, 16_000, audio.target_rate), audio.target_rate)
    stream, most = AudioStream(info, audio.target_rate), 0
    for middle in (0.0, 0.1, 11.0, 30.0, 41.7, 64.9):
        clip = Clip(tuple(range(1, 17)), 1, 16, audio_reversed=reverse)
        span = (middle - 0.32, middle + 0.32)
        wave = stream.around(*span)
        most = max(most, wave.samples.numel())
        found, wanted = (clip_audio(audio, each, clip, span) for each in (wave, whole))
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    assert stream.around(64.5, 64.9).first > 50 * whole.rate
    if whole.rate == 16_000:  # 10 s on either side and a block; resampling adds a part of up to 131 s
        assert most < 22 * whole.rate
