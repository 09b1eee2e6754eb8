"""Every form of a 3-D convolution computes what ``nn.Conv3d`` does, forward and backward."""

import os
import subprocess
import sys
from functools import cache
from importlib.util import find_spec

import pytest
import torch
from conftest import LIMIT_S
from rounding import assert_close
from torch import nn

from lightning_avsp.layers.video_convolution import FORMS, VideoConvolution
from lightning_avsp.papers.avrsp import AVRSP
from lightning_avsp.papers.diffsal import DiffSal
from lightning_avsp.papers.mubic import MUBiC
from lightning_avsp.papers.tavdiff import TAVDiff


@cache
def geometries():
    """Every distinct kernel, stride, padding, dilation, kind of groups and multiplier of the full-size networks."""
    with torch.device("meta"):
        networks = [
            DiffSal(), DiffSal(variant="released"), DiffSal(attention="convolution"), MUBiC(), AVRSP(), TAVDiff(),
            DiffSal(video_encoder="swin3d_t"), DiffSal(video_encoder="r3d_18"), MUBiC(noise_axes="3d"),
        ]  # fmt: skip
        if find_spec("pytorchvideo") is not None:
            networks.append(DiffSal(video_encoder="slow_r50"))
    found = {}
    for network in networks:
        for module in network.modules():
            assert type(module) is not nn.Conv3d, "a convolution was left in its plain form"
            if isinstance(module, VideoConvolution):
                depthwise = module.groups > 1
                multiplier = module.out_channels // module.in_channels if depthwise else 0
                assert module.groups in (1, module.in_channels)
                key = (
                    *module.geometry()[:3],
                    module.kernel_size,
                    depthwise,
                    multiplier,
                    module.bias is not None,
                )
                found[key] = module.in_channels < 8
    return found


def small(key, narrow):
    """A convolution of this geometry on few channels, and a clip that is just large enough for it."""
    stride, padding, dilation, kernel, depthwise, multiplier, bias = key
    torch.manual_seed(0)
    channels = 3 if narrow else 6
    out, groups = (multiplier * channels, channels) if depthwise else (5, 1)
    conv = VideoConvolution(channels, out, kernel, stride, padding, dilation, groups, bias)
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = [max(k - 2 * p, 1) + 2 * s + 2 for k, s, p in zip(reach, stride, padding, strict=True)]
    return conv, torch.randn(2, channels, *size)


def gradients(function, x, conv, slope=None):
    x = x.detach().clone().requires_grad_()
    conv.zero_grad()
    y = function(x)
    slope = torch.randn_like(y) if slope is None else slope
    y.backward(slope)
    return slope, [y.detach(), x.grad, *(p.grad.clone() for p in conv.parameters())]


def test_every_form_equals_the_plain_convolution_on_every_geometry_of_the_networks():
    tested = set()
    for key, narrow in geometries().items():
        conv, x = (part.double() for part in small(key, narrow))
        slope, expected = gradients(lambda x, conv=conv: nn.Conv3d.forward(conv, x), x, conv)
        for form in conv.forms():
            if form == "depthwise":
                continue  # its kernel runs in a process of its own below
            conv.form = form
            _, found = gradients(conv, x, conv, slope)
            for ours, theirs in zip(found, expected, strict=True):
                # sums of up to 441 products, for the weight of as many as the clip has positions
                assert_close(ours, theirs, operations=x[:, 0].numel())
            tested.add(form)
    assert tested == set(FORMS) - {"depthwise"}
    assert set(SMALL_DEPTHWISE) <= geometries().keys()


SMALL_DEPTHWISE = [
    ((1, 2, 2), (1, 1, 1), (1, 1, 1), (3, 3, 3), True, 1, False),
    ((1, 1, 1), (1, 1, 1), (1, 1, 1), (3, 3, 3), True, 2, False),
    ((1, 1, 1), (0, 2, 2), (1, 2, 2), (1, 3, 3), True, 1, False),
]
"""Stride, multiplier and dilation, once each, for an interpreter, which takes minutes for all of them."""


def depthwise_against_plain(device, dtype, keys, layouts=((1, False), (3, True))):
    """Compare the Triton kernels with the plain form; also several sets of channels and strided memory."""
    # sums in float32 in another order; in bfloat16 the plain form may round its partial sums, 2**-8 each time
    share = 2**-6 if dtype == torch.bfloat16 else 1e-5
    for key in keys:
        conv, x = small(key, False)
        conv, x = conv.to(device, dtype), x.to(device, dtype)
        for sets, apart in layouts:
            clip = torch.cat([x] * sets, dim=1) if sets > 1 else x
            if apart:  # as heads side by side in the rows of a wider matrix
                clip = (
                    torch.stack([clip, clip], dim=-1)
                    .movedim(1, -1)
                    .flatten(-2)
                    .movedim(-1, 1)[:, : clip.shape[1]]
                )
            conv.form = "plain"
            slope, expected = gradients(conv, clip, conv)
            conv.form = "depthwise"
            _, found = gradients(conv, clip, conv, slope)
            for ours, theirs in zip(found, expected, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=share, atol=share * float(theirs.abs().max()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_depthwise_kernels_equal_the_plain_form_on_a_gpu(dtype):
    torch.backends.cudnn.allow_tf32 = False
    # patches have a form of their own
    keys = [key for key in geometries() if key[4] and key[3][1] <= 4]
    assert len(keys) > 10
    depthwise_against_plain("cuda", dtype, keys)


def test_depthwise_kernels_equal_the_plain_form_in_tritons_interpreter():
    pytest.importorskip("triton")
    code = (
        "import os; os.environ['TRITON_INTERPRET'] = '1'; import torch\n"
        "from layers.test_video_convolution import SMALL_DEPTHWISE, depthwise_against_plain\n"
        "depthwise_against_plain('cpu', torch.float32, SMALL_DEPTHWISE, layouts=((3, True),))"
    )
    subprocess.run([sys.executable, "-c", code], cwd="tests", check=True, timeout=LIMIT_S)


POISONED = """
import torch
from lightning_avsp.layers.video_convolution import VideoConvolution
torch.manual_seed(0)
conv = VideoConvolution(16, 16, (1, 3, 3), padding=(0, 6, 6), dilation=(1, 6, 6), groups=16, bias=False)
clip = torch.randn(2, 16, 8, 16, 32).contiguous(memory_format=torch.channels_last_3d)
gradients = []
for half in (False, True):
    conv.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        y = conv(clip)
    (y.float() * torch.linspace(0, 1, y.numel()).view(y.shape)).sum().backward()
    gradients.append(conv.weight.grad.clone())
whole, half = gradients
assert (half - whole).abs().max() < 2**-6 * whole.abs().max(), half[0]
"""


def test_the_gradient_of_dilated_depthwise_kernels_in_bf16_reads_no_memory_that_was_never_written():
    # glibc fills what it hands out, so that values which a kernel forgot to write are huge. Inputs and gradient of
    # bfloat16 are off by 2**-8 of their scale each, the sum by no more than a few of these
    poison = {**os.environ, "MALLOC_PERTURB_": "1", "MALLOC_MMAP_MAX_": "0", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", POISONED], env=poison, check=True, timeout=LIMIT_S)
