"""MViTv2 video encoders: the small one of DiffSal and MUBiC, and a tiny one for tests and the demo.

Source: Li et al., "MViTv2: Improved Multiscale Vision Transformers" (CVPR 2022). The blocks are torchvision's
(BSD-3-Clause), built directly: its ``mvit_v2_s`` function accepts no frame size. Taps after the last block of each
stage, each with a layer norm of its own, are ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.video.mvit import MSBlockConfig, MultiscaleAttention, MViT, MViT_V2_S_Weights, Pool

from lightning_avsp.backbones.encoder import VideoEncoder
from lightning_avsp.backbones.published import WeightSource
from lightning_avsp.backbones.weights import StateDict, rename
from lightning_avsp.layers.normalization import LayerNorm
from lightning_avsp.layers.pooling_attention import Grid, attend_by_relative_positions, pool_tokens
from lightning_avsp.layers.video_convolution import use_video_layers

MMACTION: tuple[tuple[str, str], ...] = (
    (r"patch_embed\.projection\.(.+)", r"conv_proj.\1"),
    (r"cls_token", r"pos_encoding.class_token"),
    (r"(blocks\.\d+)\.attn\.proj\.(.+)", r"\1.attn.project.0.\2"),
    (r"(blocks\.\d+)\.attn\.pool_([qkv])\.(weight)", r"\1.attn.pool_\2.pool.\3"),
    (r"(blocks\.\d+)\.attn\.norm_([qkv])\.(.+)", r"\1.attn.pool_\2.norm_act.0.\3"),
    (r"(blocks\.\d+)\.mlp\.fc1\.(.+)", r"\1.mlp.0.\2"),
    (r"(blocks\.\d+)\.mlp\.fc2\.(.+)", r"\1.mlp.3.\2"),
    (r"(blocks\.\d+)\.proj\.(.+)", r"\1.project.\2"),
    (r"norm3\.(.+)", r"norm.\1"),
    (r"cls_head\.fc_cls\.(.+)", r"head.1.\1"),
)
"""Names in mmaction's MViTv2-S (``backbone.`` removed; Apache-2.0), which DiffSal starts from: torchvision's."""


def from_mmaction(state: StateDict) -> StateDict:
    """Translate the names of mmaction's MViTv2-S to torchvision's; others stay."""
    bare = {name.removeprefix("backbone."): tensor for name, tensor in state.items()}
    renamed = rename(bare, MMACTION)
    token = renamed.get("pos_encoding.class_token")
    return renamed if token is None else {**renamed, "pos_encoding.class_token": token.flatten()}


def _block(
    heads: int, widths: tuple[int, int], pool_query: bool, key_stride: int, kernel: tuple[int, int, int]
) -> MSBlockConfig:
    return MSBlockConfig(
        num_heads=heads,
        input_channels=widths[0],
        output_channels=widths[1],
        kernel_q=list(kernel),
        kernel_kv=[kernel[0], 3, 3],
        stride_q=[1, 2, 2] if pool_query else [1, 1, 1],
        stride_kv=[1, key_stride, key_stride],
    )


class TokenPool(Pool):
    """torchvision's pooling of tokens, without its changes of layout; the norm is left to the caller."""

    def forward(self, x: Tensor, thw: Grid) -> tuple[Tensor, Grid]:
        """Pool tokens (B, 1 + T H W, C) to (B, 1 + T' H' W', C), and return their grid."""
        return pool_tokens(x, thw, self.pool)


class FusedAttention(MultiscaleAttention):
    """torchvision's attention with its parameters, computed by a fused kernel."""

    def forward(self, x: Tensor, thw: Grid) -> tuple[Tensor, Grid]:
        """Attend over tokens (B, 1 + T H W, C); return (B, 1 + T' H' W', C') and their grid."""
        pooled, grids = [], []
        pools = (self.pool_q, self.pool_k, self.pool_v)
        for tokens, pool in zip(self.qkv(x).chunk(3, dim=-1), pools, strict=True):
            tokens, grid = (tokens, thw) if pool is None else pool(tokens, thw)
            tokens = tokens.unflatten(-1, (self.num_heads, -1))  # (B, 1 + N, heads, C)
            pooled.append(tokens if pool is None else pool.norm_act(tokens))
            grids.append(grid)
        tables = (self.rel_pos_t, self.rel_pos_h, self.rel_pos_w)
        query, key, value = pooled
        attended = attend_by_relative_positions(query, key, value, (grids[0], grids[1]), tables)
        return self.project(attended.flatten(2)), grids[0]


