"""Checks of the inputs that several networks share."""

from __future__ import annotations

from torch import Tensor

from lightning_avsp.errors import InputError


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
