"""What reaches the output, what may be missing, what is refused, and what the network shows."""

import pytest
import torch
from rounding import assert_close

from lightning_avsp.errors import InputError
from lightning_avsp.papers.tavdiff import TAVDiff
from lightning_avsp.papers.tavdiff.condition import Tokens, condition_tokens
from lightning_avsp.papers.tavdiff.saliency_dit import SaliencyDiTBlock

INPUTS = ("video", "audio", "text")


def opened(network: TAVDiff) -> TAVDiff:
    """The same network with every gate open, so that nothing hides behind a start at zero."""
    torch.manual_seed(1)
    for name, parameter in network.named_parameters():
        if "modulation" in name or name.startswith("denoiser.out"):
            torch.nn.init.normal_(parameter, std=0.2)
    return network.eval()


def predict(network, clip, **changed):
    noisy, t, video, audio, text, _ = clip
    given = {"video": video, "audio": audio, "text": text, **changed}
    with torch.no_grad():
        return network.denoise(noisy, t, network.encode(**given))


@pytest.mark.parametrize("modalities", ["v", "av", "tv", "ta", "tav"])
def test_a_network_reads_its_modalities_and_no_other(tiny, clip, modalities):
    network = opened(tiny(modalities=modalities))
    base = predict(network, clip)
    for name in INPUTS:
        other = predict(network, clip, **{name: torch.roll(clip[2 + INPUTS.index(name)], 1, 0)})
        assert torch.equal(base, other) == (name[0] not in modalities)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(
    ("modalities", "product"), [("av", True), ("tv", True), ("ta", False), ("tav", False), ("tav", True)]
)
def test_inputs_missing_at_test_time_are_left_out(tiny, clip, modalities, product):
    options = {
        "audio_product": product and "a" in modalities and "v" in modalities,
        "text_product": product and "t" in modalities and "v" in modalities,
    }
    network = opened(tiny(modalities=modalities, **options))
    base = predict(network, clip)
    for name in INPUTS:
        if name[0] not in modalities or (modalities == "tv" and name == "video"):
            continue
        out = predict(network, clip, **{name: None})
        assert out.isfinite().all()
        assert not torch.equal(out, base)
    if "t" in modalities:  # a clip without a caption is the same as no captions at all
        silent = predict(network, clip, text=torch.zeros_like(clip[4]))
        assert silent.isfinite().all()
        if "v" in modalities:
            # SITR weighs by float32 maps, without a caption by ones
            torch.testing.assert_close(silent, predict(network, clip, text=None), rtol=0, atol=1e-6)
            torch.testing.assert_close(base[2], silent[2], rtol=0, atol=1e-6)


def test_nothing_to_go_by_is_refused(tiny, clip):
    _, _, video, audio, text, _ = clip
    with pytest.raises(InputError, match="can do nothing with text alone"):
        tiny().eval().encode(None, None, text)
    with pytest.raises(InputError, match="can do nothing with audio alone"):
        tiny(modalities="tv").eval().encode(None, audio, None)
    with pytest.raises(InputError, match=r"reads text, which the training clips lack: give captions"):
        tiny().train().encode(video, audio, None)


def test_wrong_sizes_are_refused(tiny, clip):
    noisy, t, video, audio, text, _ = clip
    network = tiny().eval()
    with pytest.raises(InputError, match="text_width=16"):
        network.encode(video, audio, text[..., :16])
    with pytest.raises(InputError, match="multiples of 32"):
        network.encode(video[..., :48, :], audio, text)
    with pytest.raises(InputError, match="patches of 4"):
        network.denoise(noisy[..., :30, :], t, network.encode(video, audio, text))
    unet = tiny(denoiser="unet").eval()
    with pytest.raises(InputError, match="multiples of 4"):
        unet.denoise(noisy[..., :30, :], t, unet.encode(video, audio, text))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"modalities": "vt"}, "choose one of v, av, tv, ta, tav"),
        ({"pooled_condition": "sum"}, "set denoiser=dit or decoupled=false"),
        ({"denoiser": "dit", "decoupled": False}, "set denoiser=saliency_dit"),
        ({"denoiser": "unet", "residual": False}, "denoiser=unet has no"),
        ({"modalities": "tv", "audio_product": True}, "modalities=av or tav"),
        ({"modalities": "ta", "text_product": True}, "modalities=tv or tav"),
        (
            {"video_encoder": "r3d_18", "audio_product": True},
            "R3D18 does not expose; choose video_encoder=s3d",
        ),
        ({"modalities": "ta", "video_weights": "kinetics400"}, "no encoder for video_weights"),
        ({"modalities": "tv", "audio_weights": "soundnet8.pth"}, "no encoder for audio_weights"),
    ],
    ids=str,
)
def test_options_that_do_not_go_together_are_refused(tiny, options, match):
    with pytest.raises(InputError, match=match):
        tiny(**options)


