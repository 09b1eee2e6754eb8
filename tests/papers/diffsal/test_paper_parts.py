"""What each part of the paper's variant computes, against the paper's formulae."""

import pytest
import torch
import torch.nn.functional as F

from lightning_avsp.layers.attention import multi_head_attention
from lightning_avsp.layers.audio_product import ProductResidual
from lightning_avsp.papers.diffsal.paper.decoder import (
    AudioInteraction,
    ModulationStage,
    NoiseEncoder,
    PredictionHead,
    SpatioTemporalCrossAttention,
    interaction_mask,
)
from lightning_avsp.papers.diffsal.paper.network import TemporalEnhancement

pytestmark = pytest.mark.usefixtures("double")


def stage(**options):
    settings = {
        "channels": 16,
        "previous_channels": None,
        "index": 1,
        "steps": 9,
        "out_channels": 8,
        "attention": "eca",
        "interaction": "mim",
        "audio_channels": 16,
        "mel_bins": 4,
    }
    return ModulationStage(**{**settings, **options})


def test_mask_is_a_softmax_over_space_of_the_pooled_product():
    features, sound = torch.randn(2, 4, 9, 3, 5), torch.randn(2, 4, 9, 3, 5)
    mask = interaction_mask(features, sound)
    assert mask.shape == (2, 4, 1, 3, 5)
    pooled = (features * sound).mean(2)
    expected = pooled.exp() / pooled.exp().sum((-1, -2), keepdim=True) * 15
    torch.testing.assert_close(mask[:, :, 0], expected)


def test_interaction_is_the_mask_times_the_enlarged_audio():
    module = AudioInteraction("mim", 6, 4)
    features, audio = torch.randn(1, 4, 9, 4, 8), torch.randn(1, 6, 9, 2, 4)
    enlarged = audio.repeat_interleave(2, -1).repeat_interleave(2, -2)
    sound = module.align.conv(enlarged)  # the paper's order: enlarge, then convolve
    torch.testing.assert_close(module(features, audio), interaction_mask(features, sound) * sound)


@pytest.mark.parametrize("name", ["addition", "bilinear", "concatenation"])
def test_other_interactions_of_table_3(name):
    module = AudioInteraction(name, 6, 4)
    features, audio = torch.randn(1, 4, 9, 4, 8), torch.randn(1, 6, 9, 2, 4)
    sound = module.align(audio, features.shape[2:])
    if name == "addition":
        expected = features + sound
    elif name == "bilinear":
        expected = module.out(module.project(features) * sound)
    else:  # two halves of one convolution of both side by side
        halves = module.mix_features, module.mix_sound
        weight = torch.cat([half.weight for half in halves], dim=1)
        expected = F.conv3d(torch.cat([features, sound], dim=1), weight, module.mix_features.bias)
    torch.testing.assert_close(module(features, audio), expected)


def test_product_residual_keeps_the_pitch_and_is_one_vector_per_step():
    module = ProductResidual(6, 4, mel_bins=4)
    features = torch.ones(1, 4, 9, 4, 8)
    audio = torch.zeros(1, 6, 9, 2, 4)
    low, high = audio.clone(), audio.clone()
    low[..., 0], high[..., 3] = 1, 1  # the same energy in another mel bin
    assert not torch.allclose(module(features, low), module(features, high))
    out = module(features, torch.randn_like(audio))
    torch.testing.assert_close(out, out[..., :1, :1].expand_as(out))
    assert not torch.allclose(out[:, :, 0], out[:, :, 1])
    wider = module(features, low.repeat_interleave(2, -1))  # another number of mel columns is averaged
    torch.testing.assert_close(wider, module(features, low))


