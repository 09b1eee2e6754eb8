"""MViTv2-S as the released DiffSal uses it: class token, normed taps inside the trunk, epsilon 1e-5.

Written from Li et al., "MViTv2" (CVPR 2022, arXiv 2112.01526): pooling attention with residual pooling and
decomposed relative positions. Unlike the Kinetics network, the tensor normed at each tap is also what the
next block reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.backbones.encoder import VideoEncoder
from lightning_avsp.backbones.mvit import MViTv2Small, from_mmaction
from lightning_avsp.backbones.weights import PartReport, StateDict, load_strict, rename
from lightning_avsp.layers.normalization import LayerNorm
from lightning_avsp.layers.pooling_attention import Grid, attend_by_relative_positions, pool_tokens
from lightning_avsp.layers.video_convolution import VideoConvolution, VideoMaxPool

FROM_TORCHVISION: tuple[tuple[str, str], ...] = (
    (r"conv_proj\.(.+)", r"patch_embed.projection.\1"),
    (r"pos_encoding\.class_token", r"cls_token"),
    (r"(.+)\.attn\.project\.0\.(.+)", r"\1.attn.proj.\2"),
    (r"(.+)\.attn\.pool_([qkv])\.pool\.(.+)", r"\1.attn.pool_\2.\3"),
    (r"(.+)\.attn\.pool_([qkv])\.norm_act\.0\.(.+)", r"\1.attn.norm_\2.\3"),
    (r"(.+)\.mlp\.0\.(.+)", r"\1.mlp.fc1.\2"),
    (r"(.+)\.mlp\.3\.(.+)", r"\1.mlp.fc2.\2"),
    (r"(blocks\.\d+)\.project\.(.+)", r"\1.proj.\2"),
    (r"norm\.(.+)", r"norm3.\1"),
)
"""Names of torchvision's MViTv2-S: ours."""


class BlockSizes(NamedTuple):
    """Sizes of one block: widths of its input and output, heads, strides in space, and of its position tables."""

    in_width: int
    width: int
    heads: int
    q_stride: int
    kv_stride: int
    table_side: int
    table_steps: int


class PoolingAttention(nn.Module):
    """Multi-head attention whose queries, keys and values are pooled by strided depthwise convolutions."""

    def __init__(self, sizes: BlockSizes) -> None:
        super().__init__()
        in_width, width, heads, q_stride, kv_stride, table_side, table_steps = sizes
        self.heads = heads
        head_width = width // heads
        self.qkv = nn.Linear(in_width, 3 * width)
        self.proj = nn.Linear(width, width)
        for name, stride in (("q", q_stride), ("k", kv_stride), ("v", kv_stride)):
            pool = VideoConvolution(
                head_width, head_width, 3, (1, stride, stride), padding=1, groups=head_width, bias=False
            )
            self.add_module(f"pool_{name}", pool)
            self.add_module(f"norm_{name}", LayerNorm(head_width))
        # one row per distance, counted in steps of the finer axis
        rows = 2 * max(table_side // q_stride, table_side // kv_stride) - 1
        self.rel_pos_h = nn.Parameter(torch.zeros(rows, head_width))
        self.rel_pos_w = nn.Parameter(torch.zeros(rows, head_width))
        self.rel_pos_t = nn.Parameter(torch.zeros(2 * table_steps - 1, head_width))

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """Attend over tokens (B, 1+THW, C); returns tokens (B, 1+T'H'W', C') and the pooled grid."""
        pooled, grids = [], []
        for name, tokens in zip("qkv", self.qkv(x).chunk(3, dim=-1), strict=True):
            tokens, new_grid = pool_tokens(tokens, grid, self.get_submodule(f"pool_{name}"))
            pooled.append(self.get_submodule(f"norm_{name}")(tokens.unflatten(-1, (self.heads, -1))))
            grids.append(new_grid)
        tables = (self.rel_pos_t, self.rel_pos_h, self.rel_pos_w)
        query, key, value = pooled
        attended = attend_by_relative_positions(query, key, value, (grids[0], grids[1]), tables)
        return self.proj(attended.flatten(2)), grids[0]


class Block(nn.Module):
    """Pre-norm block: pooling attention and MLP, with a pooled and projected skip where the stage changes."""

    def __init__(self, sizes: BlockSizes) -> None:
        super().__init__()
        in_width, width, q_stride = sizes.in_width, sizes.width, sizes.q_stride
        self.norm1 = LayerNorm(in_width)
        self.attn = PoolingAttention(sizes)
        self.norm2 = LayerNorm(width)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})
        self.proj = nn.Linear(in_width, width) if in_width != width else None
        self.pool_skip = (
            VideoMaxPool((1, 3, 3), stride=(1, q_stride, q_stride), padding=(0, 1, 1))
            if q_stride > 1
            else None
        )

    def forward(self, x: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """Transform tokens (B, 1+THW, C) on ``grid`` to tokens (B, 1+T'H'W', C') on the returned grid."""
        normed = self.norm1(x)
        attended, new_grid = self.attn(normed, grid)
        # A change of width projects the normed tokens, not the raw ones.
        skip = x if self.proj is None else self.proj(normed)
        if self.pool_skip is not None:
            skip, _ = pool_tokens(skip, grid, self.pool_skip)
        x = skip + attended
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x)))), new_grid


