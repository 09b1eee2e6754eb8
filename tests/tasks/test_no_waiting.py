"""A training step never waits for a GPU: nothing is read back, and what is sent there is sent without waiting.

No GPU is needed: tensors without values stand for those of one, so that whatever needs a value raises, and copies
between the two are seen. What they cannot show is what CUDA's libraries do inside;
``torch.cuda.set_sync_debug_mode("error")`` shows that on a GPU. Under bfloat16 autocast, which a GPU trains in, every
network stays near float32, in its maps and in the type of its parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor
from torch._subclasses.fake_tensor import (
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data._utils.pin_memory import pin_memory

from lightning_avsp.data.loader import loader_settings
from lightning_avsp.diffusion import GaussianDiffusion, Sampling
from lightning_avsp.papers.avrsp import AVRSP
from lightning_avsp.papers.diffsal import DiffSal
from lightning_avsp.papers.mubic import MUBiC, MUBiCRegression
from lightning_avsp.papers.tavdiff import TAVDiff
from lightning_avsp.structures import DiffusionNetwork, SaliencyBatch, SaliencyNetwork
from lightning_avsp.tasks import DiffusionSaliencyTask, DirectSaliencyTask, SaliencyTask
from lightning_avsp.tasks.execution import fuse
from lightning_avsp.tasks.prediction import encode, move_batch, network_inputs, pin_batch, sample_maps

AVAILABLE = torch.cuda.is_available()
SIZE = (64, 64)
TINY: dict[str, Any] = {"video_encoder": "tiny", "audio_encoder": "tiny"}
NETWORKS: dict[str, Callable[[], SaliencyNetwork]] = {
    "diffsal": lambda: DiffSal(**TINY),
    "diffsal_released": lambda: DiffSal(variant="released", **TINY),
    "mubic": lambda: MUBiC(**TINY),
    "mubic_regression": lambda: MUBiCRegression(**TINY),
    "tavdiff": lambda: TAVDiff(text_width=24, **TINY),
    "tavdiff_unet": lambda: TAVDiff(denoiser="unet", text_width=24, **TINY),
    "avrsp": lambda: AVRSP(**TINY),
}

pytestmark = pytest.mark.filterwarnings("ignore:You are trying to `self.log")

needs_tracing = pytest.mark.skipif(
    torch.__version__ < "2.10",  # a TorchVersion, which compares numbers
    reason="traces a GPU's pass without a GPU, which torch can from 2.10 on (2.8 and 2.9 ask for its driver)",
)


class Waits(TorchDispatchMode):
    """Operations for which a host would wait: values read back, and copies that are not told not to wait.

    Copies to a GPU from memory that was not pinned wait whatever they are told.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.sent = 0
        """Copies from the CPU to a GPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = str(func)
        if name.startswith("aten._local_scalar_dense"):
            self.found.append(f"{name} of {args[0].device}")
        elif name.startswith("aten._to_copy") and kwargs.get("device") is not None:
            self._copied(name, args[0], kwargs["device"], kwargs.get("non_blocking", False))
        elif name.startswith("aten.copy_"):
            self._copied(name, args[1], args[0].device, len(args) > 2 and args[2])
        return func(*args, **kwargs)

    def _copied(self, name: str, source: Tensor, target: Any, non_blocking: bool) -> None:
        kinds = source.device.type, torch.device(target).type
        self.sent += kinds == ("cpu", "cuda")
        pinned = kinds != ("cpu", "cuda") or any(source is one for one in PINNED)
        if kinds[0] != kinds[1] and not (non_blocking and pinned):
            self.found.append(f"{name} from {source.device} to {target}{'' if pinned else ', not pinned'}")


PINNED: list[Tensor] = []
"""Tensors that were pinned in this test; pinning itself needs a driver."""


@pytest.fixture(autouse=True)
def _pinned_in_name(monkeypatch: pytest.MonkeyPatch) -> None:
    PINNED.clear()
    monkeypatch.setattr(Tensor, "pin_memory", lambda self, *_: (PINNED.append(self), self)[1])
    # torch asks the driver at each operation on a tensor without values, an eighth of all the time here
    monkeypatch.setattr(torch.cuda, "is_available", lambda: AVAILABLE)


def pretend() -> FakeTensorMode:
    """Tensors without values inside of it."""
    return FakeTensorMode(allow_non_fake_inputs=True)


def task_of(name: str) -> SaliencyTask[Any]:
    network: Any = NETWORKS[name]()
    direct = isinstance(network, (AVRSP, MUBiCRegression))
    task: SaliencyTask[Any] = DirectSaliencyTask(network) if direct else DiffusionSaliencyTask(network)
    return task.train()


def moved(task: SaliencyTask[Any], mode: FakeTensorMode, device: str) -> SaliencyTask[Any]:
    """The task with tensors of the same shapes and no values."""

    def move(tensor: Tensor) -> Tensor:
        empty = torch.empty_like(mode.from_tensor(tensor.detach()), device=device)
        return empty.requires_grad_(tensor.requires_grad)

    task._apply(move)
    return task


def batch_of(network: SaliencyNetwork, device: str) -> SaliencyBatch:
    frames = network.clip_frames
    batch: SaliencyBatch = {
        "video": torch.zeros(2, frames, *SIZE, 3, dtype=torch.uint8, device=device),
        "audio": torch.zeros(2, 1, 9, 32, 64, device=device),
        "saliency": torch.zeros(2, 1, *SIZE, dtype=torch.uint8, device=device),
        "corpus": ["A", "B"],
        "video_id": ["x", "y"],
        "frame": torch.ones(2, dtype=torch.int64, device=device),
    }
    if network.audio_form == "waveform":
        batch["audio"] = torch.zeros(2, 1, 2205 * frames, device=device)
    if isinstance(network, TAVDiff):
        batch["text"] = torch.zeros(2, 8, 24, device=device)
    return batch


@needs_tracing
@pytest.mark.parametrize("name", NETWORKS)
def test_a_forward_pass_on_a_gpu_waits_for_nothing(name: str) -> None:
    """Draws, copies to the device, network, loss, and what is logged of them."""
    task = task_of(name)
    with pretend() as mode, Waits() as waits:
        task = moved(task, mode, "cuda")
        waits.found.clear()
        waits.sent = 0
        loss = task.training_step(batch_of(task.network, "cuda"), 0)
    assert loss.device.type == "cuda"
    assert waits.found == []
    assert waits.sent == (2 if isinstance(task, DiffusionSaliencyTask) else 0)  # t and noise


@needs_tracing
@pytest.mark.parametrize(
    ("pin", "move"), [(pin_memory, move_data_to_device), (pin_batch, move_batch)], ids=["trainer", "predict"]
)
def test_a_batch_is_pinned_and_sent_without_waiting(
    pin: Callable[..., Any], move: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the loader's pinning thread, which runs beside a GPU alone, and the trainer; by `avsp predict`."""
    settings = [loader_settings(0, None, seed=0, batch_bytes=1)]
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        settings.append(loader_settings(0, None, seed=0, batch_bytes=1))
    assert [one["pin_memory"] for one in settings] == [False, True]
    network = NETWORKS["diffsal"]()
    for pinned in (True, False):
        with pretend(), Waits() as waits:
            batch = batch_of(network, "cpu")
            if pin is pin_memory:
                batch["fixations"] = [torch.zeros(5, 2, dtype=torch.int64)] * 2
            moved = move(pin(batch) if pinned else batch, torch.device("cuda"))
        tensors = 4 + len(batch.get("fixations", []))
        assert moved["video"].device.type == "cuda"
        assert waits.sent == tensors
        assert len(waits.found) == (0 if pinned else tensors)


