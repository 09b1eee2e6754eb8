"""What each part computes, against the thesis' equations."""

import math

import pytest
import torch
import torch.nn.functional as F

from lightning_avsp.layers.attention import EfficientCrossAttention, attention_heads
from lightning_avsp.layers.convolution import TimedResidualBlock
from lightning_avsp.papers.mubic.decoder import (
    ConditionalDenoising,
    DecoderFusion,
    StepNoiseEncoder,
    choose_steps,
    effective_share,
)
from lightning_avsp.papers.mubic.interaction import (
    AudioMatching,
    Fusion,
    GatedFusion,
    InteractionBlock,
    LocalContext,
    SeparateFFN,
    Skip,
    TemporalRefinement,
    Widths,
)

pytestmark = pytest.mark.usefixtures("double")

WIDTHS = Widths((8, 16, 24, 32), factors=(4, 2, 2, 1), noise=(6, 8, 12, 16), head_dim=8, audio=16, mel_bins=2)


def tokens(x):
    return x.flatten(2).transpose(1, 2)


def block(index=0, **options):
    return InteractionBlock(index, WIDTHS, Fusion(**options), uses_audio=True).eval()


def test_cross_attention_is_softmax_of_query_and_compressed_keys():
    layer = EfficientCrossAttention(8, 2, heads=1, query_channels=6)
    query, context = torch.randn(2, 5, 6), torch.randn(2, 8, 3, 4, 6)
    compressed = layer.compress(context)  # (2, 18, 8)
    assert compressed.shape == (2, 3 * 2 * 3, 8)
    scores = layer.query(query) @ layer.key(compressed).transpose(1, 2) / math.sqrt(8)
    expected = layer.out(scores.softmax(-1) @ layer.value(compressed))
    torch.testing.assert_close(layer(query, context), expected)


def test_values_can_come_from_elsewhere():
    layer = EfficientCrossAttention(8, 2, heads=1, values_apart=True)
    torch.nn.init.normal_(layer.compress_value.norm.bias)  # both compressions start alike
    query, context, values = torch.randn(2, 5, 8), torch.randn(2, 8, 3, 4, 6), torch.randn(2, 8, 3, 4, 6)
    scores = layer.query(query) @ layer.key(layer.compress(context)).transpose(1, 2) / math.sqrt(8)
    expected = layer.out(scores.softmax(-1) @ layer.value(layer.compress_value(values)))
    torch.testing.assert_close(layer(query, context, values), expected)


@pytest.mark.parametrize(
    ("channels", "head_dim", "heads"), [(96, 96, 1), (768, 96, 8), (832, 96, 8), (1024, 96, 8), (16, 96, 1)]
)
def test_heads_divide_the_width(channels, head_dim, heads):
    assert attention_heads(channels, head_dim) == heads


@pytest.mark.parametrize("axes", ["2d", "3d"])
def test_timed_block_scales_and_shifts_after_the_first_norm(axes):
    layer = TimedResidualBlock(3, 5, 4, stride=2, axes=axes).eval()
    x = torch.randn(2, 3, 8, 12) if axes == "2d" else torch.randn(2, 3, 4, 8, 12)
    time = torch.randn(2, 4)
    scale, shift = layer.time(time).chunk(2, dim=1)
    ones = (2, 5, *[1] * (x.dim() - 2))
    h = F.relu(layer.norm1(layer.conv1(x)) * (1 + scale.view(ones)) + shift.view(ones))
    expected = F.relu(layer.norm2(layer.conv2(h)) + layer.shortcut(x))
    out = layer(x, time)
    torch.testing.assert_close(out, expected)
    assert out.shape == (2, 5, 4, 6) if axes == "2d" else (2, 5, 4, 4, 6)


def test_refinement_attends_along_time_at_each_cell_alone():
    layer = TemporalRefinement(16, 9, heads=2)
    x = torch.randn(1, 16, 9, 2, 3)
    changed = x.clone()
    changed[..., 8, 0, 2] += 1.0
    difference = (layer(x) - layer(changed)).abs().sum(dim=1)[0]  # (9, 2, 3)
    assert (difference[:, 0, 2] > 1e-6).all()  # every time of that cell
    difference[:, 0, 2] = 0
    assert difference.max() < 1e-12  # no other cell


def test_refinement_is_post_norm():
    layer = TemporalRefinement(16, 9, heads=2)
    out = layer(torch.randn(2, 16, 9, 2, 2) * 5)
    torch.testing.assert_close(out.mean(1), torch.zeros(2, 9, 2, 2))