class ReleasedMViT(VideoEncoder):
    """Multiscale vision transformer with four normed taps.

    Its weights come with the released DiffSal checkpoints (https://github.com/junwenxiong/diff_sal, no licence given).

    Args:
        width: Width of the tokens in the first stage, and of every head; it doubles with each stage. MViTv2-S: 96.
        depths: Blocks per stage. MViTv2-S: 1, 2, 11, 2 (34,231,488 parameters).
        table_frames: Frames of the clip that the relative position tables are laid out for.
        table_size: Side of the square frames that they are laid out for; they are interpolated to others.
    """

    label = "video encoder (mvitv2_s, released)"
    weight_source = MViTv2Small.weight_source
    unused_weights = ("head.",)
    interpolated_weights = ("rel_pos_h", "rel_pos_w")

    def __init__(
        self,
        width: int = 96,
        depths: Sequence[int] = (1, 2, 11, 2),
        table_frames: int = 16,
        table_size: int = 224,
    ) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        projection = VideoConvolution(3, width, (3, 7, 7), stride=(2, 4, 4), padding=(1, 3, 3))
        self.patch_embed = nn.ModuleDict({"projection": projection})
        self.blocks = nn.ModuleList()
        self.taps: list[int] = []
        in_width, side = width, table_size // 4
        stages = len(depths)
        for stage, depth in enumerate(depths):
            for index in range(depth):
                q_stride = 2 if stage > 0 and index == 0 else 1
                # keys and values come to the deepest stage's grid in every block but those that halve the queries
                kv_stride = 2 ** (stages - 1 - stage)
                out_width = width * 2**stage
                sizes = BlockSizes(
                    in_width, out_width, 2**stage, q_stride, kv_stride, side, table_frames // 2
                )
                self.blocks.append(Block(sizes))
                in_width, side = out_width, side // q_stride
            self.taps.append(len(self.blocks) - 1)
            self.add_module(f"norm{stage}", LayerNorm(in_width))
        self.channels = tuple(width * 2**stage for stage in reversed(range(stages)))
        self.strides = tuple(4 * 2**stage for stage in reversed(range(stages)))

    def load_state(self, state: StateDict, source: str) -> PartReport:
        """Load a Kinetics trunk, torchvision's or mmaction's; the norms of the first three taps stay new.

        The released code loads its trunk so too: of the four norms Kinetics' network has the last alone.
        """
        theirs = from_mmaction(state)
        ours = rename(theirs, FROM_TORCHVISION)
        if "cls_token" in ours:
            ours["cls_token"] = ours["cls_token"].reshape(1, 1, -1)
        fresh = ("norm0.", "norm1.", "norm2.")
        report = load_strict(
            self, ours, self.label, source, self.unused_weights, fresh, self.interpolated_weights
        )
        return replace(report, frozen=self.frozen)

    def forward(self, video: Tensor) -> tuple[Tensor, ...]:
        """Encode normalised frames (B, 3, T, H, W) to normed maps (B, C, T/2, H/stride, W/stride), deepest first."""
        x = self.patch_embed["projection"](video)  # (B, C, T/2, H/4, W/4)
        grid: Grid = (x.shape[2], x.shape[3], x.shape[4])
        token = self.cls_token.to(x.dtype).expand(len(x), -1, -1)
        x = torch.cat([token, x.flatten(2).transpose(1, 2)], dim=1)
        features: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            x, grid = block(x, grid)  # (B, 1+THW, C)
            if index in self.taps:
                x = self.get_submodule(f"norm{len(features)}")(x)
                features.append(x[:, 1:].transpose(1, 2).unflatten(2, grid))  # (B, C, T, H, W)
        return tuple(reversed(features))  # the decoder starts at the deepest
