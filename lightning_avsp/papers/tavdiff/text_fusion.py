"""Ways for the caption to reach the visual features: SITR's rivals of Table V, and none.

Each turns visual features (B, C, T, h, w) into f_tv (B, d, T, h, w). All keep the visual projection under the same
names (``value``, ``norm``), so that weights of a network without text fit one with it (X18).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from lightning_avsp.layers.normalization import LayerNorm
from lightning_avsp.papers.tavdiff.text_tokens import TokenRows

TextFusion = Literal["sitr", "concat", "repeat_add", "repeat_average"]


class VisualOnly(nn.Module):
    """No text: layer norm of the projected visual features.

    Args:
        video_channels: Channels C of the visual features.
        width: Width d of the result.
    """

    reads_target = False

    def __init__(self, video_channels: int, width: int) -> None:
        super().__init__()
        self.value = nn.Linear(video_channels, width)
        self.norm = LayerNorm(width)

    def forward(self, features: Tensor, text: Tensor | None, saliency: Tensor | None = None) -> Tensor:
        """(B, C, T, h, w) to (B, d, T, h, w); text and ground truth are not read."""
        grid = features.shape[2:]
        visual = self.norm(self.value(features.flatten(2).transpose(1, 2)))  # (B, T h w, d)
        return self.mix(visual, text).transpose(1, 2).unflatten(2, grid)

    def mix(self, visual: Tensor, text: Tensor | None) -> Tensor:
        """What the text does to the tokens (B, P, d)."""
        return visual


class RepeatedText(VisualOnly):
    """The end token's features, projected and repeated at every visual position; sub-classes mix the two.

    Args:
        text_width: Width of the text token features.
        video_channels: Channels C of the visual features.
        width: Width d of the result.
    """

    def __init__(self, text_width: int, video_channels: int, width: int) -> None:
        super().__init__(video_channels, width)
        self.text = nn.Linear(text_width, width)

    def repeated(self, visual: Tensor, text: Tensor | None) -> tuple[Tensor, Tensor]:
        """Projected text (B, 1, d), zeros where there is none, and whether there is any (B, 1, 1)."""
        if text is None:
            return visual.new_zeros(len(visual), 1, visual.shape[-1]), visual.new_zeros(len(visual), 1, 1)
        rows = TokenRows.of(text)
        present = rows.present[:, None, None]
        return self.text(rows.end_features(text))[:, None] * present, present.to(visual.dtype)


class RepeatAdd(RepeatedText):
    """Table V, "Repeat+Add": visual features plus repeated text."""

    def mix(self, visual: Tensor, text: Tensor | None) -> Tensor:
        """(B, P, d) to the same."""
        return visual + self.repeated(visual, text)[0]


class RepeatAverage(RepeatedText):
    """Table V, "Repeat+Average": mean of visual features and repeated text; the visual ones where there is no text."""

    def mix(self, visual: Tensor, text: Tensor | None) -> Tensor:
        """(B, P, d) to the same."""
        repeated, present = self.repeated(visual, text)
        return (visual + repeated) / (1 + present)


class Concatenate(RepeatedText):
    """Table V, "Concatenate": visual features beside repeated text, brought back to d channels.

    Args:
        text_width: Width of the text token features.
        video_channels: Channels C of the visual features.
        width: Width d of the result.
    """

    def __init__(self, text_width: int, video_channels: int, width: int) -> None:
        super().__init__(text_width, video_channels, width)
        self.join = nn.Linear(2 * width, width)

    def mix(self, visual: Tensor, text: Tensor | None) -> Tensor:
        """(B, P, d) to the same."""
        repeated, _ = self.repeated(visual, text)
        return self.join(torch.cat([visual, repeated.expand_as(visual)], dim=-1))


RIVALS: dict[str, type[RepeatedText]] = {
    "concat": Concatenate,
    "repeat_add": RepeatAdd,
    "repeat_average": RepeatAverage,
}