@needs_tracing
@pytest.mark.parametrize("name", ["diffsal", "mubic", "tavdiff", "avrsp"])
def test_a_backward_pass_reads_no_value_back(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU, since a backward pass of a GPU needs its driver."""
    # the range of t is checked on the CPU alone, as _readable says
    monkeypatch.setattr("lightning_avsp.diffusion.process._readable", lambda t: False)
    task = task_of(name)
    with pretend() as mode, Waits() as waits:
        moved(task, mode, "cpu").training_step(batch_of(task.network, "cpu"), 0).backward()
    assert waits.found == []
    assert any(parameter.grad is not None for parameter in task.parameters())


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.AdamW])
def test_clipping_and_the_optimisers_step_wait_for_nothing(optimizer: Any) -> None:
    with pretend(), Waits() as waits:
        parameters = [torch.nn.Parameter(torch.zeros(3, 4, device="cuda")) for _ in range(3)]
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        fused, line = fuse(optimizer(parameters, lr=1e-3))
        assert "one fused kernel" in line
        for _ in range(2):
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            fused.step()
            fused.zero_grad(set_to_none=False)
    assert waits.found == []


def test_a_progress_bar_is_given_no_value_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning reads what a bar shows after every batch."""
    given: list[tuple[int, str]] = []
    task = task_of("diffsal")
    monkeypatch.setattr(task, "_trainer", SimpleNamespace(log_every_n_steps=4))
    for device in ("cuda", "cpu"):
        task._shown = 0
        for step in range(9):

            def log(name: str, value: Tensor, step: int = step, prog_bar: bool = False, **_: Any) -> None:
                if prog_bar:
                    given.append((step, value.device.type))

            monkeypatch.setattr(task, "log", log)
            monkeypatch.setattr(task, "log_dict", lambda *_, **__: None)
            with pretend(), Waits() as waits:
                maps = torch.zeros(2, 1, 4, 4, device=device)
                task.log_training(maps.sum(), maps, maps)
            assert len(waits.found) == (device == "cuda" and step in (0, 4, 8))
    assert given == [(step, "cpu") for step in (0, 4, 8, *range(9))]


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
