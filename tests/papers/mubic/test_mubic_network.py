import pytest
import torch
from papers.mubic.mubic_rows import DENOISERS, SWITCHES
from papers.shared import assert_every_parameter_learns
from rounding import NETWORK, assert_close

from lightning_avsp.errors import InputError
from lightning_avsp.papers.mubic import Fusion, MUBiC

GATES = [f"gate_alpha_stride{stride}" for stride in (4, 8, 16, 32)]
DECODER_GATES = [f"gate_decoder_stride{stride}" for stride in (4, 8, 16)]
BETAS = [f"skip_beta_stride{stride}" for stride in (4, 8, 16, 32)]


@pytest.mark.parametrize("row", [*DENOISERS, *SWITCHES])
def test_every_row_trains_every_parameter(tiny, clip, row):
    """Forward, backward and a step."""
    network = tiny(**(DENOISERS | SWITCHES)[row]).train()
    noisy, t, video, audio = clip
    out = network(noisy, t, video, audio)
    assert out.shape == noisy.shape
    assert out.min() >= 0
    assert out.max() <= 1
    assert_every_parameter_learns(network, out)
    before = network.decoder.head.weight.clone()
    torch.optim.Adam([p for p in network.parameters() if p.requires_grad]).step()
    assert not torch.equal(before, network.decoder.head.weight)


@pytest.mark.parametrize(
    "options", [{}, {"modality": "v"}, {"fusion": Fusion(bidirectional=False), "decoder_gate": "concat"}]
)
def test_row_without_diffusion_decoder_trains_every_parameter(tiny_regression, clip, options):
    network = tiny_regression(map_size=(32, 64), **options).train()
    _, _, video, audio = clip
    out = network(video, audio)
    assert out.shape == (2, 1, 32, 64)
    assert 0 <= out.min() <= out.max() <= 1
    assert_every_parameter_learns(network, out)


def test_regression_gives_maps_of_the_frames_size_by_default(tiny_regression, clip):
    assert tiny_regression()(clip[2], clip[3]).shape == (2, 1, 64, 128)


def test_regression_and_denoiser_share_all_but_noise_and_attention(tiny, tiny_regression):
    denoiser = {name: p.shape for name, p in tiny().named_parameters()}
    regression = {name: p.shape for name, p in tiny_regression().named_parameters()}
    assert regression.items() <= denoiser.items()
    rest = denoiser.keys() - regression.keys()
    assert rest
    assert all(
        name.startswith("noise_encoder.") or ".attention." in name or name.endswith(".time") for name in rest
    )


def test_output_depends_on_noise_step_frames_and_audio(tiny, clip):
    network = tiny().eval()
    noisy, t, video, audio = clip
    with torch.no_grad():
        condition = network.encode(video, audio)
        base = network.denoise(noisy, t, condition)
        changed = {
            "noise": network.denoise(torch.randn_like(noisy), t, condition),
            "step": network.denoise(noisy, t + 50, condition),
            "sound": network(noisy, t, video, torch.randn_like(audio)),
            "frames": network(noisy, t, torch.randn_like(video), audio),
        }
        assert torch.equal(base, network.denoise(noisy, t, condition))
    for what, other in changed.items():
        # noise and step reach the map through the attention's queries alone: little before training
        assert (base - other).abs().mean() > 2e-5 * base.std(), what


def test_an_audio_visual_network_works_on_a_clip_without_audio(tiny, clip):
    network = tiny().eval()
    noisy, t, video, audio = clip
    with torch.no_grad():
        silent = network(noisy, t, video, None)
        heard = network(noisy, t, video, audio)
    assert network.encode(video).audio is None
    assert silent.shape == heard.shape
    assert (silent - heard).abs().max() > NETWORK


def test_visual_only_ignores_audio_and_reports_it(tiny, clip):
    network = tiny(modality="v").eval()
    noisy, t, video, audio = clip
    with torch.no_grad():
        assert torch.equal(network(noisy, t, video, audio), network(noisy, t, video))
    assert not network.uses_audio
    assert tiny().uses_audio
    assert tiny(audio_encoder="vggish").trunk.audio_encoder.frozen  # as DiffSal's, unless told otherwise
    assert not [name for name, _ in network.named_parameters() if "audio" in name or "gate" in name]


