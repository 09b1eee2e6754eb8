"""Frozen encoders rest, build no graph, and are known by their weights and settings."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from lightning_avsp.backbones.encoder import Encoder
from lightning_avsp.backbones.feature_store import CachedVideoFeatures, FeatureStore, weights_fingerprint
from lightning_avsp.backbones.registry import (
    VIDEO_ENCODERS,
    build_audio_encoder,
    build_video_encoder,
    build_waveform_encoder,
)

INPUTS = {
    "video": (lambda frozen: build_video_encoder("tiny", frozen=frozen)[0], (2, 3, 16, 64, 64)),
    "mel": (lambda frozen: build_audio_encoder("tiny", frozen=frozen)[0], (2, 1, 32, 64)),
    "wave": (lambda frozen: build_waveform_encoder("tiny", frozen=frozen)[0], (2, 1, 35280)),
}


def features(encoder: Encoder, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    out = encoder(x)
    return out if isinstance(out, tuple) else (out,)


@pytest.mark.parametrize("name", INPUTS)
def test_a_frozen_encoder_builds_no_graph_and_stays_in_eval_mode(name: str) -> None:
    build, shape = INPUTS[name]
    encoder, x = build(True), torch.randn(shape)
    modes: list[bool] = []
    encoder.register_forward_hook(lambda *_: modes.append(torch.is_grad_enabled()))
    encoder.train()
    found = features(encoder, x)
    assert modes == [False]
    assert torch.is_grad_enabled()
    assert not encoder.training
    assert not any(module.training for module in encoder.modules())
    assert all(feature.grad_fn is None for feature in found)
    # what follows is trained: it must be able to save what it is given
    scale = nn.Parameter(torch.ones(()))
    sum((feature * scale).square().sum() for feature in found).backward()
    assert scale.grad is not None
    trained = build(False)
    assert any(feature.requires_grad for feature in features(trained, x))


@pytest.mark.parametrize("name", INPUTS)
def test_gradients_of_the_input_go_through_a_frozen_encoder(name: str) -> None:
    build, shape = INPUTS[name]
    x = torch.randn(shape, requires_grad=True)
    sum(feature.sum() for feature in features(build(True), x)).backward()
    assert x.grad is not None
    assert x.grad.any()


def test_an_encoder_that_was_thawed_is_trained_again() -> None:
    encoder, _ = build_video_encoder("tiny", frozen=True)
    assert encoder.wholly_frozen
    encoder.norms.requires_grad_(True)
    assert not encoder.wholly_frozen
    assert all(feature.requires_grad for feature in encoder(torch.randn(1, 3, 16, 64, 64)))


def test_fingerprints_tell_weights_and_settings_apart() -> None:
    torch.manual_seed(0)
    encoder, _ = build_video_encoder("tiny", frozen=True)
    same = copy.deepcopy(encoder)
    assert weights_fingerprint(same) == weights_fingerprint(encoder)
    fewer = copy.deepcopy(encoder)
    fewer.channels = encoder.channels[:2]
    moved = copy.deepcopy(encoder)
    with torch.no_grad():
        moved.norms[0].weight[3] += 1e-7 + moved.norms[0].weight[3] * 1e-6
    r3d, r3d_moved = (build_video_encoder("r3d_18", frozen=True)[0] for _ in range(2))
    r3d_moved.load_state_dict(r3d.state_dict())
    assert weights_fingerprint(r3d) == weights_fingerprint(r3d_moved)
    next(b for n, b in r3d_moved.named_buffers() if n.endswith("running_mean")).add_(1)
    found = [weights_fingerprint(x) for x in (encoder, fewer, moved, r3d, r3d_moved)]
    assert len(set(found)) == 5


def test_weights_are_hashed_once_and_again_when_they_were_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, _ = build_video_encoder("tiny", frozen=True)
    counted: list[int] = []
    monkeypatch.setattr(
        "lightning_avsp.backbones.feature_store.weights_fingerprint",
        lambda module: counted.append(1) or weights_fingerprint(module),
    )
    kept = CachedVideoFeatures(FeatureStore(tmp_path))
    video = torch.randn(1, 3, 16, 64, 64)
    first = kept.name(encoder, video)
    assert kept.name(encoder, video) == first
    assert len(counted) == 1
    encoder.load_state_dict(encoder.state_dict())  # written to, with the same values
    assert kept.name(encoder, video) == first
    assert len(counted) == 2
    with torch.no_grad():
        encoder.norms[0].bias.add_(1)
    assert kept.name(encoder, video) != first
    encoder.norms[0].bias.data = encoder.norms[0].bias.data - 1  # replaced
    assert kept.name(encoder, video) == first
    assert kept.name(encoder, video[..., :32]) != first
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert kept.name(encoder, video) != first
    assert CachedVideoFeatures(FeatureStore(tmp_path), "mean 0").name(encoder, video) != first
    assert (tmp_path / first / "about.json").is_file()


@pytest.mark.parametrize("name", [name for name in VIDEO_ENCODERS if name != "mvitv2_s"])
def test_features_come_back_as_the_encoder_left_them(name: str, tmp_path: Path) -> None:
    """Bit for bit, and in the same order in memory, by which later layers choose their algorithms."""
    torch.manual_seed(0)
    encoder, _ = build_video_encoder(name, frozen=True)
    video = torch.randn(2, 3, 16, 64, 64)
    plain = encoder(video)
    encoder.stored = CachedVideoFeatures(FeatureStore(tmp_path))
    with encoder.stored.use(["0" * 40, "1" * 40], video):
        computed, read = encoder(video), encoder(video)
    with encoder.stored.use(["1" * 40, "0" * 40], video):
        turned = encoder(video)
    for one, two, three, four in zip(plain, computed, read, turned, strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)
        assert torch.equal(one.flip(0), four)
        assert one.stride() == two.stride() == three.stride()
    assert encoder.stored.store.summary().startswith("features of 4 of 6 clips came from")
