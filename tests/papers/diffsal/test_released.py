"""The released network at a tiny size: what depends on what, its peculiar parts, and its options."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from rounding import assert_close
from torch import Tensor

from lightning_avsp.backbones.vggish import VGGish
from lightning_avsp.errors import InputError
from lightning_avsp.papers.diffsal.released import ReleasedDiffSal
from lightning_avsp.papers.diffsal.released.attention import AudioModulation, FrameCrossAttention, ReleasedMIM
from lightning_avsp.papers.diffsal.released.decoder import TemporalReadout
from lightning_avsp.papers.diffsal.released.mvit import ReleasedMViT
from lightning_avsp.structures import Condition


def tiny(modality: str = "av", **options: Any) -> ReleasedDiffSal:
    torch.manual_seed(3)
    network = ReleasedDiffSal(
        modality,
        video_encoder=ReleasedMViT(width=8, depths=(1, 1, 1, 1), table_size=64),
        audio_encoder=VGGish((4, 6, 8, 16)) if modality == "av" else None,
        head_channels=16,
        mel_bins=4,
        **options,
    )
    # the published initialisation (0.01) makes a tiny network's output all but constant.
    for parameter in network.decoder.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


def clip(batch: int = 1, height: int = 128, width: int = 192) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return (
        torch.randn(batch, 1, height, width, generator=generator),
        torch.full((batch,), 500),
        torch.randn(batch, 3, 16, height, width, generator=generator),
        torch.randn(batch, 1, 9, 32, 64, generator=generator),
    )


@torch.no_grad()
def test_features_reach_every_flat_convolution_channels_last() -> None:
    """Else the CPU reorders them there and back, and a GPU copies them."""
    network = tiny()
    copied: list[tuple[str, torch.Size, tuple[int, ...]]] = []
    places = ("audio_encoder.", "decoder.stages.", "decoder.head.projection.")
    flat = (torch.nn.Conv2d, torch.nn.MaxPool2d)
    layers = {n: m for n, m in network.named_modules() if n.startswith(places) and isinstance(m, flat)}
    for name, layer in layers.items():

        def look(_: torch.nn.Module, args: tuple[Tensor], name: str = name) -> None:
            if not args[0].is_contiguous(memory_format=torch.channels_last):
                copied.append((name, args[0].shape, args[0].stride()))

        layer.register_forward_pre_hook(look)
    network(*clip(batch=2))
    assert len(layers) == 6 + 4 + 4 + 3 * 2 + 1  # VGGish, its poolings; audio, upsampling, head
    assert not copied


@torch.no_grad()
def test_without_audio_noise_and_step_change_nothing_at_all() -> None:
    noisy_map, t, video, audio = clip()
    seeing, both = tiny("v"), tiny("av")
    for network in (seeing, both):
        condition = network.encode(video)
        first = network.denoise(noisy_map, t, condition)
        second = network.denoise(torch.randn_like(noisy_map) * 5, torch.tensor([3]), condition)
        assert first.std() > 1e-3
        assert torch.equal(first, second)
    assert torch.equal(seeing(noisy_map, t, video, audio), seeing(noisy_map, t, video))


@torch.no_grad()
def test_with_audio_noise_step_and_audio_matter() -> None:
    noisy_map, t, video, audio = clip()
    network = tiny()
    condition = network.encode(video, audio)
    saliency = network.denoise(noisy_map, t, condition)
    assert saliency.shape == noisy_map.shape
    assert 0 <= saliency.min() <= saliency.max() <= 1
    assert not torch.equal(saliency, network.denoise(-noisy_map, t, condition))
    assert not torch.equal(saliency, network.denoise(noisy_map, t - 400, condition))
    assert not torch.equal(saliency, network(noisy_map, t, video, audio.flip(-1)))


@pytest.mark.usefixtures("double")
@torch.no_grad()
def test_clips_of_a_batch_do_not_mix() -> None:
    noisy_map, t, video, audio = clip(batch=2)
    network = tiny()
    together = network(noisy_map, t, video, audio)
    for index in range(2):
        one = slice(index, index + 1)
        alone = network(noisy_map[one], t[one], video[one], audio[one])
        # all in double but the sigmoid of the logits and the interpolation of the map, which are float32
        assert_close(together[one], alone, operations=8)
    assert (together[0] - together[1]).abs().max() > 0.01


def test_every_trainable_parameter_gets_a_gradient() -> None:
    noisy_map, t, video, audio = clip()
    network = tiny().train()
    network(noisy_map, t, video, audio).sum().backward()
    idle = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert idle == []
    fixed = {name.split(".")[0] for name, p in network.named_parameters() if not p.requires_grad}
    assert fixed == {"audio_encoder", "audio_transformer"}  # of the latter, the discarded patch embedding


@pytest.mark.usefixtures("double")
@torch.no_grad()
def test_mim_keys_are_the_memory_read_anew() -> None:
    batch, steps, width, height, columns = 2, 3, 4, 4, 6
    mim = ReleasedMIM(audio_width=5, width=width)
    x = torch.randn(batch, steps, width, height, columns)
    audio = torch.randn(batch, 5, steps, 2, 3)
    keys = mim(x, mim.align_audio(audio))
    # Slowly, from Equation 9: the sound's cells repeat over 2 x 2 pixels; each row of the mask sums to one.
    kernel = mim.align.weight[:, :, 0, 0]
    sound = torch.einsum("bathw,ca->bcthw", audio, kernel) + mim.align.bias[:, None, None, None]
    sound = sound.repeat_interleave(2, dim=3).repeat_interleave(2, dim=4)  # (B, C, T, H, W)
    mask = (sound * x.transpose(1, 2)).mean(dim=2, keepdim=True).softmax(dim=-1)
    torch.testing.assert_close(mask.sum(dim=-1), torch.ones_like(mask[..., 0]))
    memory = (sound * mask).flatten().tolist()
    for frame, position, channel in ((0, 0, 0), (0, 5, 3), (4, 23, 1), (5, 23, 3)):
        index = (frame * height * columns + position) * width + channel
        assert keys[frame, position, channel].item() == pytest.approx(memory[index], abs=1e-12)


@pytest.mark.usefixtures("double")
@torch.no_grad()
@pytest.mark.parametrize("attention", ["eca", "standard"])
def test_attention_is_per_frame_and_scaled_by_the_full_width(attention: Any) -> None:
    width, grid = 8, (4, 6)
    layer = FrameCrossAttention(width, 2, attention)
    tokens, keys = torch.randn(3, 24, width), torch.randn(3, 24, width)
    q, k, v = layer.query(tokens, grid), layer.key(keys, grid), layer.value(tokens, grid)
    assert k.shape[1] == (6 if attention == "eca" else 24)
    out = []
    for head in (slice(0, 4), slice(4, 8)):
        weights = (q[..., head] @ k[..., head].transpose(1, 2) / width**0.5).softmax(dim=-1)
        out.append(weights @ v[..., head])
    torch.testing.assert_close(layer(tokens, keys, grid), layer.output(torch.cat(out, dim=-1)))


@torch.no_grad()
def test_readout_ignores_the_last_four_steps() -> None:
    readout = TemporalReadout(4, 6)
    x = torch.randn(1, 9, 4, 2, 3)
    changed = x.clone()
    changed[:, 5:] = 7
    assert readout(x).shape == (1, 6, 1, 2, 3)
    assert torch.equal(readout(x), readout(changed))
    changed[:, 4] = 7
    assert not torch.equal(readout(x), readout(changed))


@pytest.mark.usefixtures("double")
@torch.no_grad()
def test_mim_residual_adds_the_product_of_video_and_audio() -> None:
    modulation = AudioModulation(width=2, mel_bins=3)
    modulation.mel_weight.copy_(torch.tensor([[1.0, 0, 0], [0, 2, 0]]))
    x, sound = torch.randn(1, 1, 2, 4, 4), torch.randn(1, 1, 2, 5, 3)
    r = torch.stack([sound[0, 0, 0, :, 0].mean(), 2 * sound[0, 0, 1, :, 1].mean()])
    torch.testing.assert_close(modulation(x, sound), x + x * r[None, None, :, None, None])


def test_mim_residual_adds_parameters_for_mel_alone_and_works_without_audio_as_mim_does() -> None:
    noisy_map, t, video, _ = clip()
    published, residual = tiny(), tiny(interaction="mim_residual")
    found = residual.load_state_dict(published.state_dict(), strict=False)
    assert found.missing_keys == [f"decoder.stages.{i}.modulation.mel_weight" for i in range(4)]
    assert not found.unexpected_keys
    with torch.no_grad():
        assert torch.equal(published(noisy_map, t, video), residual(noisy_map, t, video))


@torch.no_grad()
@pytest.mark.parametrize(
    ("num_stages", "size"), [(1, (64, 96)), (2, (64, 96)), (3, (64, 96)), (4, (72, 112))]
)
def test_any_number_of_stages_and_frames_that_are_no_multiple_of_32(
    num_stages: int, size: tuple[int, int]
) -> None:
    noisy_map, t, video, audio = clip(1, *size)
    network = tiny(num_stages=num_stages)
    assert len(network.decoder.stages) == num_stages
    assert network(noisy_map, t, video, audio).shape == (1, 1, *size)


def test_standard_attention_drops_the_convolutions() -> None:
    names = {name for name in tiny().state_dict() if ".attention." in name}
    standard = {name for name in tiny(attention="standard").state_dict() if ".attention." in name}
    assert {name.split(".attention.")[1].split(".")[1] for name in names - standard} == {"conv", "norm"}
    assert not standard - names


def test_pixels_are_normalised_as_each_release_was_trained() -> None:
    assert tiny("av").pixel_mean[0] * 255 == pytest.approx(114.7748)
    assert tiny("v").pixel_mean == (0.485, 0.456, 0.406)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video": None}, "needs video"),
        ({"text": torch.zeros(1, 2, 3)}, "reads no text"),
        ({"video": torch.zeros(1, 3, 16, 32, 96)}, "32 x 96 pixels"),
        ({"video": torch.zeros(1, 3, 4, 64, 96)}, "4 frames give 3 time steps"),
        ({"video": torch.zeros(1, 3, 32, 64, 96)}, "32 frames give 17 time steps"),
        ({"audio": torch.zeros(1, 1, 5, 32, 64)}, "5 slices"),
    ],
)
def test_unusable_inputs_are_refused(change: dict[str, Any], message: str) -> None:
    _, _, video, audio = clip()
    with pytest.raises(InputError, match=message):
        tiny().encode(**({"video": video, "audio": audio} | change))


@torch.no_grad()
def test_condition_may_be_stripped_of_its_audio() -> None:
    noisy_map, t, video, audio = clip()
    network = tiny()
    silent = Condition(video=network.encode(video, audio).video)
    assert torch.equal(network.denoise(noisy_map, t, silent), network(noisy_map, t, video))
