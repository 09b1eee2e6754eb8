"""AVRSP as a whole: every row of its ablations, its options, missing sound, and what it explains."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from rounding import assert_close
from torch import nn

from lightning_avsp.errors import InputError
from lightning_avsp.losses import SaliencyLoss
from lightning_avsp.papers.avrsp import AVRSP, RAVFSettings
from lightning_avsp.profiling.counting import count_flops

Options = dict[str, Any]


def ablations() -> dict[str, Options]:
    """Options of every row of Tables III, IV and V of AVRSP, by name; rows that are one configuration share a name."""
    rows: dict[str, Options] = {}
    for audio in (False, True):
        modality = "av" if audio else "v"
        for ms in (False, True):
            for mrg in (False, True):
                rows[f"III-{modality}-ms{int(ms)}-mrg{int(mrg)}"] = {"audio": audio, "ms": ms, "mrg": mrg}
        # 3 pairs are the last row of Table III; 0 pairs build what its first row builds, by another option
        for pairs in (0, 1, 2, 4):
            rows[f"IV-{modality}-{pairs}"] = {"audio": audio, "ms_mrg_pairs": pairs}
    # RAVF is the last row of Table III with audio, the visual baseline the one without
    for fusion in ("none", "add", "mul", "concat", "bilinear", "mbt"):
        rows[f"V-{fusion}"] = {"fusion": fusion}
    return rows


ROWS = ablations()
TINY: Options = {"video_encoder": "tiny", "audio_encoder": "tiny", "clip_frames": 8}


def clip(count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(count, 3, 8, 64, 64), 50 * torch.randn(count, 1, 17640)


def millions(module: nn.Module | None) -> float:
    assert module is not None
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


@pytest.mark.full_size
@pytest.mark.parametrize("row", ROWS)
def test_every_row_builds_at_full_size(row: str) -> None:
    with torch.device("meta"), torch.no_grad():
        network = AVRSP(**ROWS[row]).eval()
        out = network(torch.empty(1, 3, 32, 224, 384), torch.empty(1, 1, 70560))
    assert out.shape == (1, 1, 224, 384)


def test_rows_printed_twice_are_one_configuration() -> None:
    """Contradiction X4: without pairs nothing is left of synergy and gates."""
    none, neither = AVRSP(**TINY, ms_mrg_pairs=0), AVRSP(**TINY, ms=False, mrg=False)
    assert list(none.state_dict()) == list(neither.state_dict())
    assert list(AVRSP(**TINY, fusion="none").state_dict()) == list(AVRSP(**TINY, audio=False).state_dict())


@pytest.mark.parametrize("row", [*ROWS, "ravf_product"])
def test_every_row_learns(row: str) -> None:
    options = ROWS.get(row, {"fusion": "ravf_product"})
    network = AVRSP(**TINY, **options).train()
    loss = SaliencyLoss({"kl_ratio": 1.0, "cc": -0.1, "sim": -0.1})
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-5)
    video, audio = clip()
    target = torch.zeros(2, 1, 64, 64)
    target[..., 20:30, 30:40] = 1
    losses = []
    for _ in range(4):  # one step may go up: batch norm over a few values is rough
        losses.append(loss(network(video, audio), target))
        optimizer.zero_grad()
        losses[-1].backward()
        idle = [name for name, p in network.named_parameters() if p.grad is None]
        assert not idle  # data-parallel training refuses parameters without a gradient
        optimizer.step()
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.full_size
def test_size_and_cost_are_those_of_the_specification() -> None:
    """To its two digits; the whole within the convolutions that the synergy has fewer than specified (deviation D9)."""
    with torch.device("meta"), torch.no_grad():
        network = AVRSP()
        flops = count_flops(network, torch.empty(1, 3, 32, 224, 384), torch.empty(1, 1, 70560))
    assert flops / 2e9 == pytest.approx(125.3, rel=0.05)
    assert millions(network.video_encoder) == pytest.approx(7.91, abs=0.01)
    assert millions(network.audio_encoder) == pytest.approx(2.87, abs=0.01)
    assert sum(millions(scale.pyramid) for scale in network.scales) == pytest.approx(0.96, abs=0.01)
    assert network.fusion is not None
    assert sum(millions(block) for block in network.fusion.blocks) == pytest.approx(7.95, abs=0.01)
    assert millions(network.gates) == pytest.approx(1.00, abs=0.01)
    assert millions(network.decoder) == pytest.approx(1.11, abs=0.01)
    assert millions(network.synergy) == pytest.approx(3.76, abs=0.01)
    assert millions(network) == pytest.approx(26.60, rel=0.02)


def test_audio_reaches_the_map_unless_there_is_none_and_a_missing_track_is_silence() -> None:
    video, audio = clip()
    network = AVRSP(**TINY).eval()
    assert torch.equal(network(video), network(video, torch.zeros_like(audio)))
    for fusion in ("ravf", "ravf_product", "add", "mul", "concat", "bilinear", "mbt"):
        network = AVRSP(**TINY, fusion=fusion).eval()
        assert not torch.equal(network(video, audio), network(video, audio.flip(0))), fusion
    for network in (AVRSP(**TINY, audio=False).eval(), AVRSP(**TINY, fusion="none").eval()):
        assert network.audio_encoder is None
        assert torch.equal(network(video, audio), network(video))


@pytest.mark.parametrize(
    "options",
    [
        {"ravf": RAVFSettings(weights="global")},
        {"ravf": RAVFSettings(use_a2v=True)},
        {"ravf": RAVFSettings(ret_norm="softmax")},
        {"ravf": RAVFSettings(width=32, heads=2, blocks=1)},
        {"mrg_gate": "spatial"},
        {"lip_space_stride": 2},
        {"fusion": "bilinear", "bilinear": "full"},
        {"audio_encoder": "soundnet8", "audio_tap": "conv5"},
        {"audio_encoder": "soundnet8", "audio_tap": "pool7"},
        {"channels": 8},
        {"clip_frames": 16},
    ],
    ids=str,
)
def test_every_option_gives_a_map(options: Options) -> None:
    network = AVRSP(**{**TINY, **options})
    frames = network.clip_frames
    out = network(torch.randn(2, 3, frames, 64, 128), torch.randn(2, 1, 2205 * 16))
    assert out.shape == (2, 1, 64, 128)
    assert out.min() >= 0
    assert out.max() <= 1
    out.sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_the_visual_network_is_a_part_of_the_audio_visual_one() -> None:
    """Stage 2 starts from stage 1: every tensor of the visual branch has its place."""
    visual, both = AVRSP(**TINY, audio=False), AVRSP(**TINY)
    theirs, ours = visual.state_dict(), both.state_dict()
    assert all(ours[name].shape == tensor.shape for name, tensor in theirs.items())
    new = {name.split(".")[0] for name in ours if name not in theirs}
    assert new == {"audio_encoder", "fusion"}


def test_explains_relevance_heads_and_gates() -> None:
    network = AVRSP(**TINY).eval()
    video, audio = clip()
    shown = {part.name: part for part in network.explain(video, audio)}
    heads = [f"relevance_{way}_head{head}" for way in ("v2a", "a2v") for head in (1, 2, 3, 4)]
    assert set(heads) < set(shown)
    for name in heads:
        assert shown[name].values.shape == (2, 1, 2, 2)
    for scale, side in ((1, 4), (2, 8), (3, 16)):
        assert shown[f"gate_scale{scale}"].values.shape == (2, 1, side, side)
    weights = shown["head_weights"]
    assert weights.values.shape == (2, 8)  # two blocks of four heads
    assert len(weights.labels) == 8
    assert_close(weights.values.unflatten(1, (2, 4)).sum(2), torch.ones(2, 2), operations=8)
    means = shown["gate_means"]
    assert means.labels == ("scale 1", "scale 2", "scale 3")
    # a mean over 16 channels, then 16 positions, in either order
    assert_close(means.values[:, 0], shown["gate_scale1"].values.mean(dim=(1, 2, 3)), operations=32)
    other = {part.name: part for part in network.explain(video, audio.flip(0))}
    assert not torch.equal(shown[heads[0]].values, other[heads[0]].values)


def test_explains_existing_parts_only() -> None:
    video, audio = clip(1)
    assert AVRSP(**TINY, audio=False, mrg=False).eval().explain(video, audio) == []
    names = {part.name for part in AVRSP(**TINY, fusion="add").eval().explain(video, audio)}
    assert names == {"gate_scale1", "gate_scale2", "gate_scale3", "gate_means"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ms_mrg_pairs": 5}, "from 0 to 4"),
        ({"clip_frames": 12}, "multiple of 8"),
        ({"lip_space_stride": 0}, "lip_space_stride=0"),
        ({"audio": False, "audio_weights": "x.pth"}, "no audio encoder for audio_weights=x.pth"),
        ({"audio_encoder": "vggish"}, r"vggish.*soundnet8"),
        ({"audio_encoder": "soundnet8", "audio_tap": "conv9"}, r"conv9.*conv7"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: Options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        AVRSP(**{**TINY, **options})


def test_inputs_that_do_not_fit_are_refused() -> None:
    network = AVRSP(**TINY)
    video, audio = clip()
    with pytest.raises(InputError, match="needs frames"):
        network(None, audio)
    with pytest.raises(InputError, match=r"16 frames.*built for 8"):
        network(torch.randn(1, 3, 16, 64, 64), audio)
    with pytest.raises(InputError, match="multiples of 32"):
        network(torch.randn(1, 3, 8, 60, 64), audio)
    with pytest.raises(InputError, match=r"waveforms.*data\.audio=Waveform"):
        network(video, torch.randn(2, 1, 9, 32, 64))
    with pytest.raises(InputError, match="reads no text"):
        network(video, audio, torch.randn(2, 3, 4))
