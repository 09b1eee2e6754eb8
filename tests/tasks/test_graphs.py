"""CUDA graphs of passes: their rules on any machine with recorded calls in place of graphs, their numbers on a GPU."""

import pytest
import torch
from torch import nn

from lightning_avsp.structures import Condition
from lightning_avsp.tasks import graphs


class Denoiser(nn.Module):
    """Smallest network with the entries of a denoiser."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.unused = nn.Linear(2, 2)

    def encode(self, video, audio=None):
        return Condition(video=(self.norm(self.conv(video)),), audio=audio)

    def denoise(self, noisy, condition):
        return noisy * condition.video[0].mean(dim=1, keepdim=True)

    def forward(self, noisy, video):
        return self.denoise(noisy, self.encode(video))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Denoiser().train()


@pytest.fixture
def recorded(monkeypatch):
    """Stand in for a GPU: the names of what is recorded, and what is replayed."""
    log = []

    def record(name, call):
        log.append(f"record {name} {call.method.__name__}")
        return lambda *tensors: (log.append(f"replay {call.method.__name__}"), call(*tensors))[1]

    monkeypatch.setattr(graphs.RecordedPass, "_on_gpu", staticmethod(lambda tensors: True))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(
        torch.cuda,
        "make_graphed_callables",
        lambda call, static, **_: (call(*static), record("training", call))[1],
    )
    monkeypatch.setattr(graphs, "record_inference", lambda call, static: record("inference", call))
    return log


def inputs(batch=2):
    return torch.rand(batch, 1, 8, 8), torch.rand(batch, 1, 8, 8)


def test_training_is_recorded_once_and_only_as_a_whole(network, recorded):
    plain, names = Denoiser(), list(network.state_dict())
    plain.load_state_dict(network.state_dict())
    graphs.use_graphs(network)
    assert list(network.state_dict()) == names
    first, second = inputs(), inputs()
    assert torch.equal(network(*first), plain.train()(*first))
    assert torch.equal(network(*second), plain(*second))
    assert recorded == ["record training forward", "replay forward", "replay forward"]
    # the pass that warmed up did not count
    assert torch.equal(network.norm.running_mean, plain.norm.running_mean)


def test_a_smaller_batch_runs_without_a_graph(network, recorded):
    graphs.use_graphs(network)
    network(*inputs(4))
    network(*inputs(3))
    network(*inputs(4))
    assert recorded == ["record training forward", "replay forward", "replay forward"]


def test_prediction_records_encoder_and_denoiser_with_conditions_as_arguments(network, recorded):
    graphs.use_graphs(network.eval())
    noisy, video = inputs()
    with torch.no_grad():
        condition = network.encode(video)
        maps = [network.denoise(noisy, condition) for _ in range(2)]
    assert recorded == [
        "record inference encode",
        "replay encode",
        "record inference denoise",
        "replay denoise",
        "replay denoise",
    ]
    assert isinstance(condition, Condition)
    assert torch.equal(maps[0], noisy * condition.video[0].mean(dim=1, keepdim=True))


def test_on_the_cpu_nothing_is_recorded(network):
    graphs.use_graphs(network)
    network(*inputs()).sum().backward()
    assert not network.forward.graphs
    assert network.conv.weight.grad is not None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
def test_graphs_train_and_predict_as_without(autocast):
    torch.backends.cudnn.allow_tf32 = False
    found = []
    for use in (False, True):
        torch.manual_seed(0)
        network = Denoiser().cuda().train()
        if use:
            graphs.use_graphs(network)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        torch.manual_seed(1)
        data = [inputs() for _ in range(4)]
        values = []
        for noisy, video in data:
            with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
                loss = network(noisy.cuda(), video.cuda()).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            values.append(loss.detach())
        network.eval()
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, enabled=autocast):
            for noisy, video in data[:2]:
                maps = network.denoise(noisy.cuda(), network.encode(video.cuda()))
                values.append(maps.float().mean())
        found.append(torch.stack(values))
    # the same kernels on the same values, but cuDNN may choose another algorithm while it records
    torch.testing.assert_close(*found, rtol=2e-2 if autocast else 1e-4, atol=1e-5)
