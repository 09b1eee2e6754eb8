"""Interfaces of video and audio encoders: weights, freezing, features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import WeightsEnum
from typing_extensions import Self

from lightning_avsp.backbones.video_features import CachedVideoFeatures
from lightning_avsp.backbones.weights import (
    PartReport,
    StateDict,
    download_state_dict,
    load_strict,
    read_state_dict,
)
from lightning_avsp.errors import InputError


@dataclass(frozen=True)
class WeightSource:
    """Origin of pretrained weights."""

    name: str
    """Name of the published weights, as the publisher calls them."""
    url: str
    """Address of the file."""
    licence: str
    """Terms under which the publisher distributes it."""

    @classmethod
    def torchvision(cls, weights: WeightsEnum) -> WeightSource:
        """Describe weights that torchvision publishes, trained on Kinetics-400."""
        licence = "published with torchvision (BSD-3-Clause); trained on Kinetics-400"
        return cls(f"torchvision {weights}", weights.url, licence)


class Encoder(nn.Module, ABC):
    """An encoder that can be frozen: then it stays in eval mode, takes no gradient and builds no graph."""

    frozen: bool = False
    """True after :meth:`freeze`."""
    label: str = "encoder"
    """Name in reports of weights."""
    loaded_module: str = ""
    """Submodule that weights are loaded into; empty for the whole encoder."""
    unused_weights: tuple[str, ...] = ()
    """Prefixes of names in published files that this encoder has no use for, e.g. the classifier's."""
    interpolated_weights: tuple[str, ...] = ()
    """Suffixes of names of relative-position tables that are interpolated where lengths differ."""
    weight_source: WeightSource | None = None
    """Published weights, None where there are none."""

    @property
    def wholly_frozen(self) -> bool:
        """True if features of a clip never change: frozen, and no parameter thawed since."""
        return self.frozen and not any(parameter.requires_grad for parameter in self.parameters())

    def freeze(self) -> Self:
        """Keep this encoder as it is: no gradient, eval mode whatever the argument of :meth:`train`."""
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
        # not torch.inference_mode(): trained layers save their inputs for the backward pass, and tensors made for
        # inference cannot be saved
        with torch.no_grad():
            return super().__call__(*args, **kwargs)

    def prepare(self, weights: str | None, frozen: bool) -> PartReport:
        """Load weights, if any, and freeze the encoder, if asked, and report both.

        Args:
            weights: None for random weights; else as in :meth:`load`.
            frozen: True keeps the encoder in eval mode and without gradient.
        """
        report = PartReport(self.label, "random") if weights is None else self.load(weights)
        if frozen:
            self.freeze()
        return replace(report, frozen=frozen)

    def load(self, weights: str) -> PartReport:
        """Load pretrained weights from a file in the publisher's format, or saved from this class.

        Args:
            weights: Path of the file.

        Raises:
            InputError: If the file is missing or does not fit.
        """
        return self.load_state(read_state_dict(weights), weights)

    def load_state(self, state: StateDict, source: str) -> PartReport:
        """Load tensors that were read already; see :meth:`load`.

        Args:
            state: Names and tensors of the file.
            source: Name of the file in the report and in errors.
        """
        module = self.get_submodule(self.loaded_module)
        drop, interpolated = self.unused_weights, self.interpolated_weights
        report = load_strict(module, state, self.label, source, drop=drop, interpolated=interpolated)
        return replace(report, frozen=self.frozen)


class AudioEncoder(Encoder):
    """Encoder of log-mel slices (N, 1, H, W) to (N, C, h, w), or of waveforms (B, 1, N) to (B, C, n)."""

    out_channels: int
    """Channels C of the features."""

    def encode_slices(self, slices: Tensor) -> Tensor:
        """Encode the log-mel slices of clips, each slice for itself: (B, 1, S, H, W) to (B, C, S, h, w)."""
        features: Tensor = self(slices.transpose(1, 2).flatten(0, 1))  # (B S, C, h, w)
        return features.unflatten(0, (slices.shape[0], -1)).transpose(1, 2)


class VideoEncoder(Encoder):
    """Encoder of clips to features at four scales, of which the deepest ``num_scales`` are returned."""

    channels: tuple[int, ...]
    """Channels of the features that are returned, deepest first."""
    strides: tuple[int, ...] = (32, 16, 8, 4)
    """Ratio of the frame's size to that of each scale's features, deepest first."""
    pixel_mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    """Mean of RGB in [0, 1] that the weights were trained with."""
    pixel_std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    """Standard deviation of RGB in [0, 1] that the weights were trained with."""
    stored: CachedVideoFeatures | None = None
    """Features that a frozen encoder need not compute."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the encoder; a frozen one reads the stored features of known clips instead."""
        if self.stored is None or not self.stored.active or not self.wholly_frozen:
            return super().__call__(*args, **kwargs)
        (video,) = (*args, *kwargs.values())
        with torch.no_grad():
            return self.stored.take(self, video, super().__call__)

    @abstractmethod
    def forward(self, video: Tensor) -> tuple[Tensor, ...]:
        """Encode normalised frames (B, 3, T, H, W) to features (B, C_i, T_i, H / s_i, W / s_i), deepest first."""

    def load(self, weights: str) -> PartReport:
        """Load pretrained weights.

        Args:
            weights: ``kinetics400`` for the published ones, downloaded; or the path of a file in the same format.

        Raises:
            InputError: If there are no such weights, or they do not fit.
        """
        if weights != "kinetics400":
            return super().load(weights)
        if self.weight_source is None:
            raise InputError(
                f"video_weights=kinetics400: there are no published weights for the {self.label}; leave video_weights "
                "out, or use video_encoder=mvitv2_s"
            )
        return self.load_state(download_state_dict(self.weight_source.name, self.weight_source.url), weights)
