"""U-Net denoiser of Table III: DDPM's, with cross-attention to the condition at its two coarsest scales.

Source: Ho et al., "Denoising Diffusion Probabilistic Models" (NeurIPS 2020); cross-attention as in latent diffusion
(Rombach et al., CVPR 2022). Its size is ours, chosen near that of Saliency-DiT-S: the paper gives none.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.errors import InputError
from lightning_avsp.layers.attention import FeedForward, MultiHeadAttention
from lightning_avsp.layers.convolution import Downsample, ResNetBlock
from lightning_avsp.layers.embeddings import TimeEmbedding, grid_positions
from lightning_avsp.layers.normalization import LayerNorm, group_norm
from lightning_avsp.papers.tavdiff.condition import Tokens
from lightning_avsp.papers.tavdiff.saliency_dit import EMPTY_MAP


class AttentionBlock(nn.Module):
    """Self-attention, cross-attention to the condition and MLP over the pixels of a map, each with a residual."""

    def __init__(self, channels: int, condition_width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(LayerNorm(channels) for _ in range(3))
        self.self_attention = MultiHeadAttention(channels, heads)
        self.cross_attention = MultiHeadAttention(channels, heads, condition_width)
        self.cross_attention.attend_in_place((heads + 1) // 2)  # X21
        self.condition_width = condition_width
        self.feed_forward = FeedForward(channels, 4 * channels)

    def forward(self, x: Tensor, tokens: Tokens) -> Tensor:
        """Attend over the pixels of (B, C, h, w)."""
        size = x.shape[-2:]
        pixels = x.flatten(2).transpose(1, 2)  # (B, h w, C)
        positions = grid_positions(tuple(size), x.shape[1], x.device).to(x.dtype)
        pixels = pixels + self.self_attention(self.norms[0](pixels) + positions)
        sources = grid_positions(tuple(size), self.condition_width, x.device)
        pixels = pixels + self.cross_attention(self.norms[1](pixels), tokens.values, tokens.mask, sources)
        pixels = pixels + self.feed_forward(self.norms[2](pixels))
        return pixels.transpose(1, 2).unflatten(2, size)


class UNetStage(nn.Module):
    """ResNet blocks of one scale, one for each of the input ``channels``, each followed by attention, if any.

    ``condition_width`` is that of the condition's tokens, None for a stage without attention.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        out_channels: int,
        time_dim: int,
        condition_width: int | None,
        heads: int,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ResNetBlock(width, out_channels, time_dim) for width in channels)
        self.attentions = nn.ModuleList(
            AttentionBlock(out_channels, condition_width, heads)
            for _ in channels
            if condition_width is not None
        )

    def forward(self, index: int, x: Tensor, time: Tensor, tokens: Tokens) -> Tensor:
        """Run one block and its attention: (B, in, h, w) to (B, out, h, w)."""
        x = self.blocks[index](x, time)
        return self.attentions[index](x, tokens) if self.attentions else x


class UNet(nn.Module):
    """Noisy map to the logits of the clean one, on a path down and up again with skips.

    ``channels`` of each scale, finest first: two blocks a scale on the way down, three on the way up; attention at the
    two coarsest scales.
    """

    def __init__(self, channels: tuple[int, ...], condition_width: int, heads: int) -> None:
        super().__init__()
        self.scales = len(channels)
        self.time = TimeEmbedding(channels[0])
        time_dim = self.time.out_dim
        self.conv_in = nn.Conv2d(1, channels[0], 3, padding=1)

        def width_at(scale: int) -> int | None:
            # the finer scales have thousands of pixels
            return condition_width if scale >= self.scales - 2 else None

        skips = [channels[0]]
        down, downs = [], []
        previous = channels[0]
        for scale, width in enumerate(channels):
            down.append(UNetStage((previous, width), width, time_dim, width_at(scale), heads))
            skips += [width, width]
            previous = width
            if scale < self.scales - 1:
                downs.append(Downsample(width, width))
                skips.append(width)
        self.down, self.downs = nn.ModuleList(down), nn.ModuleList(downs)
        self.middle = UNetStage((previous, previous), previous, time_dim, condition_width, heads)
        up, ups = [], []
        for scale in reversed(range(self.scales)):
            width = channels[scale]
            inputs = []
            for _ in range(3):
                inputs.append(previous + skips.pop())  # skips are read in reverse
                previous = width
            up.append(UNetStage(tuple(inputs), width, time_dim, width_at(scale), heads))
            if scale:
                ups.append(nn.Conv2d(width, width, 3, padding=1))
        self.up, self.ups = nn.ModuleList(up), nn.ModuleList(ups)
        self.norm = group_norm(channels[0])
        self.out = nn.Conv2d(channels[0], 1, 3, padding=1)
        nn.init.constant_(self.out.bias, EMPTY_MAP)  # type: ignore[arg-type]

    def forward(self, noisy_map: Tensor, t: Tensor, tokens: Tokens) -> Tensor:
        """Predict logits (B, 1, H, W) of the clean map from the noisy one (B, 1, H, W), steps (B,) and the condition.

        Raises:
            InputError: If the map cannot be halved as often as there are scales.
        """
        factor = 2 ** (self.scales - 1)
        if noisy_map.shape[-2] % factor or noisy_map.shape[-1] % factor:
            raise InputError(
                f"a noisy map of {noisy_map.shape[-2]}x{noisy_map.shape[-1]} cannot be halved {self.scales - 1} times; "
                f"choose a data.map_size of multiples of {factor}, e.g. [112,192]"
            )
        time = self.time(t)
        x = self.conv_in(noisy_map)
        skips = [x]
        for scale, stage in enumerate(self.down):
            for index in range(2):
                x = stage(index, x, time, tokens)
                skips.append(x)
            if scale < self.scales - 1:
                x = self.downs[scale](x)
                skips.append(x)
        for index in range(2):
            x = self.middle(index, x, time, tokens)
        for order, stage in enumerate(self.up):
            for index in range(3):
                x = stage(index, torch.cat([x, skips.pop()], dim=1), time, tokens)
            if order < self.scales - 1:
                # as DDPM's
                x = self.ups[order](F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.out(F.silu(self.norm(x)))
