"""VGGish features: sizes, freezing, weight files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lightning_avsp.backbones.vggish import VGGish
from lightning_avsp.errors import InputError

TINY = (4, 6, 8, 10)


def test_published_size() -> None:
    with torch.device("meta"):
        network = VGGish()
        features = network(torch.zeros(9, 1, 112, 192))
    assert sum(parameter.numel() for parameter in network.parameters()) == 4_499_712
    assert features.shape == (9, 512, 7, 12)
    assert (network.out_channels, network.strides) == (512, (16, 16))


def test_trainable_takes_gradient() -> None:
    network = VGGish(TINY, frozen=False).train()
    network(torch.randn(2, 1, 32, 64)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_refuses_another_number_of_stages() -> None:
    with pytest.raises(InputError, match="4 stages, but 3 widths"):
        VGGish((4, 6, 8))


def test_loads_a_torchvggish_file_and_lists_dropped_tensors(tmp_path: Path) -> None:
    source = VGGish(TINY)
    state = dict(source.state_dict()) | {"embeddings.0.weight": torch.zeros(3, 3)}
    torch.save(state, tmp_path / "vggish.pth")
    network = VGGish(TINY)
    report = network.load(str(tmp_path / "vggish.pth"))
    assert report.dropped == ("embeddings.0.weight",)
    assert report.frozen
    assert report.loaded == 12
    slices = torch.randn(2, 1, 32, 64)
    assert torch.equal(network(slices), source(slices))
    assert not any(parameter.requires_grad for parameter in network.parameters())