@pytest.mark.parametrize("index", range(4))
def test_nine_slices_of_7x12_become_eight_steps_of_each_scale(index):
    stride = 2 ** (3 - index)
    layer = AudioMatching(16, 8, stride)
    exact = layer.enlarge(layer.project(torch.randn(1, 16, 9, 7, 12)))
    assert exact.shape == (1, 8, 8, 7 * stride, 12 * stride)  # nothing is left to interpolate


def test_matching_reaches_other_grids():
    assert AudioMatching(16, 8, 2)(torch.randn(1, 16, 5, 3, 4), (8, 10, 6)).shape == (1, 8, 8, 10, 6)


def test_separate_ffn_follows_equation_3_25():
    layer = SeparateFFN(8, 2)
    x = torch.randn(2, 8, 3, 4, 5)
    first, second = layer.layers
    expected = layer.norm(second(first(tokens(x))) + tokens(x))
    torch.testing.assert_close(tokens(layer(x)), expected)
    assert isinstance(first[1], torch.nn.ReLU)


def test_local_context_halves_and_restores_channels():
    layer = LocalContext(8).eval()
    x = torch.randn(2, 8, 3, 4, 5)
    assert layer.conv(F.glu(x, dim=1)).shape == x.shape
    y = layer.batch_norm(layer.conv(F.glu(x, dim=1))) + x
    expected = layer.norm(layer.feed_forward(tokens(y)) + tokens(y))
    torch.testing.assert_close(tokens(layer(x)), expected)


def test_fusion_gate_follows_equations_3_38_and_3_39():
    a, b = torch.randn(2, 8, 3, 4, 5), torch.randn(2, 8, 3, 4, 5)
    for kind in ("mlp", "conv1"):
        gate = GatedFusion(8, kind)
        fused, alpha = gate(a, b)
        torch.testing.assert_close(alpha, gate.layers(torch.cat([a, b], dim=1)).sigmoid())
        torch.testing.assert_close(fused, alpha * a + (1 - alpha) * b)
    fused, alpha = GatedFusion(8, "concat")(a, b)
    assert alpha is None
    assert fused.shape == a.shape


def test_decoder_gate_follows_equations_3_44_to_3_46_or_line_26():
    fused, deeper = torch.randn(2, 8, 3, 4, 5), torch.randn(2, 8, 3, 4, 5)
    layer = DecoderFusion(8, "equations")
    a, b = layer.mix_fused(fused), layer.mix_deeper(deeper)
    gate = layer.layers(torch.cat([a, b], dim=1)).sigmoid()
    torch.testing.assert_close(layer(fused, deeper)[0], gate * a + (1 - gate) * b)
    layer = DecoderFusion(8, "algorithm")
    gate = layer.layers(fused + deeper).sigmoid()
    torch.testing.assert_close(layer(fused, deeper)[0], gate * fused + (1 - gate) * deeper)
    assert DecoderFusion(8, "concat")(fused, deeper)[1] is None


def test_the_deepest_stage_has_a_gate_under_algorithm_1_alone():
    fused = torch.randn(2, 32, 8, 2, 4)
    stage = ConditionalDenoising(3, WIDTHS, "equations", False).eval()
    out, found = stage(fused, None, None)
    assert found is None  # Equation 3.42: its context is the fused feature itself (X10)
    torch.testing.assert_close(out, stage.temporal(fused))
    stage = ConditionalDenoising(3, WIDTHS, "algorithm", False).eval()
    gate = stage.fusion.layers(fused).sigmoid()
    out, found = stage(fused, None, None)
    torch.testing.assert_close(found, gate)
    torch.testing.assert_close(out, stage.temporal(gate * fused))


def test_skip_adds_a_scalar_times_a_pointwise_convolution():
    skip = Skip(8, 4, Fusion())
    x = torch.randn(2, 8, 3, 8, 8)
    assert skip.beta.item() == 1.0
    torch.testing.assert_close(skip(x), skip.conv(x))
    with torch.no_grad():
        skip.beta.fill_(0.25)
    torch.testing.assert_close(skip(x), 0.25 * skip.conv(x))


def test_compressed_skip_is_constant_within_each_cell():
    out = Skip(8, 4, Fusion(skip_conv="compressed"))(torch.randn(2, 8, 3, 8, 8))
    assert out.shape == (2, 8, 3, 8, 8)
    torch.testing.assert_close(out[..., :4, :4], out[..., :1, :1].expand(-1, -1, -1, 4, 4))


