"""Compiled and checkpointed networks compute what they computed before."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from rounding import assert_close
from torch import Tensor, nn
from torch._dynamo.utils import counters

from lightning_avsp.papers.avrsp import AVRSP
from lightning_avsp.papers.diffsal import DiffSal
from lightning_avsp.papers.mubic import MUBiC
from lightning_avsp.papers.tavdiff import TAVDiff
from lightning_avsp.structures import DiffusionNetwork, SaliencyNetwork
from lightning_avsp.tasks.execution import (
    Execution,
    _kind,
    compile_clock,
    parameters,
    prepare_network,
    resting_statistics,
    units,
)

SIZE = (64, 64)


def tiny(**options: object) -> DiffSal:
    torch.manual_seed(0)
    return DiffSal(video_encoder="tiny", audio_encoder="tiny", **options)


def clip(batch: int = 2) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(batch, 1, *SIZE, generator=generator),
        torch.tensor([10, 700])[:batch],
        torch.randn(batch, 3, 16, *SIZE, generator=generator),
        torch.randn(batch, 1, 9, 32, 64, generator=generator),
    )


def one_step(network: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and gradients of a training pass, every draw of dropout alike."""
    network.train()
    torch.manual_seed(3)
    loss = network(*inputs).square().sum()
    loss.backward()
    return loss.detach(), {
        name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None
    }


# ---- units


@pytest.mark.full_size
def test_units_of_the_full_network_are_encoder_blocks_and_decoder_stages() -> None:
    with torch.device("meta"):
        network = DiffSal()
    found = dict(units(network))
    stages = [name for name in found if name.startswith("core.stages.")]
    assert {name.split(".")[2] for name in stages} == {"0", "1", "2", "3"}
    blocks = [name for name in found if name.startswith("core.video_encoder.")]
    assert len(blocks) >= 16  # MViTv2-S has 16
    assert any(name.startswith("core.audio_encoder.") for name in found)
    # no parameter belongs to two units, and most belong to one
    owned = [id(parameter) for block in found.values() for parameter in block.parameters()]
    assert len(owned) == len(set(owned))
    assert sum(parameters(block) for block in found.values()) > 0.8 * parameters(network)


def test_no_unit_lies_inside_another() -> None:
    names = [name for name, _ in units(tiny())]
    assert not [(one, other) for one in names for other in names if other.startswith(f"{one}.")]


# ---- activation checkpointing


def test_checkpointed_blocks_give_the_same_loss_and_gradients() -> None:
    plain = tiny()
    checkpointed = copy.deepcopy(plain)
    lines = prepare_network(checkpointed, Execution(activation_checkpointing=True))
    assert re.search(r"activations of \d+ blocks are computed anew", lines[0])
    loss, gradients = one_step(plain, clip())
    again, others = one_step(checkpointed, clip())
    assert torch.equal(loss, again)
    assert gradients.keys() == others.keys()
    assert all(torch.equal(gradients[name], others[name]) for name in gradients)
    assert plain.state_dict().keys() == checkpointed.state_dict().keys()


class Normed(nn.Module):
    """Blocks with batch norms and enough parameters to be units."""

    def __init__(self, blocks: int = 2) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(48, 160, 3, padding=1), nn.BatchNorm2d(160), nn.Conv2d(160, 48, 1))
            for _ in range(blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return x


def test_checkpointed_batch_norms_count_each_batch_once() -> None:
    torch.manual_seed(0)
    plain = Normed()
    checkpointed = copy.deepcopy(plain)
    prepare_network(checkpointed, Execution(activation_checkpointing=True))
    assert len(list(units(plain))) == 2
    x = torch.randn(3, 48, 8, 8)
    loss, gradients = one_step(plain, (x,))
    again, others = one_step(checkpointed, (x,))
    assert torch.equal(loss, again)
    assert all(torch.equal(gradients[name], others[name]) for name in gradients)
    states = plain.state_dict(), checkpointed.state_dict()
    for name in states[0]:
        if "running" in name:
            assert torch.equal(states[0][name], states[1][name]), name
            assert not torch.equal(states[0][name], torch.full_like(states[0][name], float("var" in name)))


def test_resting_statistics_give_momentum_back_also_after_an_error() -> None:
    norm = nn.BatchNorm2d(3, momentum=0.3)
    with pytest.raises(RuntimeError), resting_statistics(norm):
        norm(torch.randn(2, 5, 4, 4))  # the wrong number of channels
    assert norm.momentum == 0.3
    with resting_statistics(norm):
        norm(torch.randn(2, 3, 4, 4))
    assert norm.momentum == 0.3
    assert torch.equal(norm.running_mean, torch.zeros(3))


def test_checkpointing_keeps_fewer_activations() -> None:
    kept = {}
    for name, execution in {"plain": Execution(), "less": Execution(activation_checkpointing=True)}.items():
        network = Normed()
        prepare_network(network, execution)
        kept[name] = saved_bytes(network, (torch.randn(3, 48, 8, 8),))
    assert kept["less"] < 0.3 * kept["plain"]


def saved_bytes(network: nn.Module, inputs: tuple[Tensor, ...]) -> int:
    """Bytes that a training pass keeps for the backward pass, each storage once, parameters not counted."""
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    storages: dict[int, int] = {}
    alive = []

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)  # or its place could be taken by another one
        return tensor

    network.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(*inputs)
    return sum(storages.values())


