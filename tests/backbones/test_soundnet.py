"""SoundNet-8: sizes, its two weight files, silence and full scale."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lightning_avsp.backbones.soundnet import STAGES, SoundNet8
from lightning_avsp.errors import InputError


def stavis_file(network: SoundNet8, counters: bool = True) -> dict[str, Tensor]:
    """What the STAViS package holds of a network: a numbered sequence, kernels (1, k), two prefixes."""
    state = {}
    for index, stage in enumerate(STAGES):
        conv, norm = network.convs[index], network.norms[index]
        name = f"module.soundnet8.{stage.sequential}"
        state[f"{name}.weight"], state[f"{name}.bias"] = conv.weight.data[:, :, None], conv.bias.data
        for key, value in norm.state_dict().items():
            if counters or key != "num_batches_tracked":
                state[f"module.soundnet8.{stage.sequential + 1}.{key}"] = value
    return state


def vinet_file(network: SoundNet8) -> dict[str, Tensor]:
    """What ViNet's file holds of a network: names, kernels (k, 1), and two classifiers."""
    state = {}
    for index in range(7):
        conv, norm = network.convs[index], network.norms[index]
        state[f"conv{index + 1}.weight"] = conv.weight.data[..., None]
        state[f"conv{index + 1}.bias"] = conv.bias.data
        state |= {f"batchnorm{index + 1}.{key}": value for key, value in norm.state_dict().items()}
    state["conv8_objs.weight"] = torch.zeros(1000, 1024, 8, 1)
    state["conv8_scns.bias"] = torch.zeros(401)
    return state


@pytest.fixture(scope="module")
def network() -> SoundNet8:
    """A network whose norms hold other statistics than a new one's."""
    torch.manual_seed(1)
    network = SoundNet8()
    for norm in network.norms:
        nn.init.normal_(norm.running_mean, std=0.1)
        nn.init.uniform_(norm.running_var, 0.5, 2)
        nn.init.normal_(norm.weight, 1, 0.1)
    return network.eval()


@pytest.mark.parametrize(
    ("tap", "samples", "channels", "tokens"),
    [
        ("conv7", 70560, 1024, 3),
        ("conv7", 35280, 1024, 2),
        ("conv7", 11760, 1024, 1),
        ("pool7", 70560, 1024, 1),
        ("pool7", 35280, 1024, 1),
        ("conv5", 70560, 256, 36),
        ("conv5", 35280, 256, 18),
    ],
)
def test_taps_have_the_published_channels_and_lengths(tap, samples, channels, tokens):
    with torch.device("meta"):
        encoder = SoundNet8(tap)
        features = encoder(torch.empty(2, 1, samples))
    assert features.shape == (2, channels, tokens)
    assert encoder.tokens(samples) == tokens
    assert encoder.out_channels == channels


def test_it_has_the_published_size():
    with torch.device("meta"):
        network = SoundNet8()
    assert round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, 2) == 2.87
    assert network.weight_source.url.startswith("http")
    assert network.weight_source.licence


def test_silence_and_full_scale_stay_finite_and_differ(network):
    tone = torch.sin(torch.arange(35280.0) * 0.125)
    waves = torch.stack([torch.zeros(35280), 256 * tone, 256 * tone.sign(), 1e-3 * tone])[:, None]
    with torch.no_grad():
        features = network(waves)
    assert torch.isfinite(features).all()
    silence, full = features[0], features[1]
    assert not torch.allclose(silence, full, atol=1e-3)
    network.train()
    assert torch.isfinite(network(waves)).all()  # a batch norm over silence alone must not divide by zero
    assert torch.isfinite(network(torch.zeros(2, 1, 35280))).all()
    network.eval()


def test_a_waveform_too_short_and_an_unknown_tap_are_refused(network):
    with pytest.raises(InputError, match=r"100 samples.*pad_to"):
        network(torch.zeros(1, 1, 100))
    with pytest.raises(InputError, match=r"conv9.*conv5"):
        SoundNet8("conv9")


VIDEO_NETWORK = {"module.fusion3.affine_audio.weight": (2,), "module.conv1.weight": (64, 3, 7, 7, 7)}
"""Tensors of STAViS' video network in the file, one of them named as SoundNet's conv1 is by ViNet."""


@pytest.mark.parametrize("kind", ["stavis", "stavis without counters", "vinet", "own"])
def test_reads_every_file_that_it_is_distributed_in(network, tmp_path: Path, kind: str):
    state = {"vinet": vinet_file(network), "own": network.state_dict()}.get(kind)
    dropped = {"conv8_objs.weight", "conv8_scns.bias"} if kind == "vinet" else set()
    if state is None:
        state = stavis_file(network, counters=kind == "stavis")
        state |= {name: torch.zeros(shape) for name, shape in VIDEO_NETWORK.items()}
        dropped = {name.removeprefix("module.") for name in VIDEO_NETWORK}
    torch.save({"state_dict": state}, tmp_path / "soundnet.pth")
    other = SoundNet8().eval()
    report = other.load(str(tmp_path / "soundnet.pth"))
    assert report.loaded == 7 * (6 if "without" in kind else 7)
    assert set(report.dropped) == dropped
    wave = 100 * torch.randn(1, 1, 35280)
    with torch.no_grad():
        assert torch.equal(other(wave), network(wave))


def test_a_shallow_tap_leaves_the_deeper_layers_out(network, tmp_path: Path):
    torch.save(vinet_file(network), tmp_path / "deep.pth")
    report = SoundNet8("conv5").load(str(tmp_path / "deep.pth"))
    assert report.loaded == 5 * 7
    assert {"conv6.weight", "batchnorm7.bias"} < set(report.dropped)


def test_a_file_without_soundnet_is_refused_and_changes_nothing(network, tmp_path: Path):
    torch.save({"features.0.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
    fresh = SoundNet8()
    before = {name: value.clone() for name, value in fresh.state_dict().items()}
    with pytest.raises(InputError, match=r"holds no SoundNet-8.*features\.0\.weight.*soundnet8"):
        fresh.load(str(tmp_path / "other.pth"))
    partial = vinet_file(network)
    del partial["conv3.weight"]
    torch.save(partial, tmp_path / "partial.pth")
    with pytest.raises(InputError, match=r"1 missing: convs\.2\.weight"):
        fresh.load(str(tmp_path / "partial.pth"))
    square = vinet_file(network)
    square["conv5.weight"] = torch.zeros(256, 128, 2, 2)
    torch.save(square, tmp_path / "square.pth")
    with pytest.raises(InputError, match="of another shape"):
        fresh.load(str(tmp_path / "square.pth"))
    assert all(torch.equal(value, before[name]) for name, value in fresh.state_dict().items())