def test_clamped_skip_comes_back_into_its_range():
    skip = Skip(8, 4, Fusion(skip_clamp=True)).train()
    with torch.no_grad():
        skip.beta.fill_(1.7)
    skip(torch.randn(1, 8, 1, 4, 4)).sum().backward()
    assert skip.beta.item() == 1.0
    assert skip.beta.grad.abs() > 0  # a clamp in the graph would leave none
    with torch.no_grad():
        skip.beta.fill_(-0.3)  # a last step of the optimiser may lead out again
    assert not skip.eval()(torch.randn(1, 8, 1, 4, 4)).abs().max() > 0
    assert skip.beta.item() == pytest.approx(-0.3)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_block_is_two_streams_gate_and_skip(bidirectional):
    mmi = block(bidirectional=bidirectional)
    f_v, sound = torch.randn(2, 8, 8, 16, 16), torch.randn(2, 16, 9, 2, 2)
    visual = mmi.visual_ffn(f_v) + mmi.visual_time
    audio = mmi.audio_ffn(mmi.match(sound, (8, 16, 16))) + mmi.audio_time

    def attend(layer, own, other):
        return own + layer(tokens(own), other).transpose(1, 2).unflatten(2, own.shape[2:])

    f_va = mmi.visual_context(attend(mmi.visual_attention, visual, audio))
    f_av = mmi.audio_context(attend(mmi.audio_attention, audio, visual)) if bidirectional else audio
    expected, alpha = mmi.gate(f_va, f_av)
    fused, shown = mmi(f_v, sound)
    torch.testing.assert_close(fused, expected + mmi.skip(f_v))
    torch.testing.assert_close(shown, alpha)


def test_unidirectional_block_has_no_attention_from_audio():
    names = {name.split(".")[0] for name, _ in block(bidirectional=False).named_parameters()}
    both = {name.split(".")[0] for name, _ in block().named_parameters()}
    assert both - names == {"audio_attention", "audio_context"}


def test_own_values_return_the_querying_modality():
    """With own values, another sound changes where attention looks, not what it brings (X4)."""
    mmi = block(value_from="own", attention_residual=False)
    attention = mmi.visual_attention
    own = torch.ones(1, 8, 8, 16, 16)  # the same everywhere: any weights bring back the same
    outs = [attention(tokens(own), torch.randn(1, 8, 8, 16, 16), own) for _ in range(2)]
    torch.testing.assert_close(*outs)


def test_noise_stages_halve_the_map():
    for axes, time in (("2d", 1), ("3d", 8)):
        encoder = StepNoiseEncoder((6, 8, 12, 16), 8, axes).eval()
        features = encoder(torch.randn(2, 1, 32, 64), torch.tensor([1, 999]), (16, 32))
        assert [tuple(f.shape) for f in features] == [
            (2, 6, time, 16, 32),
            (2, 8, time, 8, 16),
            (2, 12, time, 4, 8),
            (2, 16, time, 2, 4),
        ]


def test_noise_of_other_sizes_is_brought_to_twice_the_finest_features():
    encoder = StepNoiseEncoder((6, 8, 12, 16), 8).eval()
    t = torch.tensor([5])
    noisy = torch.randn(1, 1, 64, 128)
    resized = F.interpolate(noisy, size=(32, 64), mode="bilinear", antialias=True)
    torch.testing.assert_close(encoder(noisy, t, (16, 32)), encoder(resized, t, (16, 32)))


def test_stage_asks_with_noise_and_reads_context():
    stage = ConditionalDenoising(2, WIDTHS, "equations", denoises=True).eval()
    fused, deeper = torch.randn(2, 24, 8, 4, 8), torch.randn(2, 32, 8, 2, 4)
    noise = torch.randn(2, 12, 1, 4, 8)
    context, _ = stage.fusion(fused, stage.enlarge(deeper))
    attended = stage.attention(tokens(noise + stage.time), context)
    expected = stage.temporal(context + attended.transpose(1, 2).unflatten(2, context.shape[2:]))
    torch.testing.assert_close(stage(fused, deeper, noise)[0], expected)


def test_share_is_one_when_even_and_one_position_at_a_point():
    even = torch.ones(1, 3, 2, 4, 4)
    point = torch.zeros(1, 3, 2, 4, 4)
    point[..., 1, 2, 3] = 5.0
    # in float32 by design: a sum of 32 terms
    found = effective_share(torch.cat([even, point]))
    torch.testing.assert_close(found, torch.tensor([1.0, 1 / 32]).float(), rtol=0, atol=32 * 1.2e-7)


def test_adaptive_steps_follow_the_share_between_two_limits():
    point = torch.zeros(1, 1, 1, 1, 16)
    point[..., 0] = 1.0
    half = torch.zeros(1, 1, 1, 1, 16)
    half[..., :8] = 1.0
    found = torch.cat([point, half, torch.ones_like(half)])
    assert choose_steps(found).tolist() == [2, 5, 8]
    # norms leave much the same energy everywhere: what counts is what rises above it
    assert choose_steps(found + 9).tolist() == [2, 5, 8]
