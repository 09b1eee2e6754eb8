"""Every network under bfloat16 autocast stays near float32, in its maps and in the type of its parameters."""

from __future__ import annotations

import pytest
import torch
from tasks.test_no_waiting import NETWORKS, SIZE, batch_of, task_of

from lightning_avsp.diffusion import GaussianDiffusion, Sampling
from lightning_avsp.structures import DiffusionNetwork
from lightning_avsp.tasks.prediction import encode, network_inputs, sample_maps

pytestmark = pytest.mark.filterwarnings("ignore:You are trying to `self.log")


@pytest.mark.parametrize("name", NETWORKS)
def test_autocast_changes_maps_by_rounding_alone(name: str) -> None:
    torch.manual_seed(0)
    task = task_of(name)
    network, batch = task.network, batch_of(task.network, "cpu")
    batch["video"] = torch.randint_like(batch["video"], 0, 256)
    batch["audio"] = torch.randn_like(batch["audio"])
    batch["saliency"] = torch.randint_like(batch["saliency"], 0, 256)
    if "text" in batch:
        batch["text"] = torch.randn_like(batch["text"])
    maps = []
    network.eval()
    for enabled in (False, True):
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            encoded = encode(network, network_inputs(network, batch))
            denoises = isinstance(network, DiffusionNetwork)
            sampling = Sampling(steps=1) if denoises else None
            diffusion = GaussianDiffusion() if denoises else None
            maps.append(sample_maps(network, encoded, SIZE, [0, 1], sampling, diffusion))
    assert maps[0].dtype == maps[1].dtype == torch.float32
    # bfloat16 keeps 8 bits, an error of 4e-3 a rounding; maps lie in [0, 1]
    torch.testing.assert_close(maps[1], maps[0], rtol=0, atol=2e-2)
    network.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        task.training_step(batch, 0).backward()
    for parameter in task.parameters():
        assert parameter.dtype == torch.float32
        assert parameter.grad is None or (
            parameter.grad.dtype == torch.float32 and parameter.grad.isfinite().all()
        )
