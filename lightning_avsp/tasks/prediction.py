"""Saliency maps of a batch of clips: the one path for validation, tests, videos, audits, benchmarks and the demo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor

from lightning_avsp.diffusion import GaussianDiffusion, SamplerStep, Sampling, stable_seed
from lightning_avsp.diffusion.samplers import Denoise
from lightning_avsp.structures import (
    Condition,
    DiffusionNetwork,
    DirectNetwork,
    SaliencyBatch,
    SaliencyNetwork,
)

Encoded: TypeAlias = Condition | Tensor
"""Result of :func:`encode`: the condition of a denoiser, or the maps (B, 1, H, W) of a direct network."""


class Inputs(NamedTuple):
    """Arguments of a network, on its device."""

    video: Tensor | None
    """Normalised frames (B, 3, T, H, W), or None."""
    audio: Tensor | None
    """Log-mel slices (B, 1, S, Ha, Wa) or waveforms (B, 1, N), or None."""
    text: Tensor | None
    """Token features (B, N, C), or None."""

    @property
    def batch_size(self) -> int:
        """Number of clips."""
        return len(next(tensor for tensor in self if tensor is not None))


def network_inputs(network: SaliencyNetwork, batch: SaliencyBatch) -> Inputs:
    """Prepare the inputs of a network from a batch, in which any modality may be absent.

    Args:
        network: Defines how frames are normalised.
        batch: Clips on the network's device.
    """
    frames = batch.get("video")
    video = None if frames is None else network.normalize_video(frames)
    return Inputs(video, batch.get("audio"), batch.get("text"))


def encode(network: SaliencyNetwork, inputs: Inputs) -> Encoded:
    """Run the part of a network that runs once per clip; for a direct network that is all of it.

    Raises:
        InputError: If the network cannot work with the given modalities.
    """
    if isinstance(network, DirectNetwork):
        maps: Tensor = network(*inputs)
        return maps.float().clamp(0, 1)  # as sampled maps are returned
    assert isinstance(network, DiffusionNetwork)
    return network.encode(*inputs)


def used_modalities(network: SaliencyNetwork, inputs: Inputs, encoded: Encoded) -> str:
    """Return the letters of the modalities that the maps depend on, e.g. ``av`` or ``tav``.

    A denoiser shows them by its condition, but for text that weights the video features, which leaves no features of
    its own there; a direct network by its class.
    """
    audio = network.uses_audio if isinstance(encoded, Tensor) else encoded.audio is not None
    video = isinstance(encoded, Tensor) or bool(encoded.video)
    found = (("t", network.uses_text), ("a", audio), ("v", video))
    return "".join(
        letter
        for (letter, used), given in zip(found, (inputs.text, inputs.audio, inputs.video), strict=True)
        if used and given is not None
    )


def frame_keys(batch: SaliencyBatch) -> list[tuple[str, str, int]]:
    """Return (corpus, video, number of the target frame) of each clip."""
    return list(zip(batch["corpus"], batch["video_id"], batch["frame"].tolist(), strict=True))


def clip_seeds(batch: SaliencyBatch, seed: int) -> list[int]:
    """Derive the seed of each clip's noise from ``seed`` and the clip alone, whatever the batch that it is in."""
    return [stable_seed(seed, *key) for key in frame_keys(batch)]


def sample_maps(
    network: SaliencyNetwork,
    encoded: Encoded,
    map_size: tuple[int, int],
    seeds: list[int],
    sampling: Sampling | None,
    diffusion: GaussianDiffusion | None,
    *,
    steps: int | None = None,
    average: bool = True,
    callback: Callable[[SamplerStep], Any] | None = None,
) -> Tensor:
    """Denoise the maps of encoded clips; the maps of a direct network are returned as they are.

    Args:
        network: Network that encoded the clips.
        encoded: Result of :func:`encode`; clips are not encoded again, however many samples are taken.
        map_size: Height and width of the maps.
        seeds: Seed of each clip's noise.
        sampling: Algorithm, steps, samples; None for a direct network.
        diffusion: Noise schedule; None for a direct network.
        steps: Denoising steps of every clip; None for the number that the network chooses for each clip, if it does
            that, else for that of ``sampling``.
        average: Return the mean over the samples of each clip, or each of them.
        callback: Called at every denoising step; then every clip takes the same number of steps.

    Returns:
        float32: maps (B, 1, H, W) in [0, 1], or without ``average`` samples (B, n, 1, H, W), not clamped to it.
    """
    if isinstance(encoded, Tensor):
        return encoded if average else encoded[:, None]
    assert isinstance(network, DiffusionNetwork)
    assert sampling is not None
    assert diffusion is not None
    condition, batch = encoded, encoded.batch_size
    sampling = sampling if steps is None else replace(sampling, steps=steps)
    own = None if steps is not None or callback is not None else network.denoising_steps(condition)
    counts = [sampling.steps] * batch if own is None else own.tolist()

    def denoiser(clips: list[int]) -> Denoise:
        part = condition if len(clips) == batch else condition.select(clips)
        repeated = part.repeat_interleave(sampling.samples) if sampling.samples > 1 else part
        return lambda x, t: network.denoise(x, t, repeated).float()

    results: dict[int, Tensor] = {}
    for count in sorted(set(counts)):  # clips of equally many steps go through the denoiser together
        clips = [clip for clip, number in enumerate(counts) if number == count]
        sampled = replace(sampling, steps=count).sample(
            denoiser(clips),
            (len(clips), 1, *map_size),
            diffusion,
            device=condition.device,
            seeds=[seeds[clip] for clip in clips],
            average=average,
            callback=callback,
        )
        results |= dict(zip(clips, sampled, strict=True))
    maps = torch.stack([results[clip] for clip in range(batch)]).float()
    return maps.clamp(0, 1) if average else maps


def pin_batch(batch: SaliencyBatch) -> SaliencyBatch:
    """Copy the tensors of a batch into pinned memory, as a loader's own thread does beside a GPU."""
    pinned = {
        name: value.pin_memory() if isinstance(value, Tensor) else value for name, value in batch.items()
    }
    return cast(SaliencyBatch, pinned)


def move_batch(batch: SaliencyBatch, device: torch.device | str) -> SaliencyBatch:
    """Copy the tensors of a batch to a device, lists of tensors too; from pinned memory without waiting for a GPU."""
    # as Lightning: what an asynchronous copy leaves on the CPU, or on Apple's GPU, may be read before it is there
    free = torch.device(device).type == "cuda"

    def moved(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(device, non_blocking=free)
        return [moved(item) for item in value] if isinstance(value, list) else value

    return {name: moved(value) for name, value in batch.items()}  # type: ignore[return-value]
