"""What a GPU needs of every network, shown on the CPU: bf16 autocast is safe, and memory layouts stay as they are."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

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


@pytest.mark.parametrize("name", NETWORKS)
def test_bf16_autocast_is_near_float32_with_finite_gradients_and_float32_parameters(name):
    network = build(name, **TINY).eval()  # no dropout, no choice of words by the target
    arguments = inputs(network, mel=(32, 64))
    with torch.no_grad():
        expected = network(*arguments)
    with torch.autocast("cpu", torch.bfloat16):
        maps = network(*arguments)
    assert maps.dtype == torch.float32
    # 8 bits of precision, .4 % of each value, through sigmoids of slope .25 at most
    torch.testing.assert_close(maps, expected, atol=2e-2, rtol=0)
    maps.square().mean().backward()
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert len(gradients) > 50
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


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
    noise = {
        "permute",
        "transpose",
        "view",
        "clone",
        "div",
        "slice",
        "expand",
        "split",
    }  # input and its views
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad(), Float32(20_000) as mode:
        network(*before, video, *rest)
    allowed, copies = ALLOWED[name]
    assert set(mode.found) - noise <= allowed
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