def fit_height_tables(trunk: MViT, blocks: list[MSBlockConfig], frame_size: tuple[int, int]) -> None:
    """Cut the tables of relative positions along height to the frame's height.

    torchvision sizes those of both axes by the longer one; a table that was published for this height would then be
    stretched when it is loaded and shrunk back in every pass.
    """
    height, width = (size // 4 for size in frame_size)
    for block, config in zip(trunk.blocks, blocks, strict=True):
        query, key = height // config.stride_q[1], height // config.stride_kv[1]
        rows = 2 * max(query, key) - 1
        table = block.attn.rel_pos_h
        if len(table) != rows:
            # any rows do: the table is random here, and is loaded or trained at this length
            block.attn.rel_pos_h = nn.Parameter(table.detach()[:rows].clone())
        height, width = query, width // config.stride_q[2]


class MultiscaleEncoder(VideoEncoder):
    """MViT trunk that returns its features after chosen blocks, deepest first.

    The class token takes part in every block and is never returned.

    Args:
        blocks: Settings of the blocks.
        taps: Index of the last block of each stage.
        frame_size: Height and width that the relative-position tables are made for; other sizes interpolate them.
        num_scales: Number of scales that are returned, from the deepest.
    """

    def __init__(
        self,
        blocks: list[MSBlockConfig],
        taps: tuple[int, ...],
        frame_size: tuple[int, int],
        num_scales: int,
    ) -> None:
        super().__init__()
        self.trunk = MViT(
            spatial_size=frame_size,
            temporal_size=16,  # frames of a clip, to which longer and shorter ones interpolate the tables
            block_setting=blocks,
            residual_pool=True,
            residual_with_cls_embed=False,
            rel_pos_embed=True,
            proj_after_attn=True,
            stochastic_depth_prob=0.0,  # as the released DiffSal: configured, without effect
        )
        # the classifier and its norm see no gradient here, which DDP would take for a mistake
        del self.trunk.norm, self.trunk.head
        fit_height_tables(self.trunk, blocks, frame_size)
        use_video_layers(self.trunk)
        for module in self.trunk.modules():
            if isinstance(module, Pool):
                module.__class__ = TokenPool  # same parameters, so that published names fit
            elif isinstance(module, MultiscaleAttention):
                module.__class__ = FusedAttention
        self.taps = taps[-num_scales:]  # the trunk runs to its end anyway: only norms are spared
        widths = [blocks[tap].output_channels for tap in self.taps]
        self.norms = nn.ModuleList(LayerNorm(width, eps=1e-6) for width in widths)
        self.channels = tuple(widths[::-1])
        self.strides = VideoEncoder.strides[:num_scales]

    def forward(self, video: Tensor) -> tuple[Tensor, ...]:
        """Encode frames (B, 3, T, H, W) to features (B, C_i, T / 2, H / s_i, W / s_i), deepest first."""
        x = self.trunk.conv_proj(video)  # (B, C, T/2, H/4, W/4)
        size = (x.shape[2], x.shape[3], x.shape[4])
        # in the type of the tokens: under autocast a float32 token would make all that follows float32
        token = self.trunk.pos_encoding.class_token.to(x.dtype).expand(len(x), 1, -1)
        x = torch.cat([token, x.flatten(2).transpose(1, 2)], dim=1)  # (B, 1 + N, C)
        features: list[Tensor] = []
        for index, block in enumerate(self.trunk.blocks):
            x, size = block(x, size)
            if index in self.taps:
                tokens = self.norms[len(features)](x[:, 1:])  # (B, N, C), without the class token
                features.append(tokens.transpose(1, 2).unflatten(2, size))
        return tuple(features[::-1])


class MViTv2Small(MultiscaleEncoder):
    """MViTv2-S: 16 blocks, widths 96 to 768; at 16x224x384 features 8x56x96 ... 8x7x12.

    Arguments as of :class:`MultiscaleEncoder`.
    """

    label = "video encoder (mvitv2_s)"
    loaded_module = "trunk"
    weight_source = WeightSource.torchvision(MViT_V2_S_Weights.KINETICS400_V1)
    unused_weights = ("norm.", "head.")
    interpolated_weights = ("rel_pos_h", "rel_pos_w")  # published for 224x224

    def __init__(self, num_scales: int = 4, frame_size: tuple[int, int] = (224, 384)) -> None:
        widths = [96, 192, 192, *[384] * 11, 768, 768]
        heads = [1, 2, 2, *[4] * 11, 8, 8]
        key_strides = [8, 4, 4, *[2] * 11, 1, 1]
        blocks = [
            _block(heads[i], (widths[max(i - 1, 0)], widths[i]), i in (1, 3, 14), key_strides[i], (3, 3, 3))
            for i in range(16)
        ]
        super().__init__(blocks, (0, 2, 13, 15), frame_size, num_scales)

    def translate(self, state: StateDict) -> StateDict:
        """Translate the names of mmaction's file; those of torchvision's stay."""
        return from_mmaction(state)


class TinyMViT(MultiscaleEncoder):
    """The same design in five blocks and under a million parameters, for frames of about 64x128.

    At 16x64x128 its features are 8x16x32, 8x8x16, 8x4x8 and 8x2x4. Queries are pooled where the size halves only,
    which spares the costly depthwise convolutions at full size. There are no published weights.
    """

    label = "video encoder (tiny)"

    def __init__(self, num_scales: int = 4) -> None:
        widths = [16, 32, 48, 64, 64]
        heads = [1, 1, 2, 2, 2]
        key_strides = [16, 8, 4, 2, 1]
        blocks = []
        for index in range(5):
            pooled = index in (1, 2, 3)
            kernel = (1, 3, 3) if pooled else (1, 1, 1)
            pair = (widths[max(index - 1, 0)], widths[index])
            blocks.append(_block(heads[index], pair, pooled, key_strides[index], kernel))
        super().__init__(blocks, (0, 1, 2, 4), (64, 128), num_scales)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                # torchvision's 0.02 suits widths of hundreds; at 32 a block would hardly change its input
                nn.init.xavier_uniform_(module.weight)
        with torch.no_grad():
            self.trunk.pos_encoding.class_token.zero_()
