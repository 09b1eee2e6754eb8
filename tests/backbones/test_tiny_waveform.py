"""The tiny waveform encoder: it keeps pitch and time, survives silence, and learns."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lightning_avsp.backbones.registry import build_waveform_encoder
from lightning_avsp.backbones.tiny_audio import RATE, TinyWaveformEncoder
from lightning_avsp.errors import InputError

SAMPLES = 17_640


def tones(pitches: Tensor, amplitude: Tensor) -> Tensor:
    """Sines (B, 1, N) in [-256, 256] under a Hann window, as a clip gives them, with a noise floor."""
    time = torch.arange(SAMPLES) / RATE
    phase = 2 * math.pi * torch.rand(len(pitches), 1)
    wave = amplitude[:, None] * torch.sin(2 * math.pi * pitches[:, None] * time + phase)
    wave = wave + 0.003 * torch.randn_like(wave)
    return 256 * (wave * torch.hann_window(SAMPLES))[:, None]


@pytest.mark.parametrize("samples", [11_760, 17_640, 35_280, 70_560])
def test_it_gives_a_token_for_every_2048_samples(samples: int) -> None:
    encoder = TinyWaveformEncoder()
    features = encoder(torch.randn(2, 1, samples))
    assert features.shape[:2] == (2, encoder.out_channels)
    assert abs(features.shape[2] - samples / 2048) <= 1


def test_it_is_built_without_memory_even_where_linspace_stays_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    linspace = torch.linspace  # as transformers' loading leaves it for the rest of the process
    monkeypatch.setattr(torch, "linspace", lambda *ends, device="cpu": linspace(*ends, device=device))
    with torch.device("meta"):
        assert TinyWaveformEncoder().bank.weight.is_meta


def test_each_filter_answers_its_own_pitch() -> None:
    encoder = TinyWaveformEncoder()
    cosine, sine = encoder.bank(
        tones(torch.tensor([220.0, 440.0, 880.0]), torch.full((3,), 0.2)) / 256
    ).chunk(2, 1)
    energy = (cosine.square() + sine.square()).mean(dim=2)  # (3, filters)
    ratio = math.log(8000 / 80) / 39
    for row, pitch in enumerate((220.0, 440.0, 880.0)):
        nearest = math.log(pitch / 80) / ratio
        assert abs(energy[row].argmax().item() - nearest) <= 1  # a filter has a whole number


def test_silence_and_full_scale_stay_finite_and_differ() -> None:
    encoder = TinyWaveformEncoder()
    full = 256 * torch.sin(torch.arange(SAMPLES) * 0.125)
    features = encoder(torch.stack([torch.zeros(SAMPLES), full, full.sign() * 256])[:, None])
    assert torch.isfinite(features).all()
    assert (features[0] - features[1]).abs().mean() > 0.05
    features.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters() if p.grad is not None)


def test_tokens_know_their_place() -> None:
    encoder = TinyWaveformEncoder()
    features = encoder(torch.zeros(1, 1, SAMPLES))[0]  # the same sound everywhere
    assert (features[:, 2] - features[:, 5]).abs().max() > 0.1


def test_built_by_name() -> None:
    encoder, report = build_waveform_encoder("tiny")
    assert (type(encoder), str(report)) == (TinyWaveformEncoder, "audio encoder (tiny): random")
    assert build_waveform_encoder("soundnet8", "conv5")[0].out_channels == 256


def test_unusable_options_and_inputs_are_refused() -> None:
    with pytest.raises(InputError, match=r"vggish.*soundnet8, tiny"):
        build_waveform_encoder("vggish")
    with pytest.raises(InputError, match="empty"):
        TinyWaveformEncoder()(torch.zeros(1, 1, 0))
