"""Cost counters against hand-computed figures and against the tool whose convention they follow."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

from lightning_avsp.profiling.counting import activation_memory, count_as_papers, count_flops


class Mixed(nn.Module):
    """Every kind of layer that the convention knows, one called twice, one never."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.group_norm = nn.GroupNorm(2, 8)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.nearest = nn.Upsample(scale_factor=2)
        self.pool = nn.AvgPool2d(2)
        self.instance = nn.InstanceNorm2d(8)
        self.transposed = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.norm = nn.LayerNorm(4)
        self.linear = nn.Linear(4, 4)
        self.softmax = nn.Softmax(dim=-1)
        self.never = nn.Linear(100, 100)
        self.bare = nn.Parameter(torch.zeros(7))

    def forward(self, x: Tensor) -> Tensor:
        x = self.group_norm(self.depthwise(self.stem(x)))
        x = self.instance(self.pool(self.nearest(self.up(x))))
        x = self.norm(self.transposed(x).flatten(2).transpose(1, 2)[:, :5])
        x = self.linear(self.linear(x))
        return self.softmax(x @ x.transpose(1, 2)) @ x


def test_matches_the_tool_on_every_kind_of_layer() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tool uses a deprecated version parser
        thop = pytest.importorskip("thop")
        network = Mixed()
        x = torch.randn(2, 3, 16, 24)
        macs, params = thop.profile(network, inputs=(x,), verbose=False)
    cost = count_as_papers(network, x)
    assert (cost.macs, cost.params) == (int(macs), int(params))


def test_counts_by_hand_and_on_the_meta_device_and_leaves_no_trace() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8))
    cost = count_as_papers(layers, torch.zeros(1, 3, 4, 5))
    assert (cost.macs, cost.params) == (8 * 20 * 3 * 9 + 4 * 8 * 20, 3 * 8 * 9 + 8 + 16)
    x = torch.zeros(2, 3, 16, 24)
    network = Mixed().train()
    network.stem.eval()
    assert count_as_papers(network, x) == count_as_papers(Mixed().to("meta"), x.to("meta"))
    assert (network.training, network.stem.training) == (True, False)
    assert all(not layer._forward_hooks for layer in network.modules())


class Attend(nn.Module):
    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(q, k, k)


def test_flops_include_attention() -> None:
    q, k = torch.zeros(2, 3, 10, 8), torch.zeros(2, 3, 6, 8)
    assert count_flops(Attend(), q, k) == 2 * 2 * (2 * 3 * 10 * 6 * 8)
    assert count_as_papers(Attend(), q, k).macs == 0


class Wide(nn.Module):
    """Allocates a tensor 1000 times its input and reduces it again, twice."""

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = (x[:, None] * torch.ones(1, 1000, 1, device=x.device)).mean(dim=1)
        return x


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_memory_is_the_peak_and_frees_what_dies(device: str) -> None:
    x = torch.zeros(4, 8, device=device)
    wide, ones, small = 4 * 1000 * 8 * 4, 1000 * 4, 4 * 8 * 4
    peak = activation_memory(Wide(), x)
    # The second wide tensor is born after the first one died: two at once would be 256,000 bytes.
    assert wide + ones <= peak <= wide + 2 * ones + 2 * small


def test_training_memory_keeps_what_backward_needs() -> None:
    network = nn.Sequential(*(layer for _ in range(10) for layer in (nn.Linear(64, 64), nn.Sigmoid())))
    x = torch.zeros(32, 64)
    one = 32 * 64 * 4
    inference = activation_memory(network, x)
    training = activation_memory(network, x, training=True)
    assert inference <= 3 * one
    assert training >= 10 * one
    assert activation_memory(network.to("meta"), x.to("meta"), training=True) == training


def test_memory_materialises_attention() -> None:
    tokens = torch.zeros(1, 2, 512, 16)
    assert activation_memory(Attend(), tokens, tokens) >= 2 * 512 * 512 * 4
