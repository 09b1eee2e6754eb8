"""The parts of AVRSP against their equations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightning_avsp.backbones.soundnet import SoundNet8
from lightning_avsp.backbones.tiny_audio import TinyWaveformEncoder
from lightning_avsp.errors import InputError
from lightning_avsp.layers.atrous_pyramid import AtrousPyramid3d, ConvNorm3d
from lightning_avsp.layers.importance_pooling import LocalImportancePooling3d
from lightning_avsp.papers.avrsp.fusions import (
    AudioProduct,
    Bilinear,
    BottleneckTransformer,
    Elementwise,
    sound_of_steps,
)
from lightning_avsp.papers.avrsp.relevance import RAVF, RAVFBlock, RAVFSettings, Relevance
from lightning_avsp.papers.avrsp.scales import MapDecoder, RegulatorGate, Scale, Synergy, resize_space

pytestmark = pytest.mark.usefixtures("double")


def test_ravf_follows_equations_1_to_7():
    block = RAVFBlock(8, RAVFSettings(heads=2)).eval()
    visual, sound = torch.randn(1, 5, 8), torch.randn(1, 3, 8)
    fused, found = block(visual, sound)
    v_query, v_key, v_value = block.visual(visual)[0].chunk(3, dim=-1)
    a_query, a_key, a_value = block.sound(sound)[0].chunk(3, dim=-1)
    heads, scores = [], []
    for head in (slice(0, 4), slice(4, 8)):
        ret_a = v_query[:, head] @ a_key[:, head].T / 2  # sqrt(d_k) of 4
        ret_v = a_query[:, head] @ v_key[:, head].T / 2
        v2a = ret_a @ a_value[:, head] + v_value[:, head]
        a2v = ret_v @ v_value[:, head] + a_value[:, head]
        heads.append(v2a)
        scores.append(block.weigh(torch.cat([v2a.mean(0), a2v.mean(0)])))
        torch.testing.assert_close(found.ret_a[0, len(heads) - 1], ret_a)
        torch.testing.assert_close(found.ret_v[0, len(heads) - 1], ret_v)
    weights = torch.cat(scores).softmax(0)
    torch.testing.assert_close(found.head_weights[0], weights)
    x = torch.cat([weight * head for weight, head in zip(weights, heads, strict=True)], dim=1)
    x = block.norm1(visual[0] + block.out(x))
    torch.testing.assert_close(fused[0], block.norm2(x + block.feed_forward(x)))


def test_retentions_are_not_bounded_unless_asked():
    visual, sound = 5 * torch.randn(1, 6, 8), 5 * torch.randn(1, 3, 8)
    raw = RAVFBlock(8, RAVFSettings(heads=2))(visual, sound)[1].ret_a
    assert raw.min() < 0
    assert raw.abs().max() > 1
    soft = RAVFBlock(8, RAVFSettings(heads=2, ret_norm="softmax"))(visual, sound)[1]
    torch.testing.assert_close(soft.ret_a.sum(-1), torch.ones(1, 2, 6))
    torch.testing.assert_close(soft.ret_v.sum(-1), torch.ones(1, 2, 3))
    flat = RAVFBlock(8, RAVFSettings(heads=2, ret_norm="sigmoid"))(visual, sound)[1].ret_a
    assert flat.min() >= 0
    assert flat.max() <= 1
    assert not torch.allclose(flat.sum(-1), torch.ones(1, 2, 6))


@pytest.mark.parametrize("settings", [RAVFSettings(weights="global"), RAVFSettings(use_a2v=True)])
def test_options_of_ravf_change_the_result_and_every_parameter_learns(settings):
    visual, sound = torch.randn(2, 16, 1, 2, 3), torch.randn(2, 10, 3)
    torch.manual_seed(0)
    plain = RAVF(16, 10, 32, RAVFSettings())  # wide enough that no ReLU of the head weights is dead
    torch.manual_seed(0)
    other = RAVF(16, 10, 32, settings)
    shared = {
        name: value for name, value in plain.state_dict().items() if "weigh" not in name.split(".")[2:3]
    }
    other.load_state_dict(shared, strict=False)
    found: list[Relevance] = []
    fused = other(visual, sound, found)
    assert fused.shape == visual.shape
    assert len(found) == 2
    torch.testing.assert_close(found[0].head_weights.sum(1), torch.ones(2))
    assert not torch.allclose(fused, plain(visual, sound))
    fused.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in other.parameters())


def test_a2v_only_steers_the_heads_as_printed():
    """Contradiction X12: with the head weights held, a2v has no way into the result."""
    block = RAVFBlock(8, RAVFSettings(heads=2))
    for parameter in block.weigh.parameters():
        nn.init.zeros_(parameter)  # equal weights whatever a2v
    visual, sound = torch.randn(1, 4, 8), torch.randn(1, 3, 8)
    before = block(visual, sound)[0]
    with torch.no_grad():
        block.sound.weight[:8].normal_()  # W_aq: only a2v reads it
        block.visual.weight[8:16].normal_()  # W_vk: likewise
    assert torch.equal(block(visual, sound)[0], before)


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="width=10 is no multiple of heads=4"):
        RAVFSettings(width=10)
    with pytest.raises(InputError, match="blocks=0"):
        RAVFSettings(blocks=0)


def test_elementwise_fusions_add_multiply_and_concatenate():
    x, audio = torch.randn(2, 6, 2, 3, 4), torch.randn(2, 5, 2)
    for kind in ("add", "mul", "concat"):
        fusion = Elementwise(kind, 6, 5)
        sound = fusion.sound(audio)[..., None, None]
        wanted = {"add": x + sound, "mul": x * sound}.get(kind)
        if wanted is None:
            wanted = F.conv3d(torch.cat([x, sound.expand_as(x)], 1), fusion.mix.weight, fusion.mix.bias)
        torch.testing.assert_close(fusion(x, audio), wanted)


@pytest.mark.parametrize(
    ("encoder", "samples"), [(SoundNet8("conv5"), 40_000), (TinyWaveformEncoder(), 20_000)]
)
def test_a_token_lies_where_the_samples_are_that_it_reads(encoder, samples):
    encoder = encoder.double().eval()
    waveform = torch.randn(1, 1, samples, requires_grad=True)
    features = encoder(waveform)
    count = features.shape[2]
    features[0, :, count // 2].square().sum().backward()
    read = waveform.grad[0, 0].nonzero()[:, 0]
    middle = (read[0] + read[-1]) / 2
    spacing = encoder.token_centres(2).diff().item()
    # maximum pooling passes few samples on, so the ends of what is read are not all seen
    assert abs(middle - encoder.token_centres(count)[count // 2]) < spacing / 2


def test_rivals_get_the_sound_of_each_step_and_not_of_the_padding():
    """At 30 frames per second the clip is the middle third of the waveform (D4), and so between tokens 1 and 2."""
    waveform = torch.zeros(2, 1, 70_560)
    waveform[0, :, 23_520:47_040] = 1.0
    audio = torch.tensor([-10.0, 0.0, 1.0]).expand(2, 5, 3)
    centres = SoundNet8().token_centres(3)
    found = sound_of_steps(audio, waveform, centres, 4)
    times = torch.tensor([26_460.0, 32_340.0, 38_220.0, 44_100.0])
    # ends of the clip are known to a sample, of 32768 between tokens
    torch.testing.assert_close(found[0, 0], (times - centres[1]) / 2**15, rtol=0, atol=2 / 2**15)
    assert found[1, 0, 0] < -4  # silence: spread over all of it


def test_both_bilinear_forms_are_match_their_formulae():
    x, audio = torch.randn(1, 6, 2, 3, 4), torch.randn(1, 5, 2)
    low = Bilinear(6, 5, 16, "low_rank")
    for part in (low.visual, low.sound, low.out):
        nn.init.zeros_(part.bias)
    torch.testing.assert_close(low(3 * x, audio), 3 * low(x, audio))
    torch.testing.assert_close(low(x, 2 * audio), 2 * low(x, audio))
    full = Bilinear(6, 5, 16, "full")
    fused = full(x, audio)
    assert fused.shape == x.shape
    visual = full.visual(x[0, :, 1, 2, 3]).relu()
    sound = full.sound(audio[0, :, 1]).relu()
    wanted = torch.einsum("i,oij,j->o", visual, full.out.weight, sound) + full.out.bias
    torch.testing.assert_close(fused[0, :, 1, 2, 3], wanted)


def test_audio_reaches_video_through_the_bottleneck_only():
    fusion = BottleneckTransformer(6, 5, 16, heads=2).eval()
    x, audio = torch.randn(1, 6, 1, 2, 3), torch.randn(1, 5, 3)
    heard, other = fusion(x, audio), fusion(x, audio.flip(1))
    assert not torch.allclose(heard, other)
    narrow = BottleneckTransformer(6, 5, 16, layers=1, heads=2).eval()  # no exchange before the last layer
    assert torch.equal(narrow(x, audio), narrow(x, audio.flip(1)))


def test_the_product_multiplies_each_channel_by_a_function_of_the_audio():
    product = AudioProduct(4, 5, 2)
    features = [torch.randn(2, 4, 1, 2, 2), torch.randn(2, 4, 1, 4, 4)]
    audio = torch.randn(2, 5, 8)
    factor = product.factors[1](audio.unflatten(2, (4, 2)).mean(3).flatten(1))[..., None, None, None]
    torch.testing.assert_close(product(features, audio)[1], features[1] * (1 + factor))
    late = audio.clone()
    late[..., 6:] += 1  # the factors know the last span from the others
    early = audio.clone()
    early[..., :2] += 1
    assert not torch.allclose(product(features, late)[0], product(features, early)[0])


def test_synergy_follows_equations_9_to_12():
    module = Synergy(3).eval()
    low, middle, high = (torch.randn(1, 3, 1, side, side) for side in (2, 4, 8))
    first = {
        "low": module.first["low"](low),
        "middle": module.first["middle"](middle),
        "high": module.first["high"](high),
    }

    def moved(source: str, place: str) -> torch.Tensor:
        size = {"low": 2, "middle": 4, "high": 8}[place]
        x = F.interpolate(first[source], size=(1, size, size), mode="trilinear")
        return module.second[f"{source}_to_{place}"](x)

    second_low = moved("low", "low") + moved("middle", "low")
    second_middle = moved("low", "middle") + moved("middle", "middle") + moved("high", "middle")
    second_high = moved("middle", "high") + moved("high", "high")
    third = (
        module.third["high"](F.interpolate(second_high, size=(1, 4, 4), mode="trilinear"))
        + module.third["middle"](second_middle)
        + module.third["low"](F.interpolate(second_low, size=(1, 4, 4), mode="trilinear"))
    )
    torch.testing.assert_close(module(middle, low, high), middle + third)


@pytest.mark.parametrize(
    ("has_low", "has_high", "exchange", "convolutions"),
    [
        (True, True, "adjacent", 13),
        (True, True, "full", 15),
        (True, False, "full", 8),
        (False, True, "adjacent", 8),
    ],
)
def test_a_missing_neighbour_is_dropped(has_low, has_high, exchange, convolutions):
    module = Synergy(4, has_low, has_high, exchange)
    assert sum(isinstance(part, ConvNorm3d) for part in module.modules()) == convolutions
    low = torch.randn(1, 4, 1, 2, 2) if has_low else None
    high = torch.randn(1, 4, 1, 8, 8) if has_high else None
    out = module(torch.randn(1, 4, 1, 4, 4), low, high)
    assert out.shape == (1, 4, 1, 4, 4)
    out.sum().backward()
    assert all(p.grad is not None for p in module.parameters())


def test_the_gate_is_one_value_per_channel_or_a_map():
    fused, visual = torch.randn(2, 4, 1, 2, 2), torch.randn(2, 4, 1, 4, 4)
    module = RegulatorGate(4).eval()
    out, gate = module(fused, visual)
    up = resize_space(fused, visual)
    assert gate.shape == visual.shape
    assert gate.min() > 0
    assert gate.max() < 1
    torch.testing.assert_close(out, module.conv(gate.mean(dim=(2, 3, 4), keepdim=True) * up))
    spatial = RegulatorGate(4, "spatial").eval()
    spatial.load_state_dict(module.state_dict())
    torch.testing.assert_close(spatial(fused, visual)[0], module.conv(gate * up))


def test_importance_pooling_is_a_weighted_mean_within_the_range_of_its_inputs():
    x = torch.randn(2, 5, 4, 6, 8)
    pool = LocalImportancePooling3d(5)
    out = pool(x, time_stride=2)
    assert out.shape == (2, 5, 2, 6, 8)
    assert out.max() <= x.max()
    assert out.min() >= x.min()
    constant = pool(torch.ones(1, 5, 4, 6, 8), time_stride=4)
    torch.testing.assert_close(constant, torch.ones(1, 5, 1, 6, 8))
    assert LocalImportancePooling3d(5, space_stride=2)(x).shape == (2, 5, 4, 3, 4)


def test_importance_pooling_prefers_high_logits():
    pool = LocalImportancePooling3d(1)
    nn.init.zeros_(pool.logits[0].weight)
    with torch.no_grad():
        pool.logits[0].weight[0, 0, 0, 1, 1] = 1.0
    pool.logits[1].weight.data.fill_(20.0)  # all or nothing
    x = torch.zeros(1, 1, 1, 5, 5)
    x[..., 2, 2] = 1.0
    out = pool(x)[0, 0, 0]
    assert out[1:4, 1:4].min() > 0.99  # the mean of nine would be 1/9
    assert out[0, 0] < 1e-6


def test_the_pyramid_sees_as_far_as_its_rates_and_the_whole_frame():
    module = AtrousPyramid3d(2, 4, (1, 3)).eval()
    x = torch.zeros(1, 2, 1, 11, 11)
    base = module(x)
    x[0, :, 0, 5, 5] = 10
    assert not torch.equal(module(x)[..., 0, 10], base[..., 0, 10])  # through the mean of the frame
    for parameter in module.whole.parameters():
        nn.init.zeros_(parameter)
    changed = (module(x) - module(0 * x)).abs().sum(1)[0, 0] > 0
    assert changed[5, 5]
    assert changed[2, 8] or changed[2, 2] or changed[8, 8] or changed[5, 8]
    assert not changed[5, 9]
    assert not changed[5, 7]  # between the rates


def test_a_scale_refuses_time_that_does_not_divide():
    scale = Scale(3, 4, (1,), steps=3, space_stride=1)
    with pytest.raises(InputError, match="4 time steps, which 3"):
        scale(torch.randn(1, 3, 4, 4, 4))


def test_the_decoder_starts_near_an_empty_map_and_doubles_four_times():
    decoder = MapDecoder(4, (2, 2, 1), steps=2)
    scales = [[torch.randn(2, 4, 2, side, 2 * side)] * count for side, count in ((4, 2), (8, 2), (16, 1))]
    out = decoder(torch.randn(2, 4, 2, 2, 4), scales, (64, 128))
    assert out.shape == (2, 1, 64, 128)
    assert 0 < out.mean() < 0.2