@pytest.mark.usefixtures("double")
def test_noise_step_and_place_in_the_batch(tiny, clip):
    network = opened(tiny())
    noisy, t, video, audio, text, _ = clip
    with torch.no_grad():
        condition = network.encode(video, audio, text)
        base = network.denoise(noisy, t, condition)
        assert not torch.allclose(base, network.denoise(torch.randn_like(noisy), t, condition), atol=1e-4)
        assert not torch.allclose(base, network.denoise(noisy, t + 50, condition), atol=1e-5)
        repeated = condition.repeat_interleave(2)
        twice = network.denoise(noisy.repeat_interleave(2, 0), t.repeat_interleave(2), repeated)
        torch.testing.assert_close(twice[1::2], base)


@pytest.mark.usefixtures("double")
def test_longer_padding_changes_nothing(tiny, clip):
    """The mask hides rows of zeros from cross-attention, pooling and choice."""
    for options in (
        {},
        {"modalities": "ta"},
        {"modalities": "ta", "denoiser": "dit"},
        {"text_product": True},
        {"text_fusion": "concat"},
    ):
        network = opened(tiny(**options))
        padded = torch.nn.functional.pad(clip[4], (0, 0, 0, 20))
        found, expected = predict(network, clip, text=padded), predict(network, clip)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)  # SITR's maps are float32


@pytest.mark.usefixtures("double")
def test_a_block_follows_equations_3_to_7():
    tokens = torch.randn(2, 5, 16)
    time = torch.randn(2, 16)
    source = Tokens(torch.randn(2, 7, 16), None)
    for residual in (True, False):
        block = SaliencyDiTBlock(16, 2, residual=residual)
        start = block(tokens, time, source)
        if residual:  # gates start at 0: only the cross-attention speaks
            met = block.cross_attention(block.cross_norm_in(tokens), source.values)
            torch.testing.assert_close(start, tokens + block.cross_norm_out(met))
        else:
            assert start.abs().max() > 0.01  # as printed, gates of 0 would leave nothing (X4)
        torch.nn.init.normal_(block.modulation.linear.weight, std=0.3)
        s1, b1, g1, s2, b2, g2 = block.modulation(time)
        keep = float(residual)
        n1 = (1 + s1) * torch.nn.functional.layer_norm(tokens, (16,), eps=1e-6) + b1
        n2 = keep * tokens + g1 * block.self_attention(n1)
        met = block.cross_attention(block.cross_norm_in(n2), source.values)
        n3 = keep * n2 + block.cross_norm_out(met)
        n4 = (1 + s2) * torch.nn.functional.layer_norm(n3, (16,), eps=1e-6) + b2
        torch.testing.assert_close(block(tokens, time, source), keep * n3 + g2 * block.feed_forward(n4))


def test_the_ground_truth_is_read_in_training_alone(tiny, clip):
    network = opened(tiny())
    noisy, t, video, audio, text, saliency = clip
    assert network.reads_target
    with torch.no_grad():
        plain = network(noisy, t, video, audio, text)
        assert torch.equal(network(noisy, t, video, audio, text, saliency), plain)
    for options in ({"modalities": "av"}, {"text_fusion": "concat"}, {"sitr_train_select": "infer_rule"}):
        assert not tiny(**options).reads_target
    with pytest.raises(InputError, match="ground truth"):
        network.train()(noisy, t, video, audio, text)


def test_explanation_shows_both_choices_and_their_agreement(tiny, clip):
    network = opened(tiny())
    _, _, video, audio, text, saliency = clip
    shown = {e.name: e for e in network.explain(video, audio, text, saliency)}
    words = [name for name in shown if name.startswith("sitr_token") and not name.endswith("truth")]
    products = torch.stack([shown[f"{name}_truth"].values.mean((1, 2, 3)) for name in words], dim=1)
    assert [shown[name].token for name in words] == [1, 2, 3, 4]
    assert torch.equal(shown["sitr_choice"].values[:2, 1], 1 + products[:2].argmax(1).float())  # it chooses
    assert words == [f"sitr_token{row:02d}" for row in (1, 2, 3, 4)]  # the longer caption has four words
    grid = shown["sitr_chosen"].values.shape
    assert grid == (3, 4, 8, 8)  # 64x64 frames at stride 8, 16 of them at stride 4
    # a softmax over 256 positions
    assert_close(shown["sitr_token01"].values.mean((1, 2, 3))[:2], torch.ones(2), operations=256)
    assert not shown["sitr_token03"].values[0].any()  # the shorter caption has no third word
    choice = shown["sitr_choice"]
    assert len(choice.labels) == choice.values.shape[1] == 3
    by_rule, by_truth, agree = choice.values.unbind(1)
    assert agree.isnan().tolist() == [False, False, True]  # the third clip has no caption
    assert torch.equal(agree[:2], (by_rule == by_truth)[:2].float())
    for clip_index in (0, 1):
        row = int(choice.values[clip_index, 0])
        word = shown[f"sitr_token{row:02d}"].values[clip_index]
        assert torch.equal(shown["sitr_chosen"].values[clip_index], word)
    without = [e.name for e in network.explain(video, audio, text)]
    assert "sitr_chosen" in without
    assert "sitr_chosen_by_truth" not in without
    assert tiny(modalities="av").explain(video, audio, text) == []


