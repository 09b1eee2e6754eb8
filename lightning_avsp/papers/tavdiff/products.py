"""Audio and caption multiplied into the visual features of every stage of the encoder (not in the paper, X20)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_avsp.errors import InputError
from lightning_avsp.papers.tavdiff.condition import TokenRoles

AUDIO_SPANS = 4
"""Parts of a clip that :func:`audio_vector` keeps apart."""


@runtime_checkable
class StagedEncoder(Protocol):
    """Interface of a video encoder that can be run stage by stage."""

    stage_channels: tuple[int, ...]
    """Channels of each stage's features, first stage first."""

    def stages(self) -> Sequence[nn.Module]:
        """Return modules that, one after the other, compute the deepest features of frames (B, 3, T, H, W)."""


class Product(nn.Module):
    """Visual features times one plus a linear function of another modality."""

    def __init__(self, source_width: int, channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(source_width, channels)

    def forward(self, features: Tensor, vector: Tensor, present: Tensor | None = None) -> Tensor:
        """Weigh (B, C, T, h, w) by vectors (B, source_width), where clips are ``present``, bool (B,); None: all."""
        factor = self.project(vector)
        if present is not None:
            factor = factor * present[:, None]  # no caption: a factor of one
        return features * (1 + factor[:, :, None, None, None])


class StageProducts(nn.Module):
    """Run of a video encoder with each stage's features multiplied by audio, by caption, or by both.

    A product after the last stage alone was found to be of no use: by then a tiny encoder has mixed what the audio
    should have distinguished (see *Does it listen?* in the model card). Without ``sound_width``, the channels of the
    audio features, audio is left out, without ``text_width`` the caption. The encoder itself is not kept.

    Raises:
        InputError: If the encoder cannot be run stage by stage.
    """

    def __init__(self, encoder: nn.Module, sound_width: int | None, text_width: int | None) -> None:
        super().__init__()
        channels = _staged(encoder).stage_channels
        self.by_sound: nn.ModuleList | None = None
        self.by_text: nn.ModuleList | None = None
        if sound_width is not None:
            self.by_sound = nn.ModuleList(Product(AUDIO_SPANS * sound_width, width) for width in channels)
        if text_width is not None:
            self.by_text = nn.ModuleList(Product(text_width, width) for width in channels)

    def forward(
        self, encoder: nn.Module, video: Tensor, encoded: Tensor | None, text: Tensor | None
    ) -> Tensor:
        """Compute the deepest visual features (B, C, T', h, w) of normalised frames (B, 3, T, H, W).

        Audio features (B, C_a, n) or text token features (B, N, C) that are None leave their factors out.

        Raises:
            InputError: If the encoder's features were to come from a store: they differ with audio and caption.
        """
        if getattr(encoder, "stored", None) is not None:
            raise InputError(
                "feature_cache stores what an encoder computes from frames alone, but audio_product and text_product "
                "multiply inside of it; leave feature_cache or the products out"
            )
        sound = None if encoded is None or self.by_sound is None else audio_vector(encoded)
        rows = None if text is None or self.by_text is None else TokenRoles.of(text)
        words = None if text is None or rows is None else caption_vector(text, rows)
        features = video
        for index, stage in enumerate(_staged(encoder).stages()):
            features = stage(features)
            if self.by_sound is not None and sound is not None:
                features = self.by_sound[index](features, sound)
            if self.by_text is not None and words is not None and rows is not None:
                features = self.by_text[index](features, words, rows.present)
        return features


def audio_vector(features: Tensor) -> Tensor:
    """Average audio features (B, C, n) in four spans of the clip, side by side: (B, 4 C)."""
    return F.adaptive_avg_pool1d(features, AUDIO_SPANS).flatten(1)


def caption_vector(text: Tensor, rows: TokenRoles) -> Tensor:
    """Compute the mean of the words' features (B, C), zeros without words."""
    weight = rows.words[..., None].to(text.dtype)
    return (text * weight).sum(dim=1) / weight.sum(dim=1).clamp_min(1)


def _staged(encoder: nn.Module) -> StagedEncoder:
    if isinstance(encoder, StagedEncoder):
        return encoder
    raise InputError(
        f"audio_product and text_product multiply features between an encoder's stages, which {type(encoder).__name__} "
        "does not expose; choose video_encoder=s3d or tiny, or leave them out"
    )
