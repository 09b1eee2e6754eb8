"""Every row of Tables I to V and Figure 5: full size on the meta device, and a training step in tiny."""

import pytest
import torch

from lightning_avsp.papers.tavdiff import TAVDiff
from lightning_avsp.papers.tavdiff.condition import condition_tokens
from lightning_avsp.profiling.counting import count_flops

# Row of the paper's tables, options, parameters in all, GMACs of the encoders, GMACs of a denoising step
ROWS = [
    ("I, II Ours(AV)", {"modalities": "av"}, 51_206_192, 30.94, 11.11),
    ("I, II Ours(TV)", {"modalities": "tv"}, 48_527_712, 30.97, 11.10),
    ("I, II Ours(TA)", {"modalities": "ta"}, 43_093_776, 0.06, 10.51),
    ("I, II Ours(TAV), III Saliency-DiT, IV Decoupled, V SITR", {}, 51_796_784, 31.02, 11.11),
    ("III U-Net", {"denoiser": "unet"}, 50_996_465, 31.02, 61.35),
    ("III DiT", {"denoiser": "dit"}, 44_829_872, 31.02, 13.13),
    ("IV Undecoupled", {"decoupled": False}, 45_125_168, 31.02, 13.13),
    ("V Concatenate", {"text_fusion": "concat"}, 51_698_480, 30.99, 11.11),
    ("V Repeat+Add", {"text_fusion": "repeat_add"}, 51_403_184, 30.94, 11.11),
    ("V Repeat+Average", {"text_fusion": "repeat_average"}, 51_403_184, 30.94, 11.11),
    ("size B", {"size": "B"}, 171_550_640, 31.17, 41.29),
    ("pretraining on DHF1K", {"modalities": "v"}, 47_937_120, 30.89, 11.10),
    ("with products", {"audio_product": True, "text_product": True}, 63_450_864, 31.03, 11.11),
]
OPTIONS = [
    *[row[1] for row in ROWS if "size" not in row[1]],
    {"denoiser": "dit", "pooled_condition": "sum"},
    {"sitr_gt_product": True},
    {"denoiser": "dit", "pooled_condition": "in_context"},
    {"decoupled": False, "pooled_condition": "sum"},
    {"modalities": "ta", "denoiser": "dit"},
    {"modalities": "ta", "denoiser": "dit", "pooled_condition": "in_context"},
    {"modalities": "ta", "denoiser": "unet"},
    {"residual": False},
    {"residual": False, "decoupled": False},
    {"sitr_output": "map_times_v"},
    {"sitr_output": "map_only"},
    {"sitr_tokens": "all", "sitr_infer_select": "sigmoid_sum"},
    {"sitr_train_select": "infer_rule", "sitr_infer_select": "logit_max"},
    {"sitr_train_select": "infer_rule", "sitr_infer_select": "eot"},
    {"sitr_train_select": "mixed", "sitr_infer_select": "random"},
    {"freeze_video": True, "freeze_audio": True},
]


@pytest.mark.full_size
@pytest.mark.parametrize(("row", "options", "params", "encoders", "step"), ROWS, ids=[row[0] for row in ROWS])
def test_every_row_has_the_size_that_the_card_states(row, options, params, encoders, step):
    with torch.device("meta"):
        network = TAVDiff(**options).eval()
        inputs = torch.empty(1, 3, 16, 224, 384), torch.empty(1, 1, 35280), torch.empty(1, 77, 512)
        assert count_flops(network.condition, *inputs, None) / 2e9 == pytest.approx(encoders, abs=0.01)
        tokens = condition_tokens(network.encode(*inputs))
        noisy, t = torch.empty(1, 1, 112, 192), torch.empty(1, dtype=torch.int64)
        assert count_flops(network.denoiser, noisy, t, tokens) / 2e9 == pytest.approx(step, abs=0.01)
        assert network.denoiser(noisy, t, tokens).shape == noisy.shape
    assert sum(p.numel() for p in network.parameters()) == params


@pytest.mark.full_size
def test_parts_have_the_sizes_of_the_specification():
    with torch.device("meta"):
        network = TAVDiff()
        condition = network.eval().encode(
            torch.empty(2, 3, 16, 224, 384), torch.empty(2, 1, 35280), torch.empty(2, 77, 512)
        )
    assert [tuple(f.shape) for f in condition.video] == [(2, 384, 2, 7, 12)]
    assert condition.audio.shape == (2, 2, 384)
    assert condition.text is None  # text reaches the denoiser through SITR alone

    def millions(module):
        return sum(p.numel() for p in module.parameters()) / 1e6

    assert millions(network.condition.fusion) == pytest.approx(0.985, abs=0.001)
    assert millions(network.denoiser) == pytest.approx(39.76, rel=0.005)
    assert millions(network) == pytest.approx(51.9, rel=0.005)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_switch_trains_every_parameter(tiny, clip, options):
    """Three steps: DDP demands a gradient everywhere, and gates that start at zero open in the first."""
    network = tiny(**options).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    noisy, t, video, audio, text, saliency = clip
    heard = {"video": video, "audio": audio, "text": text}
    known = {"saliency": saliency} if network.reads_target else {}
    for _ in range(3):
        optimizer.zero_grad()
        out = network(noisy, t, **heard, **known)
        assert out.shape == noisy.shape
        assert 0 <= out.min() <= out.max() <= 1
        (out - saliency).square().sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    assert not [name for name, p in trained.items() if p.grad is None]
    assert all(p.grad.isfinite().all() for p in trained.values())
    dead = [name for name, p in trained.items() if not p.grad.abs().max() > 0]
    assert not dead
