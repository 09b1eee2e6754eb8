from __future__ import annotations

import threading
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lightning_avsp.diffusion import GaussianDiffusion, Sampling
from lightning_avsp.errors import InputError
from lightning_avsp.input_spec import InputSpec
from lightning_avsp.media.audio import LogMel
from lightning_avsp.media.video import open_video
from lightning_avsp.predict.predictor import PredictionReport, fill_between, predict_video
from lightning_avsp.structures import ClipPolicy, Condition, DiffusionNetwork
from lightning_avsp.tasks.loading import LoadedModel

SIZE = (32, 48)
AUDIO = LogMel(size=(16, 16), slices=3)


class SmallNetwork(DiffusionNetwork):
    """A real, tiny denoiser that counts its calls and remembers what it was given."""

    clip_frames = 6

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Conv3d(3, 4, (6, 3, 3), padding=(0, 1, 1))
        self.hear = nn.Linear(3 * 16 * 16, 4)
        self.mix = nn.Conv2d(5, 1, 3, padding=1)
        self.videos: list[Tensor | None] = []
        self.sounds: list[Tensor | None] = []
        self.denoised = 0

    def encode(self, video, audio=None, text=None) -> Condition:
        self.videos.append(video)
        self.sounds.append(audio)
        features = () if video is None else (self.see(video),)
        return Condition(features, None if audio is None else self.hear(audio.flatten(1))[:, None])

    def denoise(self, noisy_map, t, condition) -> Tensor:
        self.denoised += 1
        features = noisy_map.new_zeros(len(noisy_map), 4, *noisy_map.shape[-2:])
        if condition.video:
            features = features + condition.video[0][:, :, 0]
        if condition.audio is not None:
            features = features + condition.audio[:, 0, :, None, None]
        return torch.sigmoid(self.mix(torch.cat([noisy_map, features], 1)))


@pytest.fixture
def network() -> SmallNetwork:
    torch.manual_seed(1)
    return SmallNetwork()


def loaded(network: SmallNetwork, **settings) -> LoadedModel:
    audio = settings.pop("audio", AUDIO)
    spec = InputSpec(SIZE, SIZE, settings.pop("clip", ClipPolicy(frames=network.clip_frames)), audio)
    options = {"sampling": Sampling(steps=3), "diffusion": GaussianDiffusion()} | settings
    return LoadedModel(network.eval(), spec, "test", **options)


def run(network, path, **settings) -> np.ndarray:
    own = {key: settings.pop(key) for key in ("sampling", "seed", "clip") if key in settings}
    results = list(predict_video(loaded(network, **own), open_video(path), **settings))
    assert [index for index, _ in results] == list(range(len(results)))
    maps = np.stack([saliency for _, saliency in results])
    assert maps.dtype == np.float32
    assert maps.shape[1:] == SIZE
    assert maps.min() >= 0
    assert maps.max() <= 1
    return maps


def test_encoders_run_once_per_clip_whatever_the_steps_and_draws(network, make_film) -> None:
    path = make_film(frames=10)
    one, many = (run(network, path, batch=4, sampling=Sampling(steps=7, samples=n)) for n in (1, 8))
    assert [len(video) for video in network.videos] == [4, 4, 2] * 2
    assert network.denoised == 2 * 3 * 7
    assert len(one) == len(many) == 10
    assert np.abs(one - many).max() > 1e-4


def test_batch_and_stride_do_not_change_a_predicted_map(network, make_film) -> None:
    path = make_film(frames=13)
    single = run(network, path, batch=1)
    assert len(single) == 13
    # sums of up to 768 products, a third of which reaches a map through the sigmoid
    near = partial(np.testing.assert_allclose, rtol=0, atol=768 / 3 * 1.2e-7)
    near(run(network, path, batch=5), single)
    strided = run(network, path, batch=3, stride=5)
    near(strided[[0, 5, 10, 12]], single[[0, 5, 10, 12]])
    near(strided[7], 0.6 * strided[5] + 0.4 * strided[10])
    assert np.abs(strided[7] - single[7]).max() > 1e-4