@pytest.mark.parametrize("modalities", ["av", "tv", "tav"])
def test_pretraining_of_the_visual_branch_fits_every_network_that_sees(tiny, modalities):
    """X18: what DHF1K trains has the same names everywhere, and only new parts stay fresh."""
    pretrained = tiny(modalities="v").state_dict()
    found = tiny(modalities=modalities).load_state_dict(pretrained, strict=False)
    assert not found.unexpected_keys
    fresh = {key.split(".")[1] for key in found.missing_keys}
    parts = {"a": {"audio_encoder", "sound", "kind"}, "t": {"fusion"}}
    assert fresh == set().union(*(parts.get(letter, set()) for letter in modalities))


def test_encoders_learn_slower_unless_tiny_or_frozen(tiny):
    assert tiny().lr_scales == {}
    scaled = tiny(encoder_lr_scale=0.1)
    assert set(scaled.lr_scales) == {"condition.video_encoder.", "condition.audio_encoder."}
    names = [name for name, _ in scaled.named_parameters()]
    assert all(any(name.startswith(prefix) for name in names) for prefix in scaled.lr_scales)
    assert set(tiny(encoder_lr_scale=0.1, freeze_audio=True).lr_scales) == {"condition.video_encoder."}
    with torch.device("meta"):
        assert TAVDiff(modalities="ta").lr_scales == {"condition.audio_encoder.": 0.1}
    assert not tiny(modalities="tv").uses_audio
    assert tiny().audio_form == "waveform"


def test_a_condition_joins_its_tokens_in_order(tiny, clip):
    """A condition keeps video, sound and text apart, and joins them in that order."""
    network = tiny().eval()
    _, _, video, audio, text, _ = clip
    condition = network.encode(video, audio, text)
    joined = condition_tokens(condition)
    assert joined.mask is None
    cells = condition.video[0].flatten(2).shape[-1]
    assert torch.equal(joined.values[:, cells:], condition.audio)
    caption = tiny(modalities="ta").eval().encode(None, audio, text)
    masked = condition_tokens(caption)
    sounds = caption.audio.shape[1]
    assert masked.mask[:, :sounds].all()
    # the third has a learned token for no caption
    assert masked.mask[:, sounds:].sum(1).tolist() == [4, 6, 1]
    # means of 33 tokens
    assert_close(masked.mean()[2], masked.values[2, : sounds + 1].mean(0), operations=40)


def test_the_tiny_encoder_gives_one_scale_and_refuses_published_weights(tiny):
    (features,) = tiny(modalities="v").condition.video_encoder(torch.randn(1, 3, 16, 64, 96))
    assert features.shape == (1, 64, 4, 8, 12)
    with pytest.raises(InputError, match="no published weights"):
        tiny(modalities="v", video_weights="kinetics400")


@pytest.mark.usefixtures("double")
def test_products_multiply_the_visual_features(tiny, clip):
    network = tiny(audio_product=True, text_product=True).eval()
    _, _, video, audio, text, _ = clip
    condition = network.condition
    heard = condition.audio_encoder(audio)
    spans = torch.nn.functional.adaptive_avg_pool1d(heard, 4).flatten(1)
    words = torch.stack([text[0, 1:3].mean(0), text[1, 1:5].mean(0)])
    expected = video
    products = condition.products
    for layer, sound, caption in zip(
        condition.video_encoder.layers, products.by_sound, products.by_text, strict=True
    ):
        plain = layer(expected)
        by_text = torch.cat([1 + caption.project(words), torch.ones(1, plain.shape[1])])
        expected = plain * ((1 + sound.project(spans)) * by_text)[:, :, None, None, None]
    torch.testing.assert_close(condition.features(video, heard, text), expected)
    # what is not there has no factor
    assert torch.equal(condition.features(video, None, None), condition.video_encoder(video)[0])


def test_products_reach_a_frozen_encoder_too(tiny, clip):
    network = tiny(audio_product=True, freeze_video=True).train()
    noisy, t, video, audio, text, saliency = clip
    network(noisy, t, video, audio, text, saliency).sum().backward()
    condition = network.condition
    assert all(parameter.grad is None for parameter in condition.video_encoder.parameters())
    assert all(product.project.weight.grad is not None for product in condition.products.by_sound)


def test_products_and_stored_features_exclude_each_other(tiny, clip):
    network = tiny(audio_product=True, freeze_video=True).eval()
    network.condition.video_encoder.stored = object()
    with pytest.raises(InputError, match="leave feature_cache or the products out"):
        predict(network, clip)
