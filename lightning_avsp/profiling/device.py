"""Matrix peak, peak memory and queue of a device."""

from __future__ import annotations

from pathlib import Path

import torch

MATRIX_PEAKS: tuple[tuple[tuple[str, ...], float], ...] = (
    (("H100", "PCIe"), 756e12),
    (("H100", "NVL"), 835e12),
    (("H100", "HBM3"), 989e12),
    (("H200", "NVL"), 835e12),  # before the plain H200, whose name is part of it
    (("H200",), 989e12),
    (("A100",), 312e12),
    (("RTX 4090",), 165e12),
)
"""Operations per second of dense bfloat16 products with float32 sums, by what the device's name contains; the first
match counts. Source: the makers' data sheets, whose larger figures are for sparse matrices."""

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def matrix_peak(name: str) -> float | None:
    """Return the bfloat16 operations per second of a device by the name that CUDA gives; None where unknown."""
    if "MIG" in name:  # a slice of a device has a part of its units
        return None
    return next((peak for words, peak in MATRIX_PEAKS if all(word in name for word in words)), None)


def reset_peak_memory(device: torch.device) -> None:
    """Set the peak of memory to the present use."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif _CLEAR.exists():
        try:
            _CLEAR.write_text("5")  # asks the kernel to forget the highest resident size
        except OSError:
            return  # some containers forbid it; then the peak is that since the process began, which is larger


def peak_memory(device: torch.device) -> int | None:
    """Return the bytes at the peak since :func:`reset_peak_memory`; None where the system does not report it.

    Allocated bytes on a GPU, resident bytes of the process on the CPU.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated())
    lines = _STATUS.read_text().splitlines() if _STATUS.exists() else []
    # the kernel's "kB" are 1024 bytes
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), None)


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished its queue."""
    if device.type == "cuda":
        torch.cuda.synchronize()