def test_attention_follows_equations_7_and_8_across_time_and_space():
    block = SpatioTemporalCrossAttention(16, 2)
    x, interaction = torch.randn(2, 16, 3, 4, 8), torch.randn(2, 16, 3, 4, 8)
    tokens = x.flatten(2).transpose(1, 2)
    normed = block.norm1(tokens)
    grid = normed.transpose(1, 2).unflatten(2, x.shape[2:])
    for keys in (interaction, None):
        key = block.key(block.compress_key(grid if keys is None else keys))  # of every time step
        value = block.value(block.compress_value(grid))
        h = tokens + block.out(multi_head_attention(block.query(normed), key, value, 2))
        expected = h + block.feed_forward(block.norm2(h))
        torch.testing.assert_close(block(x, keys).flatten(2).transpose(1, 2), expected)


def test_a_stage_adds_the_one_before_and_the_head_adds_all():
    module, head = stage(index=2, previous_channels=24), PredictionHead(8, 12)
    seen = []
    for part in (module.attention, head.conv):
        part.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0]))
    x, previous = torch.randn(1, 16, 9, 4, 8), torch.randn(1, 24, 9, 2, 4)
    module(x, previous, None)
    torch.testing.assert_close(seen[0], x + module.upsample(previous, (4, 8)))
    coarse, fine = torch.randn(1, 8, 2, 4), torch.randn(1, 8, 4, 8)
    head([coarse, fine], (32, 64), torch.float64)
    total = F.interpolate(
        F.interpolate(coarse, size=(4, 8), mode="bilinear") + fine, size=(16, 32), mode="bilinear"
    )
    torch.testing.assert_close(seen[1], total)


@pytest.mark.parametrize(
    ("index", "attention", "keys"),
    [(1, "eca", 8 * 16), (2, "eca", 4 * 8), (3, "eca", 2 * 4), (4, "eca", 1 * 2), (4, "standard", 16 * 32)],
)
def test_keys_and_values_are_compressed_in_space_only(index, attention, keys):
    module = stage(index=index, attention=attention).attention
    x = torch.randn(1, 16, 9, 16, 32)
    assert module.compress_key(x).shape == module.compress_value(x).shape == (1, 9 * keys, 16)


@pytest.mark.parametrize("step", range(9))
def test_temporal_convolution_reads_every_step(step):
    module = stage()
    x = torch.randn(1, 16, 9, 2, 4, requires_grad=True)
    module.temporal(x).sum().backward()
    assert x.grad[:, :, step].abs().min() > 0


def test_audio_enters_the_keys_only_with_mim_and_the_features_too_with_the_residual():
    x, audio = torch.randn(1, 16, 9, 4, 8), torch.randn(1, 16, 9, 2, 4)
    seen = {}
    for name in ("mim", "mim_residual"):
        module = stage(interaction=name)
        module.attention.register_forward_hook(
            lambda _m, inputs, _o, name=name: seen.update({name: inputs[0]})
        )
        module(x, None, audio)
    assert torch.equal(seen["mim"], x)
    assert not torch.allclose(seen["mim_residual"], x)


def test_enhancement_uses_embedding_and_position():
    module = TemporalEnhancement(32)
    x = torch.randn(1, 32, 9, 2, 4)
    before = module(x)
    with torch.no_grad():
        module.position[:, 3] += 1
    assert not torch.allclose(before, module(x))
    assert module(x[:, :, :5]).shape == (1, 32, 5, 2, 4)
    module(x).sum().backward()
    assert all(p.grad is not None for p in module.parameters())


def test_noise_encoder_has_four_stages_with_one_map_each():
    module = NoiseEncoder((64, 48, 32, 16), 4)
    assert len(module.stages) == 4
    features = module(torch.randn(2, 1, 64, 128), torch.tensor([0, 999]))
    assert [tuple(f.shape[1:]) for f in features] == [(64, 2, 4), (48, 4, 8), (32, 8, 16), (16, 16, 32)]
    assert len(NoiseEncoder((64, 48, 32, 16), 2)(torch.randn(1, 1, 64, 64), torch.tensor([7]))) == 2