# ---- compile


compiles = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
"""Dynamo looks at every attribute of its inputs, and hides the warning except where warnings are errors."""


@compiles
def test_compiled_blocks_give_the_same_maps_gradients_and_names() -> None:
    plain = tiny()
    compiled = copy.deepcopy(plain)
    lines = prepare_network(compiled, Execution(compile="eager"))
    kinds = len({_kind(block) for _, block in units(plain)})
    assert f"{kinds} blocks of {kinds} kinds are compiled at their first use (eager)" in lines[0]
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    graphs = counters["stats"]["unique_graphs"]
    (loss, gradients), (again, others) = one_step(plain, clip()), one_step(compiled, clip())
    graphs = counters["stats"]["unique_graphs"] - graphs
    assert kinds <= graphs < 2 * kinds  # a kind that is used at two shapes has two
    assert "compiled for" in str(compile_clock.report())
    assert compile_clock.report() is None
    # the same operations, but a graph may add up a gradient's parts in another order: a few roundings
    torch.testing.assert_close(loss, again)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, others[name])
    one_step(compiled, clip(1))  # the last batch of an epoch: not worth a compilation
    assert compile_clock.report() is None


@compiles
def test_blocks_of_one_kind_share_their_compiled_code() -> None:
    torch.manual_seed(0)
    network = Normed(blocks=10)  # more than torch compiles of one function
    plain = copy.deepcopy(network).eval()
    assert "10 blocks of 1 kinds" in prepare_network(network, Execution(compile="eager"))[0]
    graphs, x = counters["stats"]["unique_graphs"], torch.randn(3, 48, 8, 8)
    network.eval()
    assert_close(network(x), plain(x), operations=10 * 9 * 48)  # blocks in a row, terms of a sum
    assert counters["stats"]["unique_graphs"] == graphs + 2  # the first input needs no gradient


@compiles
def test_a_copied_network_runs_its_own_blocks() -> None:
    network = tiny().eval()
    prepare_network(network, Execution(compile="eager", activation_checkpointing=True))
    copied = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
        assert not torch.equal(copied(*clip()), network(*clip()))


@pytest.mark.full_size
@pytest.mark.parametrize("network", [DiffSal, MUBiC, AVRSP, TAVDiff])
def test_every_unit_is_entered_through_its_forward(network: type[SaliencyNetwork]) -> None:
    """What calls the parts of a unit one by one would pass by compiled code, and meet sharded parameters."""
    with torch.device("meta"):
        built = network().eval()
        entered = set()
        for name, block in units(built):
            block.register_forward_hook(lambda *_, name=name: entered.add(name))
        frames, slices = built.clip_frames, torch.zeros(1, 1, 9, 112, 192)
        sound = slices if built.audio_form == "log_mel" else torch.zeros(1, 1, 2205 * frames)
        inputs = [torch.zeros(1, 3, frames, 224, 384), sound]
        if isinstance(built, DiffusionNetwork):
            inputs = [torch.zeros(1, 1, 224, 384), torch.zeros(1, dtype=torch.int64), *inputs]
        text = [torch.zeros(1, 16, 512)] if isinstance(built, TAVDiff) else []
        with torch.no_grad():
            built(*inputs, *text)
    assert entered == {name for name, _ in units(built)}


def test_nothing_is_done_unasked() -> None:
    assert prepare_network(tiny(), Execution()) == []
