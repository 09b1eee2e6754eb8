"""Behaviour of every network: clips apart, encoders once and frozen on request, types of features, memory layouts."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from lightning_avsp.backbones.encoder import Encoder
from lightning_avsp.layers.video_convolution import VideoConvolution
from lightning_avsp.papers.avrsp import AVRSP
from lightning_avsp.papers.diffsal import DiffSal
from lightning_avsp.papers.mubic import MUBiC
from lightning_avsp.papers.tavdiff import TAVDiff
from lightning_avsp.structures import DiffusionNetwork

TINY = {"video_encoder": "tiny", "audio_encoder": "tiny"}
NETWORKS = {
    "diffsal": (DiffSal, {}),
    "diffsal_released": (DiffSal, {"variant": "released"}),
    "mubic": (MUBiC, {}),
    "avrsp": (AVRSP, {"clip_frames": 16}),
    "tavdiff": (TAVDiff, {}),
}


def build(name, **options):
    torch.manual_seed(0)
    kind, more = NETWORKS[name]
    return kind(**more, **options)


def encoders(network):
    return {name: module for name, module in network.named_modules() if isinstance(module, Encoder)}


def inputs(network, mel=(112, 192)):
    generator = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 256, (2, 16, 64, 128, 3), generator=generator, dtype=torch.uint8)
    wave = network.audio_form == "waveform"
    audio = (
        torch.randn(2, 1, 35280, generator=generator)
        if wave
        else torch.randn(2, 1, 9, *mel, generator=generator)
    )
    clip = [network.normalize_video(frames), audio]
    if isinstance(network, TAVDiff):
        clip.append(torch.randn(2, 12, 512, generator=generator))
    if isinstance(network, DiffusionNetwork):
        return [torch.randn(2, 1, 64, 128, generator=generator), torch.tensor([100, 700]), *clip]
    return clip


# the released initialisation makes a tiny network's maps all but constant: test_released.py has a wider one
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "diffsal_released"])
def test_first_maps_are_almost_empty_and_clips_of_a_batch_do_not_mix(name):
    network = build(name, **TINY).eval().double()
    arguments = [x.double() if x.is_floating_point() else x for x in inputs(network, mel=(32, 64))]
    with torch.no_grad():
        both = network(*arguments)
        second = network(*(x[1:] for x in arguments))
    assert 0.01 < both.mean() < 0.3
    assert (both[0] - both[1]).abs().max() > 1e-4
    # float64 but for importances, maps of words and the last sigmoid: a rounding of float32, 6e-8, a few times over
    torch.testing.assert_close(both[1:], second, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "avrsp"])
def test_a_clip_is_encoded_once_for_any_number_of_steps(name):
    network = build(name, **TINY).eval()
    noisy, _, *clip = inputs(network, mel=(32, 64))
    calls = []
    once = {**encoders(network), **{part: getattr(network, part, None) for part in ("trunk", "condition")}}
    for part, module in once.items():
        if module is not None:
            module.register_forward_hook(lambda *_, part=part: calls.append(part))
    with torch.no_grad():
        condition = network.encode(*clip)
        for step in (999, 749, 499, 249):
            noisy = network.denoise(noisy, torch.full((2,), step), condition)
    assert len(calls) == len(set(calls)) >= 2
    assert condition.repeat_interleave(3).batch_size == 6


@pytest.mark.parametrize("name", NETWORKS)
def test_weight_files_reach_their_encoders_and_frozen_ones_rest(name, tmp_path):
    source = build(name, **TINY)
    files = {}
    for part, encoder in encoders(source).items():
        files[part] = tmp_path / f"{part}.pth"
        torch.save(encoder.state_dict(), files[part])
    video, audio = sorted(files, key=lambda part: "audio" in part)
    options = {"video_weights": str(files[video]), "audio_weights": str(files[audio])}
    torch.manual_seed(5)
    kind, more = NETWORKS[name]
    network = kind(**more, **TINY, **options, freeze_video=True, freeze_audio=True).train()
    for part, encoder in encoders(network).items():
        theirs = encoders(source)[part].state_dict()
        assert all(torch.equal(value, theirs[key]) for key, value in encoder.state_dict().items())
        assert not any(module.training for module in encoder.modules())
        assert not any(parameter.requires_grad for parameter in encoder.parameters())
        (line,) = (line for line in map(str, network.weight_report) if str(files[part]) in line)
        assert line.endswith("frozen")
    assert any(module.training for module in network.modules() if not isinstance(module, Encoder))
    assert str(network.weight_report[-1]).endswith(": random")


class Float32(TorchDispatchMode):
    """Collects the operators that return large float32 tensors, and how many copies there were of large tensors."""

    def __init__(self, large):
        super().__init__()
        self.large, self.found, self.copies = large, {}, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        for x in tree_iter(out):
            if isinstance(x, torch.Tensor) and x.numel() >= self.large:
                self.copies += name in ("_to_copy", "clone", "copy_")
                if x.dtype == torch.float32:
                    self.found[name] = self.found.get(name, 0) + 1
        return out


# (float32 operators allowed on features, most copies): importances of AVRSP and softmaxes of SITR need float32
ALLOWED = {
    "diffsal": (set(), 45),
    "diffsal_released": (set(), 60),
    "mubic": ({"_to_copy"}, 45),  # gate levels, for the log
    "avrsp": ({"_to_copy", "sigmoid", "sub", "mul", "exp", "var_mean", "addcmul", "detach"}, 40),
    "tavdiff": ({"_to_copy", "_softmax", "sigmoid", "detach", "view", "cat", "permute", "div"}, 30),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_features_stay_in_bf16_under_autocast(name):
    network = build(name, **TINY).eval()
    (*before, video), rest = inputs(network, mel=(32, 64))[:-1], inputs(network, mel=(32, 64))[-1:]
    if isinstance(network, TAVDiff):
        *before, video, audio = *before, video
        rest = [audio, *rest]
    # input and its views
    noise = {"permute", "transpose", "view", "clone", "div", "slice", "expand", "split"}
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad(), Float32(20_000) as mode:
        network(*before, video, *rest)
    allowed, copies = ALLOWED[name]
    assert set(mode.found) - noise <= allowed
    # else the library convolves clips in its own layout, by copies
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        assert mode.copies <= copies


@pytest.mark.parametrize("name", NETWORKS)
def test_features_reach_every_convolution_channels_last(name, monkeypatch):
    """On a GPU each would else copy them first; of one position there is nothing to order."""
    choose = VideoConvolution.best_form

    def as_on_a_gpu(conv, device, steps):
        form = choose(conv, "cuda", steps)
        return "taps" if form == "depthwise" else form  # whose kernel needs a GPU

    monkeypatch.setattr(VideoConvolution, "best_form", as_on_a_gpu)
    network = build(name).eval()
    copied = []

    def look(module, args):
        (x,) = args
        if x.stride(1) != 1 and x[0, 0, 0].numel() > 1:
            copied.append((names[module], tuple(x.shape), x.stride()))

    names = {module: name for name, module in network.named_modules() if isinstance(module, VideoConvolution)}
    for module in names:
        module.register_forward_pre_hook(look)
    with torch.no_grad():
        network(*inputs(network))
    assert len(names) > 50
    assert not copied
