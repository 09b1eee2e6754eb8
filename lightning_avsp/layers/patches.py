"""Maps as sequences of square patches, and back."""

from __future__ import annotations

from torch import Tensor, nn


class PatchEmbedding(nn.Module):
    """One token per patch: a convolution whose kernel is its stride.

    Args:
        channels: Channels of the map.
        dim: Width of the tokens.
        patch: Side of a patch in pixels; divides height and width.
    """

    def __init__(self, channels: int, dim: int, patch: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, dim, patch, stride=patch)
        # as the linear layer that it is: a convolution's own start would take the fan of its kernel twice
        nn.init.xavier_uniform_(self.conv.weight.view(dim, -1))
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, maps: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, H W / patch^2, dim), row by row."""
        return self.conv(maps).flatten(2).transpose(1, 2)


def unpatchify(tokens: Tensor, grid: tuple[int, int], patch: int) -> Tensor:
    """Tokens (B, h w, C patch^2) to a map (B, C, h patch, w patch) with ``grid = (h, w)``."""
    x = tokens.unflatten(1, grid).unflatten(-1, (-1, patch, patch))  # (B, h, w, C, patch, patch)
    return x.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
