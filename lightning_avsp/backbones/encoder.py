"""Interfaces of video and audio encoders: weights, freezing, features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from lightning_avsp.backbones.feature_store import CachedVideoFeatures
from lightning_avsp.backbones.published import WeightSource
from lightning_avsp.backbones.weights import (
    RANDOM,
    RANDOM_BY_NAME,
    PartReport,
    StateDict,
    load_strict,
    read_state_dict,
)
from lightning_avsp.errors import InputError

PUBLISHED_KEYS = ("kinetics400", "vggish", "soundnet8")
"""Names of published weights in ``*_weights`` options; each encoder has one of them at most."""


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
    origin: PartReport | None = None
    """Source of the encoder's starting weights, after :meth:`prepare`."""

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
            weights: None for random weights, ``random`` for the same by name; else as in :meth:`load`.
            frozen: True keeps the encoder in eval mode and without gradient.
        """
        if weights is None or weights == RANDOM:
            report = PartReport(self.label, RANDOM if weights is None else RANDOM_BY_NAME)
        else:
            report = self.load(weights)
        if frozen:
            self.freeze()
        self.origin = replace(report, frozen=frozen)
        return self.origin

    def load(self, weights: str) -> PartReport:
        """Load pretrained weights.

        Args:
            weights: Name of the published ones (``kinetics400``, ``vggish``, ``soundnet8``), which are downloaded where
                they are not there; or the path of a file in a known layout, or saved from this class.

        Raises:
            InputError: If there are no such weights, or the file is missing or does not fit.
        """
        if self.weight_source is not None and weights == self.weight_source.key:
            return self.load_state(read_state_dict(self.weight_source.fetch()), weights)
        # another encoder's name would else be looked for as a file
        if weights in PUBLISHED_KEYS:
            source = self.weight_source
            own = "none are published" if source is None else f"its own are {source.key}"
            raise InputError(
                f"there are no published weights {weights} for the {self.label} ({own}); set the option to null to "
                "start at random, or choose another encoder"
            )
        return self.load_state(read_state_dict(weights), weights)

    def load_state(self, state: StateDict, source: str) -> PartReport:
        """Load tensors that were read already; see :meth:`load`.

        Args:
            state: Names and tensors of the file.
            source: Name of the file in the report and in errors.
        """
        module = self.get_submodule(self.loaded_module)
        state = self.translate(state)
        drop, interpolated = self.unused_weights, self.interpolated_weights
        report = load_strict(module, state, self.label, source, drop=drop, interpolated=interpolated)
        return replace(report, frozen=self.frozen)

    def translate(self, state: StateDict) -> StateDict:
        """Translate the names of a file in another known layout to the publisher's of `weight_source`."""
        return state


class AudioEncoder(Encoder):
    """Encoder of log-mel slices (N, 1, H, W) to (N, C, h, w), or of waveforms (B, 1, N) to (B, C, n)."""

    out_channels: int
    """Channels C of the features."""
    windows: tuple[tuple[int, int, int], ...] = ()
    """Kernel, stride and padding along time of each layer of an encoder of waveforms."""

    def token_centres(self, count: int) -> Tensor:
        """Compute the sample of the waveform that each of so many tokens is centred on: (count,)."""
        stride, first = 1, 0.0
        for kernel, step, padding in self.windows:
            # the middle of a window of this layer, in samples of the waveform
            first += ((kernel - 1) / 2 - padding) * stride
            stride *= step
        return first + stride * torch.arange(count)

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
        (video,) = (*args, *kwargs.values())  # by position or by name
        with torch.no_grad():
            return self.stored.take(self, video, super().__call__)

    @abstractmethod
    def forward(self, video: Tensor) -> tuple[Tensor, ...]:
        """Encode normalised frames (B, 3, T, H, W) to features (B, C_i, T_i, H / s_i, W / s_i), deepest first."""
