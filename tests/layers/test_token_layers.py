"""Patches, positions, modulation and attention with projections."""

import pytest
import torch
from rounding import assert_close

from lightning_avsp.layers.attention import MultiHeadAttention, multi_head_attention
from lightning_avsp.layers.embeddings import Modulation, PatchEmbedding, grid_positions, modulate, unpatchify


@pytest.mark.usefixtures("double")
def test_patches_come_back_where_they_were():
    maps = torch.randn(2, 1, 8, 12)
    cut = torch.nn.functional.unfold(maps, 4, stride=4).transpose(1, 2)  # (2, 6, 16), row by row
    assert torch.equal(unpatchify(cut, (2, 3), 4), maps)
    embedding = PatchEmbedding(1, 5, 4)
    with torch.no_grad():
        expected = cut @ embedding.conv.weight.view(5, 16).T
        torch.testing.assert_close(embedding(maps), expected)


def test_coarse_and_fine_positions_agree_where_they_overlap():
    fine, coarse = grid_positions((6, 10), 32), grid_positions((2, 2), 32)
    centre_of_first_coarse = fine.view(6, 10, 32)[1, 2]  # row 1.5 of 6 and column 2.5 of 10
    # sines of angles of up to 16, float32 by design
    assert_close(coarse[0], centre_of_first_coarse, operations=32)
    scores = fine @ coarse.T  # (60, 4)
    assert scores.argmax(1).view(6, 10)[0, 0] == 0
    assert scores.argmax(1).view(6, 10)[5, 9] == 3
    assert not grid_positions((3, 3, 3), 64)[:, 60:].any()  # what cannot be shared out stays zero


def test_modulation_starts_as_said_and_depends_on_its_vector_later():
    layer = Modulation(6, 4, (0.0, 1.0))
    shift, gate = layer(torch.randn(3, 6))
    assert torch.equal(shift, torch.zeros(3, 1, 4))
    assert torch.equal(gate, torch.ones(3, 1, 4))
    torch.nn.init.normal_(layer.linear.weight)
    assert not torch.equal(*layer(torch.randn(2, 6))[0])
    x = torch.randn(3, 5, 4)
    assert torch.equal(modulate(x, gate, shift), 2 * x)


@pytest.mark.usefixtures("double")
def test_masked_tokens_are_not_read():
    attention = MultiHeadAttention(8, 2, 6)
    x, source = torch.randn(2, 5, 8), torch.randn(2, 4, 6)
    mask = torch.tensor([[True, True, False, False]] * 2)
    torch.testing.assert_close(attention(x, source, mask), attention(x, source[:, :2]))


@pytest.mark.usefixtures("double")
def test_positions_are_projected_as_the_keys_are_and_added_to_the_queries():
    attention = MultiHeadAttention(8, 2, 6)
    x, source, positions = torch.randn(2, 5, 8), torch.randn(2, 4, 6), torch.randn(5, 6)
    query = attention.query(x) + positions @ attention.key_value.weight[:8].T
    expected = attention.out(multi_head_attention(query, *attention.key_value(source).chunk(2, dim=-1), 2))
    torch.testing.assert_close(attention(x, source, positions=positions), expected)


def reading_error(attention: MultiHeadAttention, dim: int) -> float:
    """How many coarse cells the mean place that a patch reads lies from its own, mean over patches and heads."""
    width = dim // attention.heads
    key_weight = attention.key_value.weight[:dim].detach()
    query, key = grid_positions((14, 24), dim) @ key_weight.T, grid_positions((7, 12), dim) @ key_weight.T
    rows, columns = torch.arange(7.0), torch.arange(12.0)
    errors = []
    for head in range(attention.heads):
        part = slice(head * width, (head + 1) * width)
        weight = (query[:, part] @ key[:, part].T / width**0.5).softmax(1).view(14, 24, 7, 12)
        row, column = (weight.sum(3) * rows).sum(2), (weight.sum(2) * columns).sum(2)
        errors += [(row - (torch.arange(14) / 2 - 0.25)[:, None]).abs().mean()]
        errors += [(column - (torch.arange(24) / 2 - 0.25)).abs().mean()]
    return float(torch.stack(errors).mean())


@pytest.mark.parametrize(("dim", "heads", "cells"), [(64, 4, 1.2), (384, 6, 0.3)])
def test_heads_that_start_in_place_read_near_their_own_place(dim, heads, cells):
    """A head sees a share of the width, so narrow heads are off by more; a random start reads the whole frame."""
    attention = MultiHeadAttention(dim, heads)
    before = reading_error(attention, dim)
    attention.attend_in_place(heads)
    after = reading_error(attention, dim)
    assert after < cells
    assert after < before / 2