def test_seed_decides_the_noise(network, make_film) -> None:
    path = make_film(frames=4)
    first = run(network, path, seed=0)
    np.testing.assert_array_equal(first, run(network, path, seed=0))
    assert np.abs(first - run(network, path, seed=1)).max() > 1e-3


def test_the_clip_is_centred_on_its_frame_or_ends_with_it(network, make_film) -> None:
    path = make_film(frames=12, channels=0)
    for target, expected in (("centre", [4, 5, 6, 7, 8, 9]), ("last", [2, 3, 4, 5, 6, 7])):
        network.videos.clear()
        run(network, path, clip=ClipPolicy(frames=network.clip_frames, target=target), batch=1)
        video = network.videos[7]
        assert video is not None
        grey = (video[0, 0, :, :, :20].mean((-2, -1)) * 0.225 + 0.45) * 255
        assert [round((float(level) - 40) / 7) for level in grey] == expected


def test_audio_follows_the_frames(network, make_film) -> None:
    run(network, make_film(frames=20, gap=(0.4, 10)), batch=1)
    loudness = [float(sound.mean()) for sound in network.sounds if sound is not None]
    assert len(loudness) == 20
    assert min(loudness[2:5]) > max(loudness[-1:]) + 1
    assert network.sounds[0].shape == (1, 1, 3, 16, 16)


def test_a_silent_video_shorter_than_a_clip_is_predicted_from_its_frames(network, make_film) -> None:
    assert len(run(network, make_film(frames=5, channels=0))) == 5
    assert network.sounds == [None, None]
    with pytest.raises(InputError, match="has no audio"):
        run(network, make_film(frames=5, channels=0), modality="a")


def test_modalities(network, make_film) -> None:
    path = make_film(frames=5)
    both = run(network, path)
    seen = run(network, path, modality="v")
    heard = run(network, path, modality="a")
    assert network.sounds[2:4] == [None, None]
    assert network.videos[4:] == [None, None]
    for a, b in ((both, seen), (both, heard), (seen, heard)):
        assert np.abs(a - b).max() > 1e-3


def test_clips_for_a_gpu_are_pinned_in_the_thread_that_reads_them(network, make_film, monkeypatch) -> None:
    pinned, given = [], []
    pin = lambda self, *_: (pinned.append((self, threading.get_ident())), self)[1]  # noqa: E731
    monkeypatch.setattr(Tensor, "pin_memory", pin)
    monkeypatch.setattr(LoadedModel, "device", property(lambda _: torch.device("cuda")))
    monkeypatch.setattr(
        "lightning_avsp.tasks.loading.move_batch", lambda batch, _: (given.append(batch), batch)[1]
    )
    run(network, make_film(frames=5))
    assert {thread for _, thread in pinned}.isdisjoint({threading.get_ident()})
    for name in ("video", "audio"):
        assert [any(one[name] is tensor for tensor, _ in pinned) for one in given] == [True, True]


@pytest.mark.parametrize("settings", [{"stride": 0}, {"batch": 0}])
def test_settings_out_of_range(network, make_film, settings) -> None:
    with pytest.raises(InputError, match="at least 1"):
        run(network, make_film(frames=5), **settings)


def test_released_alignment_at_the_rate_of_the_video(network, make_film) -> None:
    audio = LogMel(size=(16, 16), slices=3, alignment="released")
    list(predict_video(loaded(network, audio=audio), open_video(make_film(frames=8, rate=22050))))
    assert network.sounds[0].shape == (4, 1, 3, 16, 16)


def test_the_report_names_used_modalities_and_seconds_by_part(network, make_film) -> None:
    path = make_film(frames=4)
    for modality in ("av", "v", "a"):
        report = PredictionReport()
        run(network, path, modality=modality, report=report)
        assert report.used == modality
        assert set(report.seconds) == {"audio", "decode", "encode", "denoise"}
        assert min(report.seconds.values()) > 0


def test_fill_between_is_linear() -> None:
    filled = list(
        fill_between(
            [(place, np.full((1, 1), level, np.float32)) for place, level in ((0, 0), (4, 1), (5, 0))]
        )
    )
    assert [index for index, _ in filled] == [0, 1, 2, 3, 4, 5]
    assert [float(m[0, 0]) for _, m in filled] == [0, 0.25, 0.5, 0.75, 1, 0]
