"""Pooling attention of multiscale vision transformers, with relative positions, through the fused kernels.

Source: Li et al., "MViTv2: Improved Multiscale Vision Transformers" (CVPR 2022). To the scaled score of a query and a
key it adds the products of the unscaled query with three learned vectors, chosen by the distances in time, height and
width; the class token has none of them. Exactly that is a longer dot product: each query is continued by
its products with the vectors of all key positions along each axis, each key by the one-hot code of its position. No
matrix of queries times keys, and no mask, is held in memory.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Grid = tuple[int, int, int]
"""Tokens along time, height and width."""


def relative_positions(table: Tensor, queries: int, keys: int) -> Tensor:
    """Pick the row of a relative-position table for every pair of query and key along one axis.

    Args:
        table: Learned rows (L, C), from most negative to most positive distance.
        queries: Number of query positions.
        keys: Number of key positions; the coarser of the two axes counts in steps of the finer.

    Returns:
        One row for each pair: (queries, keys, C).
    """
    length = 2 * max(queries, keys) - 1
    if table.shape[0] != length:  # learned at another frame size
        table = F.interpolate(table.T[None], size=length, mode="linear")[0].T
    query_step, key_step = max(keys / queries, 1.0), max(queries / keys, 1.0)
    query = torch.arange(queries, device=table.device)[:, None] * query_step
    key = torch.arange(keys, device=table.device)[None, :] * key_step
    # truncation, not rounding, where the ratio is not whole: published tables were trained so
    distance = (query - key + (keys - 1) * key_step).long()
    # a product and not an index: the gradient of an index is a slow sum over sorted rows
    rows = distance[..., None] == torch.arange(length, device=table.device)  # (queries, keys, L)
    return rows.to(table.dtype) @ table


def pool_tokens(x: Tensor, grid: Grid, pool: nn.Module) -> tuple[Tensor, Grid]:
    """Pool tokens on their grid; the class token passes by.

    Args:
        x: (B, 1 + T H W, C), the class token first.
        grid: (T, H, W).
        pool: Module of clips (B, C, T, H, W), which reads channels-last memory without a copy.

    Returns:
        Tokens (B, 1 + T' H' W', C) and their grid.
    """
    token, rest = x.split([1, x.shape[1] - 1], dim=1)
    clip = pool(rest.unflatten(1, grid).movedim(-1, 1))
    pooled = torch.cat([token, clip.flatten(2).transpose(1, 2)], dim=1)
    return pooled, (clip.shape[2], clip.shape[3], clip.shape[4])


def attend_by_relative_positions(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    grids: tuple[Grid, Grid],
    tables: tuple[Tensor, Tensor, Tensor],
) -> Tensor:
    """Attend with decomposed relative positions, and add the query to each token but the class token.

    Args:
        query: (B, 1 + N, heads, C), the class token first.
        key: (B, 1 + M, heads, C).
        value: As the keys.
        grids: Tokens along time, height and width of the queries (N in all) and of the keys (M).
        tables: Rows for time, height and width, each (L, C).

    Returns:
        (B, 1 + N, heads, C).
    """
    width, (q_grid, k_grid) = query.shape[-1], grids
    extra = -(width + sum(k_grid)) % 8  # fused kernels want multiples of 8
    cells = query[:, 1:].unflatten(1, q_grid)  # (B, T, H, W, heads, C)
    time, height, breadth = (
        relative_positions(table, *sizes) for table, *sizes in zip(tables, q_grid, k_grid, strict=True)
    )
    scores = [
        torch.einsum("bthwnc,tkc->bthwnk", cells, time),
        torch.einsum("bthwnc,hkc->bthwnk", cells, height),
        torch.einsum("bthwnc,wkc->bthwnk", cells, breadth),
    ]
    positions = F.pad(torch.cat(scores, dim=-1).flatten(1, 3), (0, extra, 0, 0, 1, 0))
    longer_query = torch.cat([query * width**-0.5, positions.to(query.dtype)], dim=-1)
    codes = position_codes(k_grid, sum(k_grid) + extra, key)  # (1 + M, T' + H' + W' + extra)
    longer_key = torch.cat([key, codes[None, :, None].expand(*key.shape[:3], -1)], dim=-1)
    # values as wide as keys: the flash kernels take no others
    wide_value = F.pad(value, (0, longer_key.shape[-1] - width))
    attended = F.scaled_dot_product_attention(
        longer_query.transpose(1, 2), longer_key.transpose(1, 2), wide_value.transpose(1, 2), scale=1.0
    ).transpose(1, 2)[..., :width]
    not_class = F.pad(query.new_ones(query.shape[1] - 1, 1, 1), (0, 0, 0, 0, 1, 0))
    return torch.addcmul(attended, query, not_class)


def position_codes(grid: Grid, width: int, like: Tensor) -> Tensor:
    """Build one-hot codes of time, height and width side by side, (1 + T H W, width), zeros for the class token."""
    one_hot = torch.eye(width, dtype=like.dtype, device=like.device)
    time, height, breadth, _ = one_hot.split([*grid, width - sum(grid)])
    codes = time[:, None, None] + height[:, None] + breadth  # (T, H, W, width)
    return F.pad(codes.flatten(0, 2), (0, 0, 1, 0))
