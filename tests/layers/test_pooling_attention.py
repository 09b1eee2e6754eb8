"""Relative positions folded into queries and keys are torchvision's attention, without its matrix of scores."""

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torchvision.models.video.mvit import MultiscaleAttention, MultiscaleBlock, Pool

from lightning_avsp.backbones.mvit import FusedAttention, MSBlockConfig, TokenPool
from lightning_avsp.layers.pooling_attention import relative_positions
from lightning_avsp.layers.video_convolution import use_video_layers

# heads, widths, query stride, key stride of MViTv2-S, grid of the input (small: the strides decide the arithmetic)
SCALES = {
    "first: keys pooled by 8": (1, (96, 96), 1, 8, (4, 16, 24)),
    "queries pooled": (2, (96, 192), 2, 4, (4, 8, 12)),
    "second": (2, (192, 192), 1, 4, (4, 8, 12)),
    "third": (4, (384, 384), 1, 2, (4, 6, 8)),
    "fourth: keys as they are": (8, (768, 768), 1, 1, (4, 3, 4)),
}


def pair(heads, widths, q_stride, k_stride, grid, kernel=3):
    """Build torchvision's block and ours with the same weights, tables as large as a trained network's."""
    torch.manual_seed(0)
    config = MSBlockConfig(
        heads, *widths, [kernel] * 3, [3] * 3, [1, q_stride, q_stride], [1, k_stride, k_stride]
    )
    theirs = MultiscaleBlock(list(grid), config, True, False, True, True)
    for name, parameter in theirs.named_parameters():
        if "rel_pos" in name:
            torch.nn.init.normal_(parameter, std=0.1)  # tables of trained networks, not the 0.02 of new ones
    ours = copy.deepcopy(theirs)
    use_video_layers(ours)
    for module in ours.modules():
        if isinstance(module, Pool):
            module.__class__ = TokenPool
        elif isinstance(module, MultiscaleAttention):
            module.__class__ = FusedAttention
    return theirs, ours


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("scale", SCALES)
def test_block_equals_torchvisions_forward_and_backward(scale):
    *settings, grid = SCALES[scale]
    theirs, ours = pair(*settings, grid)
    results = []
    tokens = torch.randn(1, 1 + grid[0] * grid[1] * grid[2], settings[1][0])
    for block in (theirs, ours):
        x = tokens.clone().requires_grad_()
        y, new_grid = block(x, grid)
        y.backward(torch.ones_like(y) / y.shape[1])
        results.append([y.detach(), x.grad, *(p.grad for p in block.parameters()), torch.tensor(new_grid)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(other, one)


def test_positions_count_in_steps_of_the_finer_axis():
    table = torch.arange(13.0)[:, None]
    # 7 queries against 3 keys: a key is 7/3 steps; distance q - 7/3 k + 14/3, truncated
    expected = [[int(q + (2 - k) * 7 / 3 + 1e-6) for k in range(3)] for q in range(7)]
    assert relative_positions(table, 7, 3)[..., 0].tolist() == expected
    # 3 queries against 7 keys: the query's steps stretch instead
    assert relative_positions(table, 3, 7)[0, :, 0].tolist() == [6, 5, 4, 3, 2, 1, 0]


@pytest.mark.usefixtures("double")
def test_table_of_another_frame_size_is_interpolated_and_steps_are_truncated():
    table = torch.randn(13, 4)
    rows = relative_positions(table, 7, 7)
    for query in range(7):
        for key in range(7):
            torch.testing.assert_close(rows[query, key], table[query - key + 6])
    assert relative_positions(table, 12, 5).shape == (12, 5, 4)
    longer = torch.nn.functional.interpolate(table.T[None], size=23, mode="linear")[0].T
    torch.testing.assert_close(relative_positions(table, 12, 5)[3, 2], longer[int(3 - 2 * 2.4 + 4 * 2.4)])


class LargestResult(TorchDispatchMode):
    """Records the most values that an operator returned at once."""

    values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        sizes = [x.numel() for x in tree_iter(out) if isinstance(x, torch.Tensor)]
        self.values = max(self.values, *sizes, 0)
        return out


def test_no_matrix_of_queries_times_keys_is_held_forward_or_backward():
    heads, grid = 2, (8, 28, 48)
    theirs, ours = pair(heads, (96, 96), 1, 2, grid)
    queries, keys = 1 + 8 * 28 * 48, 1 + 8 * 14 * 24
    largest = {}
    for name, block in (("theirs", theirs), ("ours", ours)):
        x = torch.randn(1, queries, 96, requires_grad=True)
        with LargestResult() as mode:
            block.attn(x, grid)[0].sum().backward()
        largest[name] = mode.values
    assert largest["theirs"] >= heads * queries * keys
    # what is largest is linear in the tokens: queries, keys and values side by side, or the longer queries
    assert largest["ours"] <= queries * 3 * 96 * heads
