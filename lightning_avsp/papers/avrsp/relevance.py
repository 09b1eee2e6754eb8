"""Options of AVRSP, its relevance-guided audio-visual fusion (RAVF, section III-B), and how that is explained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_avsp.errors import InputError, require_range
from lightning_avsp.layers.attention import FeedForward
from lightning_avsp.layers.normalization import LayerNorm
from lightning_avsp.structures import Explanation

FusionName = Literal["ravf", "ravf_product", "add", "mul", "concat", "bilinear", "mbt", "none"]
"""Fusion of audio with the deepest visual features: Table V, the visual-only network, and our remedy."""
BilinearForm = Literal["low_rank", "full"]
"""``full`` is ``nn.Bilinear`` as in STAViS and ViNet; ``low_rank`` a product of two projections."""
Exchange = Literal["adjacent", "full"]
"""Scales that each scale reads in Equation 10: its neighbours, or all."""
GateForm = Literal["channel", "spatial"]
"""One gate value per channel, as Equation 14, or one per channel, step and position."""


@dataclass(frozen=True)
class RAVFSettings:
    """Relevance-guided audio-visual fusion, Equations 1 to 7; what the paper leaves open."""

    width: int | None = None
    """Width of the tokens; None for 512, or 64 if the video encoder is tiny."""
    heads: int = 4
    """Attention heads; figure 6 shows four."""
    blocks: int = 2
    """RAVF blocks one after the other (N in the paper)."""
    weights: Literal["pooled", "global"] = "pooled"
    """Source of an adaptive head weight: the means of its own head (pooled) or of all heads (global)."""
    use_a2v: bool = False
    """Add the mean of a2v to the fused features; as printed (Equation 7) it only steers the head weights."""
    ret_norm: Literal["none", "sigmoid", "softmax"] = "none"
    """Normalisation of the retentions RetA and RetV; the paper leaves them unbounded."""

    def __post_init__(self) -> None:
        """Check what types cannot."""
        require_range(1, heads=self.heads, blocks=self.blocks)
        if self.width is not None and self.width % self.heads:
            raise InputError(
                f"ravf: width={self.width} is no multiple of heads={self.heads}; choose one that is"
            )


@dataclass(frozen=True)
class Relevance:
    """Relevance found by one RAVF block, before averaging."""

    ret_a: Tensor
    """RetA, how much each visual token keeps of each audio token: (B, heads, T h w, n)."""
    ret_v: Tensor
    """RetV, how much each audio token keeps of each visual token: (B, heads, n, T h w)."""
    head_weights: Tensor
    """Adaptive weights of the heads, which sum to 1: (B, heads)."""


class RAVFBlock(nn.Module):
    """Relevance-aware cross-attention and feed-forward part, each with a residual and a layer norm (figure 3, D6)."""

    def __init__(self, width: int, settings: RAVFSettings) -> None:
        super().__init__()
        self.settings = settings
        self.heads = settings.heads
        self.visual = nn.Linear(width, 3 * width)  # W_vq, W_vk, W_vv
        self.sound = nn.Linear(width, 3 * width)  # W_aq, W_ak, W_av
        per_head = 2 * width // self.heads
        pooled = settings.weights == "pooled"
        # D7: the same network for every head; then no last bias, which would shift all scores alike
        first = nn.Linear(per_head if pooled else 2 * width, per_head // 2)
        last = nn.Linear(per_head // 2, 1 if pooled else self.heads, bias=not pooled)
        self.weigh = nn.Sequential(first, nn.ReLU(), last)
        self.out = nn.Linear(width, width)
        self.norm1 = LayerNorm(width)
        self.feed_forward = FeedForward(width, 4 * width)
        self.norm2 = LayerNorm(width)

    def forward(self, visual: Tensor, audio: Tensor) -> tuple[Tensor, Relevance]:
        """Fuse visual tokens (B, N, C) and audio tokens (B, n, C) to (B, N, C); also return the relevance."""
        v_query, v_key, v_value = self._split(self.visual(visual))  # each (B, heads, N, d), Equation 1
        a_query, a_key, a_value = self._split(self.sound(audio))  # each (B, heads, n, d)
        scale = v_query.shape[-1] ** -0.5
        # no softmax, as printed: the retentions are unbounded and may be negative (X13)
        ret_a = self._retention(v_query @ a_key.transpose(-2, -1) * scale)  # (B, heads, N, n), Equation 2
        ret_v = self._retention(a_query @ v_key.transpose(-2, -1) * scale)  # (B, heads, n, N), Equation 3
        v2a = ret_a @ a_value + v_value  # (B, heads, N, d), Equation 4
        a2v = ret_v @ v_value + a_value  # (B, heads, n, d), Equation 5
        weights = self._head_weights(v2a.mean(dim=2), a2v.mean(dim=2))  # (B, heads), Equation 6
        # as printed a2v only steers the head weights (X12)
        fused = v2a + a2v.mean(dim=2, keepdim=True) if self.settings.use_a2v else v2a
        fused = (fused * weights[..., None, None]).transpose(1, 2).flatten(2)  # (B, N, C), Equation 7
        visual = self.norm1(visual + self.out(fused))
        return self.norm2(visual + self.feed_forward(visual)), Relevance(ret_a, ret_v, weights)

    def _split(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Split (B, N, 3 C) into query, key and value, each (B, heads, N, C / heads)."""
        query, key, value = tokens.chunk(3, dim=-1)

        def heads(part: Tensor) -> Tensor:
            return part.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        return heads(query), heads(key), heads(value)

    def _retention(self, scores: Tensor) -> Tensor:
        """Scores as the paper leaves them, or brought to [0, 1]."""
        if self.settings.ret_norm == "sigmoid":
            return scores.sigmoid()
        return scores.softmax(dim=-1) if self.settings.ret_norm == "softmax" else scores

    def _head_weights(self, v2a: Tensor, a2v: Tensor) -> Tensor:
        """Means of each head (B, heads, d), twice, to weights (B, heads) that sum to 1."""
        if self.settings.weights == "pooled":
            scores = self.weigh(torch.cat([v2a, a2v], dim=-1)).squeeze(-1)
        else:
            scores = self.weigh(torch.cat([v2a, a2v], dim=-1).flatten(1))
        return scores.softmax(dim=1)


