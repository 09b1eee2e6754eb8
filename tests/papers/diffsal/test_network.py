import pytest
import torch
from papers.shared import assert_every_parameter_learns
from rounding import NETWORK

from lightning_avsp.errors import InputError

PAPER_OPTIONS = [
    {},
    {"attention": "standard"},
    {"attention": "convolution"},
    {"interaction": "bilinear"},
    {"interaction": "addition"},
    {"interaction": "concatenation"},
    {"interaction": "none"},
    {"interaction": "mim_residual"},
    {"attention": "convolution", "interaction": "none"},
    {"attention": "convolution", "modality": "v"},
    {"modality": "v"},
    {"modality": "a"},
    {"modality": "a", "interaction": "mim_residual"},
    {"num_stages": 1},
    {"num_stages": 2},
    {"num_stages": 3},
    {"channels": (96, 48, 24, 16), "head_channels": 24},
    {"video_encoder": "s3d", "channels": (64, 48, 32, 24), "head_channels": 24},
    {"video_encoder": "r3d_18", "channels": (64, 48, 32, 24), "head_channels": 24},
    {"audio_encoder": "vggish", "freeze_audio": False},
    {"freeze_video": True, "freeze_audio": True},
]


@pytest.mark.parametrize("options", PAPER_OPTIONS, ids=str)
def test_every_switch_trains_every_parameter(tiny, clip, options):
    network = tiny(**options).train()
    # full-size encoders are slow: one clip is enough for them
    noisy, t, video, audio = (x if options.get("video_encoder", "tiny") == "tiny" else x[:1] for x in clip)
    out = network(
        noisy, t, None if network.modality == "a" else video, None if network.modality == "v" else audio
    )
    assert out.shape == noisy.shape
    assert 0 <= out.min() <= out.max() <= 1
    assert_every_parameter_learns(network, out)


@pytest.mark.parametrize(
    "options",
    [{}, {"modality": "v"}, {"interaction": "mim_residual"}, {"attention": "standard"}, {"num_stages": 2}],
    ids=str,
)
def test_released_variant_builds_in_tiny(tiny, clip, options):
    network = tiny(variant="released", **options)
    noisy, t, video, audio = clip
    out = network(noisy, t, video, None if network.modality == "v" else audio)
    assert out.shape == (2, 1, 64, 128)
    out.sum().backward()
    assert not [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]


def test_paper_output_depends_on_noise_and_step_with_and_without_audio(tiny, clip):
    network = tiny().eval()
    noisy, t, video, audio = clip
    with torch.no_grad():
        for sound in (audio, None):
            condition = network.encode(video, sound)
            base = network.denoise(noisy, t, condition)
            other_noise = network.denoise(torch.randn_like(noisy), t, condition)
            other_step = network.denoise(noisy, t + 50, condition)
            assert (base - other_noise).abs().mean() > 1e-4 * base.std()
            assert (base - other_step).abs().mean() > 1e-5 * base.std()
            assert torch.equal(base, network.denoise(noisy, t, condition))


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_explanation_shows_where_mim_finds_agreement(tiny, clip, variant):
    """Figure 7: a map of mean 1 for each stage, which depends on the audio."""
    network = tiny(variant=variant).eval()
    _, _, video, audio = clip
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    shown = network.explain(video, audio)
    assert [one.name for one in shown] == [f"mim_stage{index}" for index in (1, 2, 3, 4)]
    assert shown[-1].values.shape == (2, 1, 16, 32)
    for one, other in zip(shown, network.explain(video, audio.flip(0)), strict=True):
        # the mean of a softmax over 512 cells at most, and over channels
        assert torch.allclose(one.values.mean((1, 2, 3)), torch.ones(2), atol=1e-4)
        assert not torch.equal(one.values, other.values)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert network.explain(video, None) == tiny(modality="v").explain(video, audio) == []


def test_one_network_takes_either_modality_alone(tiny, clip):
    network = tiny().eval()
    noisy, t, video, audio = clip
    with torch.no_grad():
        outputs = [network(noisy, t, *pair) for pair in ((video, audio), (video, None), (None, audio))]
    assert all(out.shape == noisy.shape for out in outputs)
    assert min((outputs[0] - other).abs().max() for other in outputs[1:]) > NETWORK


def test_inputs_of_unused_modalities_are_ignored(tiny, clip):
    noisy, t, video, audio = clip
    with torch.no_grad():
        sees = tiny(modality="v").eval()
        assert torch.equal(sees(noisy, t, video, audio), sees(noisy, t, video))
        deaf = tiny(interaction="none").eval()
        assert torch.equal(deaf(noisy, t, video, audio), deaf(noisy, t, video))
        hears = tiny(modality="a").eval()
        assert torch.equal(hears(noisy, t, video, audio), hears(noisy, t, None, audio))


@pytest.mark.parametrize(
    ("frames", "slices", "size"), [(8, 9, (64, 64)), (32, 5, (96, 64)), (16, 12, (64, 96))]
)
def test_other_lengths_and_sizes(tiny, frames, slices, size):
    network = tiny(interaction="mim_residual").eval()
    with torch.no_grad():
        out = network(
            torch.randn(1, 1, *size),
            torch.tensor([5]),
            torch.randn(1, 3, frames, *size),
            torch.randn(1, 1, slices, 48, 80),
        )
    assert out.shape == (1, 1, *size)


def test_vggish_is_frozen_by_default(tiny):
    assert tiny(audio_encoder="vggish").core.audio_encoder.frozen
    assert not tiny(audio_encoder="vggish", freeze_audio=False).core.audio_encoder.frozen
    assert not tiny().core.audio_encoder.frozen


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "released", "attention": "convolution"}, "released has no attention=convolution"),
        ({"variant": "released", "interaction": "bilinear"}, "interaction=bilinear"),
        ({"variant": "released", "modality": "a"}, "modality=a"),
        ({"variant": "released", "video_encoder": "s3d"}, "video_encoder=s3d"),
        ({"variant": "released", "channels": (64, 48, 32, 16)}, "channels"),
        ({"modality": "a", "interaction": "none"}, "leaves no input"),
        ({"modality": "a", "video_weights": "kinetics400"}, "no video encoder"),
        ({"modality": "v", "audio_weights": "sound.pth"}, "no audio encoder"),
        ({"num_stages": 5}, "num_stages=5"),
        ({"channels": (64, 50, 32, 16)}, "multiple of 8"),
        ({"video_weights": "kinetics400"}, "no published weights"),
        ({"audio_weights": "absent.pth"}, "no file at"),
    ],
    ids=str,
)
def test_options_that_do_not_go_together_are_refused(tiny, options, message):
    with pytest.raises(InputError, match=message):
        tiny(**options)


def test_inputs_that_cannot_be_used_are_refused(tiny, clip):
    noisy, t, video, audio = clip
    network = tiny()
    with pytest.raises(InputError, match="neither"):
        network.encode(None, None)
    with pytest.raises(InputError, match=r"works on video, but got audio"):
        tiny(modality="v").encode(None, audio)
    with pytest.raises(InputError, match="no text"):
        network.encode(video, audio, torch.zeros(2, 1, 8))
    with pytest.raises(InputError, match="60x128"):
        network.encode(video[..., :60, :], audio)
    with pytest.raises(InputError, match="size of the frames"):
        network.denoise(noisy[..., :64], t, network.encode(video, audio))
