"""The released network on fixed weights and inputs: every intermediate that a reference run recorded."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lightning_avsp.papers.diffsal.checkpoint import load_released_state
from lightning_avsp.papers.diffsal.released import ReleasedDiffSal

TOLERANCE = 1e-5
"""Relative to the largest value recorded, or to the spread: the reference run's own order of operations is unknown."""


def golden_weight(key: str, shape: list[int], dtype: str) -> Tensor:
    if dtype == "int64":
        return torch.zeros(shape, dtype=torch.int64)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(key.encode()) & 0x7FFFFFFF))
    if len(shape) != 1:
        return 0.02 * noise
    if key.endswith("running_var"):
        return 0.1 * noise.abs() + 1
    if key.endswith("running_mean"):
        return 0.1 * noise
    return 1 + 0.1 * noise if key.endswith(".weight") else 0.02 * noise


def golden_state(shared: Path) -> dict[str, Tensor]:
    """The weights of the reference run under the official names."""
    names = json.loads((shared / "reference" / "diffsal_state_dict.json").read_text())["audio_visual"]
    heavy = ("audio_net.embeddings.", "fc.")  # known as unused; 68 M random numbers would only take time
    return {key: golden_weight(key, shape, dtype) for key, shape, dtype in names if not key.startswith(heavy)}


def golden_network(shared: Path) -> ReleasedDiffSal:
    network = ReleasedDiffSal("av").eval()
    load_released_state(network, golden_state(shared))
    return network


def record(network: ReleasedDiffSal) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}

    def keep(name: str, view: Callable[[Tensor], Tensor] = lambda x: x) -> Callable[..., None]:
        def hook(_module: Any, _inputs: Any, output: Tensor) -> None:
            seen[name] = view(output).contiguous()

        return hook

    def keep_all(name: str, order: int) -> Callable[..., None]:
        def hook(_module: Any, _inputs: Any, outputs: tuple[Tensor, ...]) -> None:
            seen.update({f"{name}{index}": x.contiguous() for index, x in enumerate(outputs[::order])})

        return hook

    decoder = network.decoder
    network.video_encoder.register_forward_hook(keep_all("video_feat", 1))
    network.audio_encoder.register_forward_hook(keep("vggish_feat"))
    network.audio_transformer.register_forward_hook(keep("audio_feat"))
    decoder.time_embedding.register_forward_hook(keep("temb"))
    decoder.noise_encoder.register_forward_hook(keep_all("noise_feat", -1))
    for index in range(4):
        decoder.stages[index].register_forward_hook(keep(f"mam{index}_out", lambda x: x.transpose(1, 2)))
        decoder.readouts[index].register_forward_hook(keep(f"temporal_conv{index}_out"))
    decoder.head.projection.register_forward_hook(keep("mt_proj_out"))
    decoder.head.register_forward_hook(keep("head_out"))
    return seen


@pytest.mark.shared
@pytest.mark.full_size
def test_every_intermediate_and_the_map(shared: Path) -> None:
    golden = np.load(shared / "golden" / "diffsal_released_av.npz")
    network = golden_network(shared)
    generator = torch.Generator().manual_seed(1234)
    video = torch.randn(1, 3, 16, 224, 384, generator=generator)
    audio = torch.randn(1, 1, 9, 112, 192, generator=generator)
    noisy_map = torch.randn(1, 1, 224, 384, generator=generator)
    seen = record(network)
    with torch.no_grad():
        saliency = network(noisy_map, torch.tensor([500]), video, audio)
    seen["map_t500"] = saliency
    names = sorted({key.split("/")[1] for key in golden if key.startswith("av/") and key.endswith("/shape")})
    assert set(names) == set(seen)
    for name in names:
        expected = np.concatenate([golden[f"av/{name}/first8"], golden[f"av/{name}/spread32"]])
        flat = seen[name].flatten()
        spread = np.linspace(0, flat.numel() - 1, 32).astype(np.int64)
        found = np.concatenate([flat[:8].numpy(), flat[torch.from_numpy(spread)].numpy()])
        mean, std = golden[f"av/{name}/mean_std"]
        assert tuple(seen[name].shape) == tuple(golden[f"av/{name}/shape"]), name
        assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max(), name
        assert abs(flat.double().mean().item() - mean) <= TOLERANCE * max(std, abs(mean)), name
        assert abs(flat.double().std().item() - std) <= TOLERANCE * std, name
    assert np.abs(saliency.numpy() - golden["av/map_t500/full"]).max() <= TOLERANCE
