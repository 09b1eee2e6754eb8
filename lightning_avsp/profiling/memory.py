"""Peak memory of a stretch of work: allocated on a GPU, resident on the CPU."""

from __future__ import annotations

from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak(device: torch.device) -> None:
    """Start a new stretch: the peak is what is in use now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif _CLEAR.exists():
        try:
            _CLEAR.write_text("5")  # the kernel's word for: forget the highest resident size
        except OSError:
            return  # some containers forbid it; then the peak is that since the process began, which is larger


def peak(device: torch.device) -> int | None:
    """Bytes at the peak since :func:`reset_peak`; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated())
    if not _STATUS.exists():
        return None
    line = next((line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM")), None)
    return None if line is None else int(line.split()[1]) * 1024


def in_use(device: torch.device) -> int:
    """Bytes allocated on a GPU now; 0 on the CPU, where nobody knows whose memory is whose."""
    return int(torch.cuda.memory_allocated()) if device.type == "cuda" else 0
