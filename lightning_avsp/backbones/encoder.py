"""What every video and audio encoder declares, and how one is frozen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn
from typing_extensions import Self

from lightning_avsp.backbones.weights import PartReport
from lightning_avsp.errors import InputError


@dataclass(frozen=True)
class WeightSource:
    """Where pretrained weights come from."""

    name: str
    """Name of the published weights, as the publisher calls them."""
    url: str
    """Address of the file."""
    licence: str
    """Terms under which the publisher distributes it."""


class Encoder(nn.Module, ABC):
    """An encoder that can be frozen: then it stays in eval mode and its parameters take no gradient."""

    frozen: bool = False
    """Whether :meth:`freeze` was called."""

    def freeze(self) -> Self:
        """Keep this encoder as it is: no gradient, eval mode whatever :meth:`train` says."""
        self.frozen = True
        self.requires_grad_(False)
        return self.eval()

    def train(self, mode: bool = True) -> Self:
        """Set training mode; a frozen encoder stays in eval mode, so that batch norms and dropout rest."""
        return super().train(mode and not self.frozen)

    def load(self, weights: str) -> PartReport:
        """Load pretrained weights; an encoder without a format of its own refuses.

        Args:
            weights: ``kinetics400`` for published video weights, downloaded; or the path of a file.

        Raises:
            InputError: If there are no such weights or they do not fit.
        """
        raise InputError(
            f"{type(self).__name__} has no weights of its own to load from {weights}; leave them out"
        )


class VideoEncoder(Encoder):
    """Clip to features at four scales, of which the deepest ``num_scales`` are returned; sub-classes declare which."""

    channels: tuple[int, ...]
    """Channels of the features that are returned, deepest first."""
    strides: tuple[int, ...] = (32, 16, 8, 4)
    """How often the frame is larger than each scale's features, deepest first."""
    pixel_mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    """Mean of RGB in [0, 1] that the weights were trained with."""
    pixel_std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    """Standard deviation of RGB in [0, 1] that the weights were trained with."""
    weight_source: WeightSource | None = None
    """Published weights, None where there are none."""

    @abstractmethod
    def forward(self, video: Tensor) -> tuple[Tensor, ...]:
        """Frames (B, 3, T, H, W), normalised, to features (B, C_i, T_i, H / s_i, W / s_i), deepest first."""
