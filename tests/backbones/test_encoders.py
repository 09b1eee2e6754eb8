import pytest
import torch
from torchvision.models.video import mvit_v2_s

from lightning_avsp.backbones.mvit import MViTv2Small, TinyMViT
from lightning_avsp.backbones.registry import VIDEO_ENCODERS, build_audio_encoder, build_video_encoder
from lightning_avsp.errors import InputError

# name: (parameters in millions, time steps finest to deepest at 16 frames)
FULL_SIZE = {
    "mvitv2_s": (34.27, (8, 8, 8, 8)),
    "s3d": (7.91, (8, 8, 4, 2)),
    "r3d_18": (33.17, (16, 8, 4, 2)),
    "slow_r50": (31.63, (16, 16, 16, 16)),
    "swin3d_t": (27.85, (8, 8, 8, 8)),
}


@pytest.mark.full_size
@pytest.mark.parametrize("name", FULL_SIZE)
def test_full_size_encoder_has_declared_channels_strides_and_size(name):
    millions, steps = FULL_SIZE[name]
    with torch.device("meta"):
        encoder, report = build_video_encoder(name)
        features = encoder(torch.empty(1, 3, 16, 224, 384))
    assert round(sum(p.numel() for p in encoder.parameters()) / 1e6, 2) == millions
    assert encoder.strides == (32, 16, 8, 4)
    for feature, channels, stride, length in zip(
        features, encoder.channels, encoder.strides, steps[::-1], strict=True
    ):
        assert feature.shape == (1, channels, length, 224 // stride, 384 // stride)
    assert encoder.weight_source.url.startswith("https://")
    assert encoder.weight_source.licence
    assert str(report) == f"video encoder ({name}): random"


def test_tiny_encoder_shapes_and_size():
    encoder = TinyMViT()
    assert sum(p.numel() for p in encoder.parameters()) < 1e6
    features = encoder(torch.randn(2, 3, 16, 64, 128))
    sizes = [(8, 2, 4), (8, 4, 8), (8, 8, 16), (8, 16, 32)]
    assert [f.shape for f in features] == [(2, c, *s) for c, s in zip(encoder.channels, sizes, strict=True)]
    square = encoder(torch.randn(1, 3, 8, 96, 96))
    assert [f.shape[2:] for f in square] == [(4, 96 // s, 96 // s) for s in encoder.strides]


@pytest.mark.parametrize("name", VIDEO_ENCODERS)
def test_fewer_scales_are_the_deepest_ones(name):
    scales = 2
    with torch.device("meta"):
        every = build_video_encoder(name)[0]
        fewer = build_video_encoder(name, scales)[0]
        video = torch.empty(1, 3, 16, 64, 128)
        shapes = [f.shape for f in fewer(video)]
        assert shapes == [f.shape for f in every(video)][:scales]
    assert fewer.channels == every.channels[:scales]
    assert fewer.strides == every.strides[:scales]


CLASSIFIERS = {
    "mvitv2_s": "head.1.weight",
    "s3d": "classifier.1.weight",
    "r3d_18": "fc.weight",
    "slow_r50": "blocks.5.proj.weight",
    "swin3d_t": "head.weight",
}


@pytest.mark.parametrize("name", [name for name in VIDEO_ENCODERS if name != "tiny"])
def test_weights_round_trip_through_a_file_and_the_classifier_is_left_out(name, tmp_path):
    torch.manual_seed(1)
    first, _ = build_video_encoder(name, num_scales=1)
    trunk = getattr(first, "trunk", first)
    state = {f"module.{key}": value for key, value in trunk.state_dict().items()}
    state[f"module.{CLASSIFIERS[name]}"] = torch.zeros(400, 8)
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": state}, path)
    second, report = build_video_encoder(name, num_scales=1, weights=str(path))
    loaded = getattr(second, "trunk", second).state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in trunk.state_dict().items())
    assert report.loaded == len(state) - 1
    assert report.dropped == (CLASSIFIERS[name],)
    assert not report.resized
    assert str(path) in str(report)


@pytest.mark.full_size
def test_published_mvit_fits_and_its_position_tables_are_interpolated():
    torch.manual_seed(0)
    published = mvit_v2_s(weights=None).state_dict()  # made for 224 x 224
    encoder = MViTv2Small()
    report = encoder.load_state(dict(published), "mvit_v2_s")
    # published for 224 rows, which the frames have too: height tables come as they are
    assert len(report.resized) == 16
    assert all(name.endswith("rel_pos_w") for name in report.resized)
    assert set(report.dropped) == {"norm.weight", "norm.bias", "head.1.weight", "head.1.bias"}
    loaded = encoder.trunk.state_dict()
    for name, value in loaded.items():
        if name in report.resized:
            theirs = published[name]
            # ends of a linear interpolation without aligned corners stay the ends: shares of one and the same value
            torch.testing.assert_close(value[[0, -1]], theirs[[0, -1]], atol=0, rtol=4 * 1.2e-7)
            assert value.shape == (2 * round((theirs.shape[0] + 1) / 2 * 384 / 224) - 1, 96)
        else:
            assert torch.equal(value, published[name])


@pytest.mark.usefixtures("double")
def test_published_mvit_gives_the_published_features_at_its_own_size():
    """Our taps, before their norms, see what torchvision's own forward pass computes."""
    torch.manual_seed(0)
    theirs = mvit_v2_s(weights=None).eval()
    ours = MViTv2Small(frame_size=(224, 224)).eval()
    ours.load_state(dict(theirs.state_dict()), "mvit_v2_s")
    seen = {}
    theirs.blocks[2].register_forward_hook(lambda _m, _i, out: seen.update(x=out[0]))
    handle = ours.trunk.blocks[2].register_forward_hook(lambda _m, _i, out: seen.update(y=out[0]))
    video = torch.randn(1, 3, 4, 224, 224)
    del theirs.blocks[3:]
    del ours.trunk.blocks[3:]
    theirs.pos_encoding.temporal_size = 2  # its forward pass takes the size from here; ours from the frames
    theirs.norm = theirs.head = torch.nn.Identity()
    with torch.no_grad():
        theirs(video)
        ours(video)
    handle.remove()
    torch.testing.assert_close(seen["y"], seen["x"])


def test_tiny_audio_encoder_keeps_the_mel_axis():
    encoder, _ = build_audio_encoder("tiny")
    low, high = torch.zeros(1, 1, 32, 64), torch.zeros(1, 1, 32, 64)
    low[..., 4:8] = 1
    high[..., 52:56] = 1
    out = encoder(torch.cat([low, high]))
    assert out.shape == (2, encoder.out_channels, 2, 4)
    energy = (out - encoder(torch.zeros(1, 1, 32, 64))).abs().mean(dim=(1, 2))  # (2, mel)
    assert energy[0].argmax() < energy[1].argmax()


def test_unknown_names_and_absent_weights_are_refused():
    with pytest.raises(InputError, match=r"resnet.*mvitv2_s"):
        build_video_encoder("resnet")
    with pytest.raises(InputError, match=r"wav2vec.*vggish"):
        build_audio_encoder("wav2vec")
    with pytest.raises(InputError, match="no published weights"):
        build_video_encoder("tiny", weights="kinetics400")
