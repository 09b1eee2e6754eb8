import math

import pytest
import torch

from lightning_avsp.layers.attention import SpatialCompression, TransformerLayer, multi_head_attention
from lightning_avsp.layers.convolution import Downsample, Upsample
from lightning_avsp.layers.embeddings import TimeEmbedding, sinusoidal_embedding
from lightning_avsp.layers.normalization import ChannelNorm, group_norm
from lightning_avsp.layers.resampling import resample_time, resize_frames

pytestmark = pytest.mark.usefixtures("double")


def test_sinusoids_follow_the_formula():
    t = torch.tensor([0, 3, 999])
    embedding = sinusoidal_embedding(t, 96)
    for k in (0, 7, 47):
        frequency = math.exp(-k * math.log(10_000) / 47)
        for row, step in enumerate((0, 3, 999)):
            # float32 by design: an angle of up to 999 whose frequency is off by a few roundings of 6e-8
            assert embedding[row, k].item() == pytest.approx(math.sin(step * frequency), abs=5e-4)
            assert embedding[row, 48 + k].item() == pytest.approx(math.cos(step * frequency), abs=5e-4)


def test_neighbouring_steps_differ_even_in_bfloat16():
    network = TimeEmbedding(24).to(torch.bfloat16)
    out = network(torch.tensor([998, 999]))
    assert out.shape == (2, 96)
    assert not torch.equal(out[0], out[1])


def test_attention_matches_the_formula():
    q, k, v = torch.randn(2, 5, 8), torch.randn(2, 3, 8), torch.randn(2, 3, 8)
    out = multi_head_attention(q, k, v, heads=2)
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        scores = q[..., part] @ k[..., part].transpose(1, 2) / 2  # sqrt(4)
        torch.testing.assert_close(out[..., part], scores.softmax(-1) @ v[..., part])


def test_a_transformer_layer_attends_and_feeds_forward_each_behind_its_own_norm():
    layer = TransformerLayer(16, 2, 4, 32)
    for norm in (layer.norm1, layer.norm2):
        torch.nn.init.normal_(norm.weight)
    x = torch.randn(2, 6, 16)
    query, key, value = layer.qkv(layer.norm1(x)).chunk(3, dim=-1)
    attended = x + layer.out(multi_head_attention(query, key, value, 2))
    torch.testing.assert_close(layer(x), attended + layer.feed_forward(layer.norm2(attended)))


def test_compression_starts_as_the_mean_of_each_cell():
    layer = SpatialCompression(8, 2)
    x = torch.randn(2, 8, 3, 4, 6)
    expected = layer.norm(torch.nn.functional.avg_pool3d(x, (1, 2, 2)).flatten(2).transpose(1, 2))
    torch.testing.assert_close(layer(x), expected)
    assert SpatialCompression(8, 1)(x).shape == (2, 3 * 4 * 6, 8)


def test_channel_norm_normalises_channels_only():
    x = torch.randn(2, 16, 3, 4, 5) * 7 + 3
    out = ChannelNorm(16)(x)
    torch.testing.assert_close(out.mean(1), torch.zeros(2, 3, 4, 5))
    # the norm's epsilon of 1e-5 beside a variance of about 49
    torch.testing.assert_close(out.var(1, unbiased=False), torch.ones(2, 3, 4, 5), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("channels", "groups"), [(96, 32), (768, 32), (64, 16), (48, 16), (24, 8), (16, 4)])
def test_group_norm_keeps_channels_together(channels, groups):
    assert group_norm(channels).num_groups == groups


@pytest.mark.parametrize("stride", [2, 4])
def test_downsample_divides_exactly(stride):
    layer, x = Downsample(1, 1, stride), torch.randn(1, 1, 32, 64)
    with torch.no_grad():
        layer.conv.weight.zero_()[..., 0, 0] = 1
        layer.conv.bias.zero_()
    # windows start at the first pixel: padding comes last
    assert torch.equal(layer(x), x[..., ::stride, ::stride])


def test_upsample_works_frame_by_frame():
    layer = Upsample(16, 32).eval()
    x = torch.randn(1, 16, 3, 2, 4)
    out = layer(x, (4, 8))
    assert out.shape == (1, 32, 3, 4, 8)
    torch.testing.assert_close(out[:, :, 1:2], layer(x[:, :, 1:2], (4, 8)))


def test_resample_time_averages_whole_groups_and_interpolates_otherwise():
    x = torch.arange(8.0).view(1, 1, 8, 1, 1).expand(1, 2, 8, 1, 1)
    assert resample_time(x, 8) is x
    assert resample_time(x, 4)[0, 0].flatten().tolist() == [0.5, 2.5, 4.5, 6.5]
    longer = resample_time(x, 16)[0, 1].flatten()
    assert longer.shape == (16,)
    assert (longer.diff() >= 0).all()
    assert longer[[0, -1]].tolist() == [0, 7]


def test_resize_frames_copies_the_nearest():
    x = torch.randn(1, 2, 3, 2, 4)
    out = resize_frames(x, (4, 8))
    assert torch.equal(out, x.repeat_interleave(2, -1).repeat_interleave(2, -2))
