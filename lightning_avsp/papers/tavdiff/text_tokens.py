"""Which rows of a caption's token features are words, and which are start, end and padding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenRows:
    """Roles of the rows of token features (B, N, C): start token, words, end token, then rows of zeros."""

    words: Tensor
    """Rows between start and end: bool (B, N)."""
    end: Tensor
    """Row of the end token, 0 where there is no caption: int64 (B,)."""
    present: Tensor
    """Whether a caption has at least one word: bool (B,)."""

    @classmethod
    def of(cls, text: Tensor) -> TokenRows:
        """Read the roles off features in which every row of zeros is padding."""
        filled = (text != 0).any(dim=-1)  # (B, N)
        rows = torch.arange(text.shape[1], device=text.device)
        end = (filled * rows).amax(dim=1)
        words = filled & (rows > 0) & (rows < end[:, None])
        return cls(words=words, end=end, present=words.any(dim=1))

    @property
    def tokens(self) -> Tensor:
        """Start, words and end, of captions that have words: bool (B, N)."""
        rows = torch.arange(self.words.shape[1], device=self.words.device)
        return (rows <= self.end[:, None]) & self.present[:, None]

    def with_end(self) -> Tensor:
        """Words and the end token, of captions that have words: bool (B, N)."""
        rows = torch.arange(self.words.shape[1], device=self.words.device)
        return self.words | ((rows == self.end[:, None]) & self.present[:, None])

    def end_features(self, text: Tensor) -> Tensor:
        """Features of the end token, which stands for the whole caption in CLIP; zeros without one: (B, C)."""
        rows = torch.arange(len(text), device=text.device)
        return text[rows, self.end] * self.present[:, None]
