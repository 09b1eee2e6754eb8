"""The condition C_f of the denoiser: audio, caption and visual tokens, and the fusions of Table V beside SITR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_avsp.layers.embeddings import grid_positions
from lightning_avsp.layers.normalization import LayerNorm
from lightning_avsp.structures import Condition


@dataclass(frozen=True)
class TokenRoles:
    """Roles of the rows of token features (B, N, C): start token, words, end token, then rows of zeros."""

    words: Tensor
    """Rows between start and end: bool (B, N)."""
    end: Tensor
    """Row of the end token, 0 where there is no caption: int64 (B,)."""
    present: Tensor
    """True if a caption has at least one word: bool (B,)."""

    @classmethod
    def of(cls, text: Tensor) -> TokenRoles:
        """Find the roles in features in which every row of zeros is padding."""
        # padding is rows of zeros, which no token has
        filled = (text != 0).any(dim=-1)  # (B, N)
        rows = torch.arange(text.shape[1], device=text.device)
        end = (filled * rows).amax(dim=1)  # CLIP summarises a caption at its last token
        words = filled & (rows > 0) & (rows < end[:, None])
        return cls(words=words, end=end, present=words.any(dim=1))

    @property
    def tokens(self) -> Tensor:
        """Mask of start, words and end, of captions that have words: bool (B, N)."""
        rows = torch.arange(self.words.shape[1], device=self.words.device)
        return (rows <= self.end[:, None]) & self.present[:, None]

    def with_end(self) -> Tensor:
        """Mask words and the end token, of captions that have words: bool (B, N)."""
        rows = torch.arange(self.words.shape[1], device=self.words.device)
        return self.words | ((rows == self.end[:, None]) & self.present[:, None])

    def end_features(self, text: Tensor) -> Tensor:
        """Select the features of the end token, CLIP's summary of the caption; zeros without one: (B, C)."""
        rows = torch.arange(len(text), device=text.device)
        return text[rows, self.end] * self.present[:, None]


@dataclass(frozen=True)
class Tokens:
    """The condition as one sequence."""

    values: Tensor
    """(B, M, d)."""
    mask: Tensor | None
    """True for tokens that exist: bool (B, M); None if all do."""

    def mean(self) -> Tensor:
        """Compute the mean of the tokens that exist: (B, d)."""
        if self.mask is None:
            return self.values.mean(dim=1)
        weight = self.mask[..., None].to(self.values.dtype)
        return (self.values * weight).sum(dim=1) / weight.sum(dim=1)


def condition_tokens(condition: Condition) -> Tokens:
    """Join video, audio and text of a condition in one sequence; rows of zeros in the text are no tokens."""
    parts = [feature.flatten(2).transpose(1, 2) for feature in condition.video]
    if condition.audio is not None:
        parts.append(condition.audio)
    if condition.text is None:
        return Tokens(torch.cat(parts, dim=1), None)
    text = condition.text
    exists = (text != 0).any(dim=-1)
    others = exists.new_ones(len(text), sum(part.shape[1] for part in parts))
    return Tokens(torch.cat([*parts, text], dim=1), torch.cat([others, exists], dim=1))


class PositionInClip(nn.Module):
    """Sum of features with their positions in the frame and in time.

    The position in the frame is that of the map's patches, sine for sine, so that patches find it; time is projected.
    """

    time_dim = 16
    """Width of the sinusoids of time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.time = nn.Linear(self.time_dim, width, bias=False)
        nn.init.normal_(self.time.weight, std=0.02)

    def forward(self, features: Tensor) -> Tensor:
        """Add positions to (B, d, T, h, w)."""
        steps, height, breadth = features.shape[2:]
        place = grid_positions((height, breadth), features.shape[1], features.device)  # (h w, d)
        sines = grid_positions((steps,), self.time_dim, features.device)  # (T, 16)
        time = self.time(sines.to(self.time.weight.dtype))  # (T, d)
        features = features + place.T.unflatten(1, (1, height, breadth)).to(features.dtype)
        return features + time.T[:, :, None, None].to(features.dtype)


class AudioTokens(nn.Module):
    """Audio features as tokens of the condition: projection, layer norm, position in time."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(channels, width)
        self.norm = LayerNorm(width)

    def forward(self, features: Tensor) -> Tensor:
        """Project (B, C, n) to (B, n, d)."""
        tokens = self.norm(self.project(features.transpose(1, 2)))
        positions = grid_positions((tokens.shape[1],), tokens.shape[2], tokens.device)
        return tokens + positions.to(tokens.dtype)


class CaptionTokens(nn.Module):
    """Caption features as tokens of the condition, for networks without video: projection and layer norm.

    CLIP's features carry their positions. A clip without a caption has one learned token in place of them.
    """

    def __init__(self, text_width: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(text_width, width)
        self.norm = LayerNorm(width)
        self.absent = nn.Parameter(torch.randn(width) * 0.02)

    def forward(self, text: Tensor) -> Tensor:
        """Project (B, N, text_width) to (B, N, d), rows of zeros where there is no token."""
        rows = TokenRoles.of(text)
        tokens = self.norm(self.project(text)) * rows.tokens[..., None]
        first = torch.where(rows.present[:, None], tokens[:, 0], self.absent.to(tokens.dtype))
        return torch.cat([first[:, None], tokens[:, 1:]], dim=1)


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
