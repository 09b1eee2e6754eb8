"""Processes, strategy, precision and arithmetic of a run on its machine."""

from __future__ import annotations

import os
from typing import Any

import torch

from lightning_avsp.errors import InputError


def default_precision(accelerator: str) -> str:
    """Return ``bf16-mixed`` where there is an accelerator that trains in it, else ``32-true``."""
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    return "32-true"


def set_arithmetic(deterministic: bool) -> list[str]:
    """Choose how a GPU computes what is not bfloat16: fast by default, the same bits every time on request.

    Args:
        deterministic: As ``--deterministic``. Optimisers are fused only without it
            (:func:`~lightning_avsp.tasks.execution.fuse`).

    Returns:
        One line on the choice; none without a GPU, which alone it concerns.
    """
    if not torch.cuda.is_available():
        return []
    # timing cuDNN's kernels took 11 of AVRSP's first 18 seconds (H200) and made its convolutions 1 % of a step faster
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = not deterministic
    torch.set_float32_matmul_precision("highest" if deterministic else "high")
    if deterministic:
        return ["deterministic: float32 without TF32, cuDNN's own choice of kernels, no fused optimiser"]
    return [
        "float32 products in TF32, cuDNN's own choice of kernels (--deterministic true switches TF32 off)"
    ]


def choose_device(name: str) -> str:
    """Return a device that exists; ``auto`` selects an accelerator if there is one.

    Raises:
        InputError: If the named device is unknown or absent.
    """
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return "cpu" if accelerator is None else accelerator.type
    try:
        # tried: a name alone does not show whether the machine has so many devices
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # a torch without CUDA asserts
        reason = str(error).splitlines()[0]
        raise InputError(f"device {name!r} cannot be used ({reason}): use --device auto or cpu") from error
    return str(torch.device(name))


def fsdp2_strategy(devices: int, nodes: int) -> Any:
    """Build FSDP2 over all processes (devices of each node), with checkpoints that one process can load."""
    from lightning.pytorch.strategies import ModelParallelStrategy

    # by default Lightning shards over nodes alone and splits tensors inside a node
    return ModelParallelStrategy(
        data_parallel_size=devices * nodes,
        tensor_parallel_size=1,
        save_distributed_checkpoint=False,
        # NCCL needs GPUs
        process_group_backend="nccl" if torch.cuda.is_available() else "gloo",
    )


def device_count(devices: Any, accelerator: str) -> int:
    """Count the processes that ``trainer.devices`` starts on this node."""
    cuda = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    if isinstance(devices, (list, tuple)):
        return len(devices)
    text = str(devices)
    if text in ("auto", "-1"):
        return torch.cuda.device_count() if cuda else 1
    if "," in text:
        return len([part for part in text.split(",") if part.strip()])
    return int(text)


def check_slurm(devices: int, nodes: int) -> None:
    """Refuse a SLURM job whose tasks are not the processes of the trainer's options.

    Lightning takes SLURM's numbers without a word: with one task and two devices it trains on one.

    Raises:
        InputError: With both numbers and the line to change.
    """
    tasks = os.environ.get("SLURM_NTASKS")
    name = os.environ.get("SLURM_JOB_NAME")
    # Lightning leaves SLURM alone there
    if tasks is None or name in ("bash", "interactive") or "TORCHELASTIC_RUN_ID" in os.environ:
        return
    if int(tasks) != devices * nodes:
        raise InputError(
            f"SLURM_NTASKS={tasks}, but trainer.devices={devices} on trainer.num_nodes={nodes} are {devices * nodes} "
            f"processes; give sbatch --nodes={nodes} --ntasks-per-node={devices} and start with srun"
        )


def check_world(world: int, devices: int, nodes: int) -> None:
    """Refuse another number of processes than that of the trainer's options.

    Raises:
        InputError: With both numbers.
    """
    if world != devices * nodes:
        raise InputError(
            f"the run has {world} processes, but trainer.devices={devices} on trainer.num_nodes={nodes} are "
            f"{devices * nodes}; with torchrun, --nnodes and --nproc-per-node must agree with the trainer"
        )


def accumulation(global_batch: int, per_device: int, world: int) -> tuple[int, int]:
    """Choose a device's batch and the batches to accumulate; their product over all processes is the global batch.

    Args:
        global_batch: Clips per optimiser step, as a paper says.
        per_device: Most clips that fit on a device.
        world: Number of processes.

    Returns:
        (batch of each device, batches accumulated); the largest batch up to ``per_device`` that divides evenly.

    Raises:
        InputError: If the global batch cannot be shared by so many processes.
    """
    if global_batch % world:
        raise InputError(
            f"data.global_batch={global_batch} cannot be shared evenly by {world} processes; use a number of devices "
            "that divides it"
        )
    share = global_batch // world
    # evenly, or steps would average over different numbers of clips
    batch = max(size for size in range(1, min(share, per_device) + 1) if share % size == 0)
    return batch, share // batch
