"""Checks of inputs that several networks share, and explanations of their gates and first denoising step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lightning_avsp.errors import InputError
from lightning_avsp.structures import Explanation


def check_frame_size(network: str, video: Tensor, smallest: int = 32) -> None:
    """Refuse frames (B, 3, T, H, W) whose height or width is no multiple of 32, or below ``smallest``.

    Raises:
        InputError: Names the network and the size.
    """
    height, width = video.shape[-2:]
    if height % 32 or width % 32 or min(height, width) < smallest:
        raise InputError(
            f"frames of {height}x{width}: {network} needs height and width to be multiples of 32, {smallest} at least; "
            "resize them, e.g. data.size=[224,384]"
        )


def refuse_text(network: str, text: Tensor | None) -> None:
    """Refuse text features for a network that reads no text.

    Raises:
        InputError: Names the network.
    """
    if text is not None:
        raise InputError(f"{network} reads no text, but text features were given; leave data.captions out")


FIRST_STEP = 999
"""Diffusion step of the first of any number of steps out of 1000."""


def draw_first_step(clips: int, size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Draw the noisy maps (B, 1, H, W) and steps (B,) of a first denoising step, the same noise for every clip."""
    noise = torch.randn((1, 1, *size), generator=torch.Generator().manual_seed(0)).to(device)
    return noise.expand(clips, -1, -1, -1), torch.full((clips,), FIRST_STEP, device=device)


def explain_gates(stem: str, title: str, gates: Mapping[str, Tensor]) -> list[Explanation]:
    """Show gates as maps over time, and their means over the clip as numbers; nothing without gates.

    Args:
        stem: Start of the names: ``<stem>_<scale>`` and ``<stem>_means``.
        title: Meaning of the values, with their range.
        gates: Gates (B, C, T, h, w) by scale, e.g. ``stride 4``.
    """
    if not gates:
        return []
    maps = [
        Explanation(f"{stem}_{scale.replace(' ', '')}", f"{title}; {scale}", gate.float().mean(dim=1))
        for scale, gate in gates.items()
    ]
    # one number a scale tells a dead gate from an open one
    means = torch.stack([gate.float().flatten(1).mean(dim=1) for gate in gates.values()], dim=1)  # (B, K)
    return [*maps, Explanation(f"{stem}_means", f"{title}; means per scale", means, tuple(gates))]