@pytest.mark.parametrize(
    ("frames", "slices", "size", "sound"),
    [(8, 9, (64, 64), (48, 80)), (32, 5, (96, 64), (32, 64)), (16, 12, (64, 96), (32, 64))],
)
@pytest.mark.parametrize("axes", ["2d", "3d"])
def test_other_lengths_and_sizes(tiny, frames, slices, size, sound, axes):
    network = tiny(noise_axes=axes, fusion=Fusion(sound_product=True)).eval()
    with torch.no_grad():
        out = network(
            torch.randn(1, 1, *size),
            torch.tensor([5]),
            torch.randn(1, 3, frames, *size),
            torch.randn(1, 1, slices, *sound),
        )
    assert out.shape == (1, 1, *size)


def test_other_video_encoders_fit():
    with torch.device("meta"):
        for name in ("s3d", "r3d_18", "swin3d_t"):
            network = MUBiC(video_encoder=name)
            out = network(
                torch.empty(1, 1, 32, 32),
                torch.empty(1, dtype=torch.int64),
                torch.empty(1, 3, 16, 64, 64),
                torch.empty(1, 1, 9, 112, 192),
            )
            assert out.shape == (1, 1, 32, 32)


def test_explanation_shows_gates_and_scalars(tiny, tiny_regression, clip):
    _, _, video, audio = clip
    for network in (tiny().eval(), tiny_regression().eval()):
        shown = {item.name: item for item in network.explain(video, audio)}
        assert set(shown) == {
            *GATES,
            *DECODER_GATES,
            "gate_alpha_means",
            "gate_decoder_means",
            "skip_beta",
        }
        assert shown["gate_alpha_stride8"].values.shape == (2, 8, 8, 16)
        assert shown["gate_decoder_stride16"].values.shape == (2, 8, 4, 8)
        means = shown["gate_alpha_means"]
        assert means.labels == ("stride 4", "stride 8", "stride 16", "stride 32")
        # a mean of 32,768 values in (0, 1), of channels or of positions first: pairwise sums of 15 levels
        assert_close(means.values[:, 1], shown["gate_alpha_stride8"].values.mean((1, 2, 3)), operations=64)
        assert shown["skip_beta"].values.tolist() == [[1.0] * 4] * 2
        for name in (*GATES, *DECODER_GATES):
            assert 0 < shown[name].values.min() < shown[name].values.max() < 1


def test_explanation_leaves_out_absent_parts(tiny, clip):
    _, _, video, audio = clip
    network = tiny(fusion=Fusion(gate="concat", skip=False), decoder_gate="concat").eval()
    assert network.explain(video, audio) == []
    names = {item.name for item in tiny(modality="v").eval().explain(video)}
    assert names == {*DECODER_GATES, "gate_decoder_means", "skip_beta"}


def test_diagnostics_name_the_gates_of_the_last_pass(tiny, clip):
    network = tiny()
    network(*clip)
    levels = network.diagnostics()
    assert set(levels) == {*GATES, *DECODER_GATES, *BETAS}
    assert all(level.ndim == 0 and not level.requires_grad and 0 < level <= 1 for level in levels.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modality": "v", "audio_weights": "sound.pth"}, "no audio encoder"),
        ({"modality": "v", "fusion": Fusion(sound_product=True)}, "sound_product"),
        ({"compression": (8, 4, 0, 1)}, "at least 1"),
        ({"video_weights": "kinetics400"}, "no published weights"),
        ({"audio_weights": "absent.pth"}, "no file at"),
    ],
    ids=str,
)
def test_options_that_do_not_go_together_are_refused(tiny, tiny_regression, options, message):
    for build in (tiny, tiny_regression):
        with pytest.raises(InputError, match=message):
            build(**options)


def test_inputs_that_cannot_be_used_are_refused(tiny, clip):
    _, _, video, audio = clip
    network = tiny()
    with pytest.raises(InputError, match="without video"):
        network.encode(None, audio)
    with pytest.raises(InputError, match="no text"):
        network.encode(video, audio, torch.zeros(2, 1, 8))
    with pytest.raises(InputError, match="60x128"):
        network.encode(video[..., :60, :], audio)
    with pytest.raises(InputError, match="1 slice"):
        network.encode(video, audio[:, :, :1])
