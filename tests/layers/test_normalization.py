"""Norms under autocast: our kernel against the library's, in Triton's interpreter and on a GPU."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from conftest import LIMIT_S

from lightning_avsp.layers.normalization import LayerNorm, normalise_rows


def kernel_against_library(device, dtype, shapes=((5, 6), (70, 96), (9, 200), (3, 1024))):
    """Compare results and all gradients; rows that do not fill the last program, widths that are no power of two."""
    for rows, width in shapes:
        torch.manual_seed(0)
        x = (3 * torch.randn(rows, width) + 1).to(device, dtype).requires_grad_()
        norm = LayerNorm(width).to(device)
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
        slope = torch.randn(rows, width).to(device, dtype)
        leaves = (x, norm.weight, norm.bias)
        found, means, scales = normalise_rows(x, norm.weight, norm.bias, norm.eps)
        expected = F.layer_norm(x.float(), (width,), norm.weight, norm.bias, norm.eps)
        ours = [found, *torch.autograd.grad(found, leaves, slope)]
        theirs = [expected, *torch.autograd.grad(expected, leaves, slope.float())]
        # float32 sums of up to 1024 values in another order; bfloat16 results are rounded once, by 2**-9 at most
        share = 2**-8 if dtype == torch.bfloat16 else 2e-5
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(
                one.float(), other.float(), rtol=share, atol=share * float(other.abs().max())
            )
        assert means.dtype == scales.dtype == torch.float32


def test_kernel_equals_the_librarys_norm_in_tritons_interpreter():
    pytest.importorskip("triton")
    code = (
        "import os; os.environ['TRITON_INTERPRET'] = '1'; import torch\n"
        "from layers.test_normalization import kernel_against_library\n"
        "kernel_against_library('cpu', torch.float32)"
    )
    subprocess.run([sys.executable, "-c", code], cwd="tests", check=True, timeout=LIMIT_S)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_kernel_equals_the_librarys_norm_on_a_gpu(dtype):
    kernel_against_library("cuda", dtype, ((5, 6), (70_000, 96), (9, 200), (3000, 768)))
