"""Random batches of the shapes that a data module would yield, so that a network can be timed without a corpus."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_avsp.data.datamodule import AVSaliencyDataModule
from lightning_avsp.structures import DiffusionNetwork, SaliencyBatch, SaliencyNetwork
from lightning_avsp.tasks.prediction import network_inputs


def random_batch(
    data: AVSaliencyDataModule, batch: int, text_width: int | None, device: torch.device, seed: int = 0
) -> SaliencyBatch:
    """Make a training batch of noise on a device.

    Args:
        data: Defines sizes, clip length and form of the audio; nothing is read.
        batch: Number of clips B.
        text_width: Channels of the captions' token features; None without captions.
        device: Device of the tensors.
        seed: Seed of the noise, the same on every device.

    Returns:
        The fields of this data module's batches: frames uint8 (B, T, H, W, 3), audio, maps uint8, and names that differ
        from clip to clip.
    """
    generator = torch.Generator().manual_seed(seed)
    frames = data.clip.frames

    def pixels(*shape: int) -> Tensor:
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).to(device)

    shape = (batch, *data.audio.silence(0.0, frames / 25, frames).shape)
    noise = torch.randn(shape, generator=generator)
    # levels of log-mel energies, or of samples
    audio = noise - 2 if data.audio.form == "log_mel" else noise * 30
    found = SaliencyBatch(
        video=pixels(batch, frames, *data.size, 3),
        audio=audio.to(device),
        has_audio=torch.ones(batch, dtype=torch.bool, device=device),
        saliency=pixels(batch, 1, *data.map_size),
        corpus=["random"] * batch,
        video_id=[f"clip{index}" for index in range(batch)],
        frame=torch.full((batch,), data.clip.target_index + 1, device=device),
    )
    if text_width is not None and data.captions is not None:
        tokens = torch.randn((batch, data.captions.tokens, text_width), generator=generator)
        found["text"] = tokens.to(device)
        found["has_text"] = torch.ones(batch, dtype=torch.bool, device=device)
    return found


def forward_inputs(
    network: SaliencyNetwork, data: AVSaliencyDataModule, text_width: int | None, device: torch.device
) -> list[Any]:
    """Make the arguments of a network's forward pass for one random clip, on the network's device."""
    inputs: list[Any] = list(network_inputs(network, random_batch(data, 1, text_width, device)))
    if isinstance(network, DiffusionNetwork):
        noisy, t = torch.zeros(1, 1, *data.map_size), torch.zeros(1, dtype=torch.int64)
        inputs = [noisy.to(device), t.to(device), *inputs]
    return inputs
