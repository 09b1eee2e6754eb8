"""Peak memory of a stretch of work: allocated on a GPU, resident on the CPU."""

from __future__ import annotations

from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak(device: torch.device) -> None:
    """Start a new stretch: the peak becomes the present use."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif _CLEAR.exists():
        try:
            _CLEAR.write_text("5")  # asks the kernel to forget the highest resident size
        except OSError:
            return  # some containers forbid it; then the peak is that since the process began, which is larger


def peak(device: torch.device) -> int | None:
    """Return the bytes at the peak since :func:`reset_peak`; None where the system does not report it."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated())
    if not _STATUS.exists():
        return None
    line = next((line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM")), None)
    return None if line is None else int(line.split()[1]) * 1024
