"""Fused optimiser steps: chosen where they gain, never against the user, and the same training either way."""

from __future__ import annotations

import copy
import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.fabric.plugins.precision.amp import _optimizer_handles_unscaling
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from lightning_avsp.papers.avrsp import AVRSP
from lightning_avsp.tasks import DirectSaliencyTask
from lightning_avsp.tasks.execution import fuse, refusal

GAIN = ("cpu",)  # the CPU has fused kernels too: here it stands for a GPU


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))


def train(module: nn.Module, optimizer: Optimizer, steps: int, first: int = 0) -> None:
    for step in range(first, first + steps):
        x = torch.randn(4, 6, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        module(x).square().sum().backward()
        optimizer.step()


def groups(module: nn.Module, make: Any) -> Optimizer:
    """Two groups with rates of their own, as networks with ``lr_scales`` have."""
    one, _, two = module
    found: Optimizer = make(
        [
            {"params": list(one.parameters()), "name": "rest"},
            {"params": list(two.parameters()), "lr": 1e-4, "name": "encoder."},
        ]
    )
    return found


MAKERS: dict[str, Any] = {
    "adam": lambda p: Adam(p, lr=1e-2, betas=(0.8, 0.9)),
    "adamw": lambda p: AdamW(p, lr=1e-2, weight_decay=0.3, amsgrad=True),
    "sgd": lambda p: SGD(p, lr=1e-2, momentum=0.9, nesterov=True, weight_decay=0.1),
}


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", MAKERS)
def test_the_fused_optimiser_has_the_same_settings_and_takes_the_same_steps(name: str) -> None:
    plain, fast = network(), network()
    given = groups(plain, MAKERS[name])
    made, line = fuse(groups(fast, MAKERS[name]), gain=GAIN)
    assert line == f"optimiser: {type(given).__name__}, one fused kernel"
    assert type(made) is type(given)
    assert made.defaults == {**given.defaults, "fused": True}
    for one, two in zip(given.param_groups, made.param_groups, strict=True):
        assert {**one, "params": 0} == {**two, "params": 0, "fused": None}
        assert two["fused"] is True
    assert [group["lr"] for group in made.param_groups] == [1e-2, 1e-4]
    train(plain, given, 5)
    train(fast, made, 5)
    for one, two in zip(plain.parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("option", ["fused", "foreach"])
@pytest.mark.parametrize("value", [True, False])
def test_what_the_user_set_wins(option: str, value: bool) -> None:
    given = AdamW(network().parameters(), **{option: value})
    made, line = fuse(given, gain=GAIN)
    assert made is given
    assert line == f"optimiser: AdamW, not fused ({option}={value} was given)"


class Own(Adam):
    """A class whose step may be another one."""


def test_other_optimisers_and_devices_keep_their_step() -> None:
    module = network()
    assert "no fused step is known" in str(refusal(RMSprop(module.parameters()), GAIN))
    assert "no fused step is known" in str(refusal(Own(module.parameters()), GAIN))
    assert refusal(Adam(module.parameters()), ("cuda",)) == "parameters on cpu"
    complex_numbers = nn.Parameter(torch.zeros(2, dtype=torch.complex64))
    assert "not floating point" in str(refusal(Adam([complex_numbers]), GAIN))
    assert "differentiable=True" in str(refusal(Adam(module.parameters(), differentiable=True), GAIN))
    with FakeTensorMode():
        there = nn.Parameter(torch.zeros(3, device="cuda"))
        here = nn.Parameter(torch.zeros(3))
        assert refusal(Adam([there]), ("cuda",)) is None
        assert refusal(Adam([there, here]), ("cuda",)) == "parameters on cpu, cuda"
        assert fuse(AdamW([there]))[0].defaults["fused"] is True


def test_a_deterministic_run_keeps_the_default_step() -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        assert "deterministic" in str(refusal(Adam(network().parameters()), GAIN))
    finally:
        torch.use_deterministic_algorithms(False)


def test_gradients_of_a_fused_optimiser_can_be_clipped() -> None:
    """Lightning refuses to clip where the optimiser unscales by itself, whether anything is scaled or not."""
    clipping, free = SimpleNamespace(gradient_clip_val=1.0), SimpleNamespace(gradient_clip_val=None)
    made, _ = fuse(AdamW(network().parameters()), clipping, gain=GAIN)
    assert made.defaults["fused"]
    assert not _optimizer_handles_unscaling(made)
    made, _ = fuse(AdamW(network().parameters()), free, gain=GAIN)
    assert _optimizer_handles_unscaling(made)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("saved", [("cpu",), ()])
@pytest.mark.parametrize("resumed", [("cpu",), ()])
def test_a_resumed_run_keeps_its_own_choice(saved: tuple[str, ...], resumed: tuple[str, ...]) -> None:
    module = network()
    first, _ = fuse(groups(module, MAKERS["adamw"]), gain=saved)
    train(module, first, 3)
    state = copy.deepcopy(first.state_dict())
    other = network()
    other.load_state_dict(module.state_dict())
    second, _ = fuse(groups(other, MAKERS["adamw"]), gain=resumed)
    second.load_state_dict(state)
    assert {group["fused"] for group in second.param_groups} == {True if resumed else None}
    assert [group["lr"] for group in second.param_groups] == [1e-2, 1e-4]
    assert [group["fused"] for group in state["param_groups"]] == [True if saved else None] * 2
    train(module, first, 3, first=3)
    train(other, second, 3, first=3)
    pairs = list(zip(module.parameters(), other.parameters(), strict=True))
    for one, two in pairs:
        torch.testing.assert_close(one, two)
    if saved == resumed:
        assert all(torch.equal(one, two) for one, two in pairs)


def test_the_task_says_which_it_chose(caplog: pytest.LogCaptureFixture) -> None:
    task = DirectSaliencyTask(AVRSP(video_encoder="tiny", audio_encoder="tiny"), optimizer=MAKERS["adamw"])
    with caplog.at_level(logging.INFO, logger="lightning_avsp"):
        assert isinstance(task.configure_optimizers(), AdamW)
    assert task.optimizer_report == "optimiser: AdamW, not fused (parameters on cpu)"
    assert task.optimizer_report in caplog.text
