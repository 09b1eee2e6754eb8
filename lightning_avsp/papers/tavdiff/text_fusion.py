"""Fusion of the caption with the visual features: the alternatives to SITR in Table V, and none.

Each turns visual features (B, C, T, h, w) into f_tv (B, d, T, h, w). All keep the visual projection under the same
names (``value``, ``norm``), so that weights of a network without text fit one with it (X18).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from lightning_avsp.layers.normalization import LayerNorm
from lightning_avsp.papers.tavdiff.condition import TokenRoles

TextFusion = Literal["sitr", "concat", "repeat_add", "repeat_average"]


class VisualOnly(nn.Module):
    """No text: layer norm of the projected visual features."""

    reads_target = False

    def __init__(self, video_channels: int, width: int) -> None:
        super().__init__()
        self.value = nn.Linear(video_channels, width)
        self.norm = LayerNorm(width)

    def forward(self, features: Tensor, text: Tensor | None, saliency: Tensor | None = None) -> Tensor:
        """Project (B, C, T, h, w) to (B, d, T, h, w); the ground truth is not read."""
        grid = features.shape[2:]
        visual = self.norm(self.value(features.flatten(2).transpose(1, 2)))  # (B, T h w, d)
        return self.mix(visual, text).transpose(1, 2).unflatten(2, grid)

    def mix(self, visual: Tensor, text: Tensor | None) -> Tensor:
        """Mix the tokens (B, P, d) with the text; here they stay as they are."""
        return visual


class RepeatedText(VisualOnly):
    """Table V: the end token's features, projected, repeated at every visual position, mixed with the visual ones.

    ``repeat_add``: sum; ``repeat_average``: mean, or the visual features alone where there is no text; ``concat``:
    both side by side, brought back to d channels.
    """

    def __init__(self, kind: TextFusion, text_width: int, video_channels: int, width: int) -> None:
        super().__init__(video_channels, width)
        self.kind: TextFusion = kind
        self.text = nn.Linear(text_width, width)
        if kind == "concat":
            self.join = nn.Linear(2 * width, width)

    def mix(self, visual: Tensor, text: Tensor | None) -> Tensor:
        """Mix visual tokens (B, P, d) with the text; zeros stand for absent text."""
        repeated, present = (
            visual.new_zeros(len(visual), 1, visual.shape[-1]),
            visual.new_zeros(len(visual), 1, 1),
        )
        if text is not None:
            rows = TokenRoles.of(text)
            # a projection has a bias: absent text must stay zero
            repeated = self.text(rows.end_features(text))[:, None] * rows.present[:, None, None]  # (B, 1, d)
            present = rows.present[:, None, None].to(visual.dtype)
        if self.kind == "concat":
            return self.join(torch.cat([visual, repeated.expand_as(visual)], dim=-1))
        return visual + repeated if self.kind == "repeat_add" else (visual + repeated) / (1 + present)
