"""What every video and audio encoder declares, and how one is frozen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self

from lightning_avsp.backbones.video_features import CachedVideoFeatures
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
    """An encoder that can be frozen: then it stays in eval mode, takes no gradient and builds no graph."""

    frozen: bool = False
    """Whether :meth:`freeze` was called."""

    @property
    def wholly_frozen(self) -> bool:
        """Whether features of a clip never change: frozen, and no parameter thawed since."""
        return self.frozen and not any(parameter.requires_grad for parameter in self.parameters())

    def freeze(self) -> Self:
        """Keep this encoder as it is: no gradient, eval mode whatever :meth:`train` says."""
        self.frozen = True
        self.requires_grad_(False)
        return self.eval()

    def train(self, mode: bool = True) -> Self:
        """Set training mode; a frozen encoder stays in eval mode, so that batch norms and dropout rest."""
        return super().train(mode and not self.frozen)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the encoder, without a graph if it is wholly frozen, unless a gradient of its input is asked for."""
        inputs = (*args, *kwargs.values())
        if not self.wholly_frozen or any(isinstance(x, Tensor) and x.requires_grad for x in inputs):
            return super().__call__(*args, **kwargs)
        # not torch.inference_mode(): what trained layers are given is saved for their backward pass, which tensors
        # made for inference cannot be
        with torch.no_grad():
            return super().__call__(*args, **kwargs)

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
    stored: CachedVideoFeatures | None = None
    """Features that a frozen encoder need not compute."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the encoder; a frozen one takes the features of clips that are known and stored from there."""
        if self.stored is None or not self.stored.active or not self.wholly_frozen:
            return super().__call__(*args, **kwargs)
        (video,) = (*args, *kwargs.values())
        with torch.no_grad():
            return self.stored.take(self, video, super().__call__)

    @abstractmethod
    def forward(self, video: Tensor) -> tuple[Tensor, ...]:
        """Frames (B, 3, T, H, W), normalised, to features (B, C_i, T_i, H / s_i, W / s_i), deepest first."""
