"""Multi-scale feature synergy (MS), Equations 8 to 12 of AVRSP."""

from __future__ import annotations

from torch import Tensor, nn

from lightning_avsp.layers.atrous_pyramid import ConvNorm3d
from lightning_avsp.layers.resampling import resize_bilinear
from lightning_avsp.layers.video_convolution import fold_frames, unfold_frames

PLACES = ("low", "middle", "high")
"""Resolutions that meet, from the coarsest."""


def resize_space(x: Tensor, like: Tensor) -> Tensor:
    """(B, C, T, h, w) bilinearly resized to the height and width of another map with as many time steps."""
    return unfold_frames(resize_bilinear(fold_frames(x), (like.shape[-2], like.shape[-1])), x.shape[0])


class Synergy(nn.Module):
    """One scale enriched by its neighbours, of which the coarsest and the finest scale lack one.

    Upsampling and downsampling are a resizing and a 3-D convolution; every convolution has a batch norm and a ReLU.

    Args:
        channels: Channels of the features.
        has_low: Whether there is a coarser neighbour.
        has_high: Whether there is a finer one (Equation 8 asks for a neighbour of X^3 that does not exist).
    """

    def __init__(self, channels: int, has_low: bool = True, has_high: bool = True) -> None:
        super().__init__()
        self.places = [
            place for place in PLACES if place == "middle" or (has_low if place == "low" else has_high)
        ]
        self.first = nn.ModuleDict({place: ConvNorm3d(channels, channels) for place in self.places})
        self.second = nn.ModuleDict(
            {
                f"{source}_to_{place}": ConvNorm3d(channels, channels)
                for place in self.places
                for source in self.places
                if abs(PLACES.index(place) - PLACES.index(source)) <= 1
            }
        )
        self.third = nn.ModuleDict({place: ConvNorm3d(channels, channels) for place in self.places})

    def forward(self, middle: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
        """Enrich a scale.

        Args:
            middle: The scale (B, C, T, h, w).
            low: Its coarser neighbour (B, C, T, h / 2, w / 2), where there is one.
            high: Its finer neighbour (B, C, T, 2 h, 2 w), where there is one.

        Returns:
            (B, C, T, h, w).
        """
        given = {"low": low, "middle": middle, "high": high}
        x: dict[str, Tensor] = {}
        for place in self.places:
            features = given[place]
            assert features is not None, place
            x[place] = self.first[place](features)  # Equation 9
        y: dict[str, Tensor] = {}
        for name, conv in self.second.items():  # Equation 10
            source, place = name.split("_to_")
            term = conv(resize_space(x[source], x[place]))
            y[place] = y[place] + term if place in y else term
        for place, conv in self.third.items():  # Equations 11 and 12
            middle = middle + conv(resize_space(y[place], middle))
        return middle