class RAVF(nn.Module):
    """RAVF blocks between a projection of both modalities to ``width`` and one back to the visual channels."""

    def __init__(self, channels: int, audio_channels: int, width: int, settings: RAVFSettings) -> None:
        super().__init__()
        self.visual_in = nn.Linear(channels, width)
        self.sound_in = nn.Linear(audio_channels, width)
        self.blocks = nn.ModuleList(RAVFBlock(width, settings) for _ in range(settings.blocks))
        self.visual_out = nn.Linear(width, channels)

    def forward(self, features: Tensor, audio: Tensor, found: list[Relevance] | None = None) -> Tensor:
        """Fuse visual features (B, C, T, h, w) and audio features (B, C_a, n) to (B, C, T, h, w).

        The blocks' relevance is added to ``found``, if given.
        """
        visual = self.visual_in(features.flatten(2).transpose(1, 2))  # (B, T h w, width)
        audio = self.sound_in(audio.transpose(1, 2))  # (B, n, width)
        for block in self.blocks:
            visual, relevance = block(visual, audio)
            if found is not None:
                found.append(relevance)
        return self.visual_out(visual).transpose(1, 2).unflatten(2, features.shape[2:])


@dataclass
class Trace:
    """Intermediate results of one pass, to be shown."""

    grid: torch.Size = field(default_factory=torch.Size)
    """Time steps, height and width of the scale that audio is fused into."""
    relevance: list[Relevance] = field(default_factory=list)
    """Relevance in the RAVF blocks."""
    gates: dict[int, Tensor] = field(default_factory=dict)
    """Gates (B, C, T, h, w) by scale, 0 the coarsest."""


def explain_relevance(trace: Trace) -> list[Explanation]:
    """Show RetA and RetV of the last block as maps per head, and strengths and head weights of all blocks as numbers.

    The retentions are those that the network uses: without a softmax they are unbounded and may be negative, so that
    plots of several clips need one common scale (contradiction X13).
    """
    if not trace.relevance:
        return []
    last = trace.relevance[-1]
    maps = {
        "v2a": ("RetA, visual to audio", last.ret_a.mean(dim=3)),  # (B, heads, N)
        "a2v": ("RetV, audio to visual", last.ret_v.mean(dim=2)),
    }
    shown = [
        Explanation(
            f"relevance_{direction}_head{head + 1}",
            f"{title} attention, head {head + 1}, mean over audio tokens, not normalised",
            values[:, head].unflatten(1, trace.grid),  # (B, T, h, w)
        )
        for direction, (title, values) in maps.items()
        for head in range(values.shape[1])
    ]
    found = trace.relevance
    numbers = {
        "retention_v2a": ("mean of |RetA|", [block.ret_a.abs().mean(dim=(2, 3)) for block in found]),
        "retention_a2v": ("mean of |RetV|", [block.ret_v.abs().mean(dim=(2, 3)) for block in found]),
        "head_weights": (
            "adaptive weights of the heads, sum 1 per block",
            [block.head_weights for block in found],
        ),
    }
    labels = tuple(
        f"block {block + 1} head {head + 1}"
        for block, relevance in enumerate(found)
        for head in range(relevance.head_weights.shape[1])
    )
    return shown + [
        # blocks side by side, in the order of the labels
        Explanation(name, title, torch.cat(values, dim=1), labels)
        for name, (title, values) in numbers.items()
    ]
