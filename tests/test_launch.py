"""How many processes there are, how they share a batch, and the precision by default."""

from __future__ import annotations

import pytest
import torch

from lightning_avsp.errors import InputError
from lightning_avsp.launch import (
    accumulation,
    check_slurm,
    check_world,
    default_precision,
    device_count,
    set_arithmetic,
)


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_NTASKS", "SLURM_JOB_NAME", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


def gpus(monkeypatch: pytest.MonkeyPatch, count: int, bf16: bool = True) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)


@pytest.mark.parametrize("global_batch", [8, 20, 48, 60])
@pytest.mark.parametrize("per_device", [1, 3, 4, 7, 100])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_every_step_has_exactly_the_global_batch(global_batch: int, per_device: int, world: int) -> None:
    batch, accumulated = accumulation(global_batch, per_device, world)
    assert batch * accumulated * world == global_batch
    assert 1 <= batch <= per_device
    larger = range(batch + 1, min(per_device, global_batch // world) + 1)
    assert all((global_batch // world) % size for size in larger)  # none of them would divide evenly


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(InputError, match=r"global_batch=20 cannot be shared evenly by 8"):
        accumulation(20, 4, 8)


def test_slurm_must_start_one_task_per_device(monkeypatch: pytest.MonkeyPatch) -> None:
    check_slurm(2, 1)  # no SLURM
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("SLURM_JOB_NAME", "avsp-fit")
    with pytest.raises(
        InputError, match=r"SLURM_NTASKS=1, but .*devices=2 .*num_nodes=2.*--ntasks-per-node=2"
    ):
        check_slurm(2, 2)
    monkeypatch.setenv("SLURM_NTASKS", "4")
    check_slurm(2, 2)


@pytest.mark.parametrize(("name", "value"), [("SLURM_JOB_NAME", "interactive"), ("TORCHELASTIC_RUN_ID", "7")])
def test_shells_and_torchrun_inside_slurm_are_not_slurms_business(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("SLURM_JOB_NAME", "avsp-fit")
    monkeypatch.setenv(name, value)
    check_slurm(2, 1)


def test_a_world_of_another_size_is_refused() -> None:
    check_world(8, 4, 2)
    with pytest.raises(InputError, match=r"the run has 4 processes.*8; with torchrun"):
        check_world(4, 4, 2)


def test_devices_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, 4)
    forms = {"auto": 4, -1: 4, "-1": 4, 2: 2, "2": 2, "0,3": 2, "3,": 1}
    assert {devices: device_count(devices, "auto") for devices in forms} == forms
    assert device_count([0, 3], "auto") == 2
    assert [device_count(devices, "cpu") for devices in ("auto", 2)] == [1, 2]
    gpus(monkeypatch, 0)
    assert device_count("auto", "auto") == 1


def test_precision_follows_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, 1)
    assert default_precision("auto") == default_precision("gpu") == "bf16-mixed"
    assert default_precision("cpu") == "32-true"
    gpus(monkeypatch, 1, bf16=False)
    assert default_precision("cuda") == "16-mixed"
    gpus(monkeypatch, 0)
    assert default_precision("auto") == "32-true"


@pytest.mark.parametrize("deterministic", [False, True])
def test_arithmetic_is_chosen_and_reported_in_one_place(
    monkeypatch: pytest.MonkeyPatch, deterministic: bool
) -> None:
    assert set_arithmetic(deterministic) == []  # nothing to choose on the CPU
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    cudnn, matmul = torch.backends.cudnn, torch.get_float32_matmul_precision()
    before = cudnn.benchmark, cudnn.allow_tf32
    try:
        (line,) = set_arithmetic(deterministic)
        assert ("deterministic:" in line) is deterministic
        assert cudnn.allow_tf32 is not deterministic
        assert not cudnn.benchmark
        assert torch.get_float32_matmul_precision() == ("highest" if deterministic else "high")
    finally:
        cudnn.benchmark, cudnn.allow_tf32 = before
        torch.set_float32_matmul_precision(matmul)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [((20, 4, 4), (1, 5)), ((20, 5, 4), (5, 1)), ((16, 16, 1), (16, 1)), ((16, 6, 2), (4, 2))],
)
def test_global_batches_of_the_papers(asked: tuple[int, int, int], expected: tuple[int, int]) -> None:
    assert accumulation(*asked) == expected
