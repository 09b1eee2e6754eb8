"""Loading official checkpoints: names, nesting, strictness, damaged files."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_avsp.backbones.vggish import VGGish
from lightning_avsp.backbones.weights import read_state_dict
from lightning_avsp.errors import InputError
from lightning_avsp.papers.diffsal.checkpoint import (
    load_released,
    load_released_state,
    our_name,
    released_modality,
)
from lightning_avsp.papers.diffsal.released import ReleasedDiffSal
from lightning_avsp.papers.diffsal.released.mvit import ReleasedMViT

AFFINE = ("weight", "bias")
BATCH_NORM = (*AFFINE, "running_mean", "running_var", "num_batches_tracked")


def tiny(modality: Any = "av") -> ReleasedDiffSal:
    return ReleasedDiffSal(
        modality,
        video_encoder=ReleasedMViT(width=8, depths=(1, 1, 1, 1), table_size=64),
        audio_encoder=VGGish((4, 6, 8, 16)) if modality == "av" else None,
        head_channels=16,
    ).eval()


def official_names(with_sound: bool) -> Iterator[str]:
    """Names of the official layout for four blocks and stages, spelt out apart from the loader's table."""

    def each(prefix: str, suffixes: tuple[str, ...] = AFFINE) -> Iterator[str]:
        return (f"{prefix}.{suffix}" for suffix in suffixes)

    yield "visual_net.cls_token"
    yield from each("visual_net.patch_embed.projection")
    for block in range(4):
        prefix = f"visual_net.blocks.{block}"
        for part in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"):
            yield from each(f"{prefix}.{part}")
        for axis in "hwt":
            yield f"{prefix}.attn.rel_pos_{axis}"
        for letter in "qkv":
            yield f"{prefix}.attn.pool_{letter}.weight"
            yield from each(f"{prefix}.attn.norm_{letter}")
        if block:
            yield from each(f"{prefix}.proj")
        yield from each(f"visual_net.norm{block}")
    if with_sound:
        for layer in (0, 3, 6, 8, 11, 13):
            yield from each(f"audio_net.features.{layer}")
        for layer in range(3):
            yield from each(f"spatiotemp_net.to_patch_embedding.{layer}")
        yield "spatiotemp_net.transformer.layers.0.0.to_qkv.weight"
        for part in (
            "layers.0.0.norm",
            "layers.0.0.to_out.0",
            *(f"layers.0.1.net.{i}" for i in (0, 1, 4)),
            "norm",
        ):
            yield from each(f"spatiotemp_net.transformer.{part}")
    for part in ("temb.dense.0", "temb.dense.1", "conv_in", "down1.conv", "logits.linear_pred"):
        yield from each(f"decoder_net.{part}")
    for stage in range(3):
        for part in ("norm1", "conv1", "temb_proj", "norm2", "conv2", "nin_shortcut"):
            yield from each(f"decoder_net.res_encoder.{stage}.0.{part}")
        yield from each(f"decoder_net.res_encoder.{stage}.1.conv")
    decoder = "decoder_net.invpt_decoder"
    yield from each(f"{decoder}.mt_proj.0")
    yield from each(f"{decoder}.mt_proj.1", BATCH_NORM)
    for stage in range(4):
        yield from each(f"{decoder}.norm_mts.{stage}")
        yield f"{decoder}.redu_chan_up.{stage}.proj.0.weight"
        if stage:
            for convolution in (1, 4):
                yield f"{decoder}.mid_stages.{stage}.patch_embed.0.proj.{convolution}.weight"
                yield from each(
                    f"{decoder}.mid_stages.{stage}.patch_embed.0.proj.{convolution + 1}", BATCH_NORM
                )
        block = f"{decoder}.mid_stages.{stage}.blocks.0"
        for letter in "qkv":
            yield f"{block}.attn.conv_proj_{letter}.conv.weight"
            yield from each(f"{block}.attn.conv_proj_{letter}.bn")
            yield from each(f"{block}.attn.proj_{letter}")
        for part in ("norm", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2", *(["align_conv"] * with_sound)):
            yield from each(f"{block}.{part}")


def official_state(network: ReleasedDiffSal) -> dict[str, Tensor]:
    """A state dict in the official layout whose tensors are told apart by their names."""
    own = network.state_dict()
    state = {}
    for official in official_names(network.modality == "av"):
        name = our_name(official)
        assert name is not None, official
        value = (zlib.crc32(official.encode()) % 1000) / 1000
        state[official] = torch.full_like(own[name], value if own[name].is_floating_point() else 5)
    return state


def unused_state() -> dict[str, Tensor]:
    names = ("audio_net.embeddings.0.weight", "audio_net.embeddings.4.bias", "fc.0.weight", "fc.2.bias")
    return {name: torch.zeros(2) for name in (*names, "spatiotemp_net.pos_embedding")}


@pytest.mark.parametrize("modality", ["av", "v"])
def test_every_tensor_finds_its_place(modality: Any) -> None:
    network = tiny(modality)
    state = official_state(network)
    assert released_modality(state) == modality
    assert load_released_state(network, state) == {}
    own = network.state_dict()
    assert len({our_name(official) for official in state}) == len(own) == len(state)
    for official, tensor in state.items():
        assert torch.equal(own[our_name(official)], tensor)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("nested", [False, True])
def test_prefix_and_nesting(tmp_path: Path, prefix: str, nested: bool) -> None:
    network = tiny()
    state = official_state(network) | unused_state()
    content: dict[str, Any] = {prefix + name: tensor for name, tensor in state.items()}
    if nested:
        content = {"state_dict": content, "optim_dict": {"state": {}}, "epoch": 3, "step": 17}
    torch.save(content, tmp_path / "released.pth")
    read = read_state_dict(tmp_path / "released.pth")
    assert set(read) == set(state)
    unused = load_released_state(network, read)
    assert set(unused) == set(unused_state())
    assert all(unused.values())


def test_video_only_network_leaves_out_the_audio() -> None:
    state = official_state(tiny("av")) | unused_state()
    unused = load_released_state(tiny("v"), state)
    left = {name.split(".")[0] for name in unused}
    assert left == {"audio_net", "spatiotemp_net", "fc", "decoder_net"}
    assert all("align_conv" in name for name in unused if name.startswith("decoder_net."))


def test_reports_every_misfit_and_loads_nothing() -> None:
    network = tiny()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = official_state(network)
    for name in [name for name in state if name.startswith("visual_net.blocks.0.")]:
        del state[name]
    state["visual_net.blocks.99.norm1.weight"] = torch.zeros(8)
    state["something.else"] = torch.zeros(1)
    state["decoder_net.conv_in.weight"] = torch.zeros(9, 1, 3, 3)
    with pytest.raises(InputError) as caught:
        load_released_state(network, state, source="my.pth")
    message = str(caught.value)
    assert "my.pth" in message
    assert "24 missing" in message
    assert "video_encoder.blocks.0.norm1.weight" in message
    assert "2 unexpected: visual_net.blocks.99.norm1.weight, something.else" in message
    assert "1 of another shape: decoder.noise_encoder.stem.weight (9, 1, 3, 3) for (8, 1, 3, 3)" in message
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.shared
@pytest.mark.full_size
@pytest.mark.parametrize(("modality", "listed"), [("av", "audio_visual"), ("v", "visual")])
def test_official_names_and_shapes(shared: Path, modality: Any, listed: str) -> None:
    entries = json.loads((shared / "reference" / "diffsal_state_dict.json").read_text())[listed]
    with torch.device("meta"):
        state = {
            name: torch.empty(shape, dtype=getattr(torch, dtype), device="meta")
            for name, shape, dtype in entries
        }
        unused = load_released_state(ReleasedDiffSal(modality), state)
    assert len(unused) == {"av": 11, "v": 8}[modality]


@pytest.mark.shared
@pytest.mark.full_size
def test_load_released_gives_a_network_ready_to_use(shared: Path, tmp_path: Path) -> None:
    entries = json.loads((shared / "reference" / "diffsal_state_dict.json").read_text())["visual"]
    # One stored number, seen at every shape: a full-size checkpoint in a small file.
    number = {"float32": torch.full((1,), 0.25), "int64": torch.zeros(1, dtype=torch.int64)}
    state = {f"module.{name}": number[dtype].expand(shape or [1]) for name, shape, dtype in entries}
    state = {
        name: value[0] if name.endswith("num_batches_tracked") else value for name, value in state.items()
    }
    path = tmp_path / "visual.pth"
    torch.save({"state_dict": state, "epoch": 2}, path)
    network = load_released(path)
    assert not network.training
    assert network.core.modality == "v"
    assert all(bool((parameter == 0.25).all()) for parameter in network.core.decoder.stages.parameters())
    with pytest.raises(InputError, match="video-only checkpoint"):
        load_released(path, modality="av")
