"""Augmentation of training clips that keeps their saliency true: mirroring, colours, loudness.

Frames are changed as uint8 in the dataloader workers, not on the device: there a clip has its seed, epoch and index
at hand, so the change does not depend on batches or processes, and what is sent stays uint8.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from lightning_avsp.data.reader import Sample
from lightning_avsp.errors import require_range

_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma, as in Pillow and torchvision


@dataclass(frozen=True)
class Augmentation:
    """Strength of random changes of training clips; none by default."""

    flip: float = 0.0
    """Probability that a clip is mirrored, left for right: frames, map and fixations together (STAViS: 0.5). Audio has
    one channel and stays; captions with "left" or "right" are not rewritten."""
    brightness: float = 0.0
    """Colours are multiplied by a factor from ``1 - brightness`` to ``1 + brightness``, one per clip."""
    contrast: float = 0.0
    """Distance to the clip's mean grey, likewise."""
    saturation: float = 0.0
    """Distance to each pixel's grey, likewise."""
    gain_db: float = 0.0
    """Random gain of the audio of up to so many decibels; it may leave [-1, 1], nothing is clipped."""

    def __post_init__(self) -> None:
        """Check ranges."""
        shares = ("flip", "brightness", "contrast", "saturation")
        require_range(0, 1, **{f"augmentation.{name}": getattr(self, name) for name in shares})
        require_range(0, 120, **{"augmentation.gain_db": self.gain_db})

    @property
    def active(self) -> bool:
        """True if anything is changed."""
        return any(getattr(self, field.name) > 0 for field in fields(self))

    def sample(self, generator: np.random.Generator) -> Change:
        """Sample one clip's change."""
        # unused numbers are sampled too, so that one option does not affect another
        mirrored = generator.random()
        brightness, contrast, saturation, gain = generator.uniform(-1, 1, 4)
        return Change(
            flip=mirrored < self.flip,
            brightness=1 + self.brightness * brightness,
            contrast=1 + self.contrast * contrast,
            saturation=1 + self.saturation * saturation,
            gain=10 ** (self.gain_db * gain / 20),
        )


@dataclass(frozen=True)
class Change:
    """Change of one clip."""

    flip: bool = False
    """Mirrored, left for right."""
    brightness: float = 1.0
    """Factor on all colours."""
    contrast: float = 1.0
    """Factor on the distance to the clip's mean grey."""
    saturation: float = 1.0
    """Factor on the distance to each pixel's grey."""
    gain: float = 1.0
    """Factor on audio samples, for the reader."""

    def apply(self, sample: Sample) -> Sample:
        """Change frames, maps and fixations of a sample; its audio was changed while it was read."""
        changed: Sample = {**sample, "video": self.recolour(sample["video"])}
        if not self.flip:
            return changed
        changed["video"] = changed["video"].flip(2)  # (T, H, W, 3)
        changed["saliency"] = changed["saliency"].flip(-1)  # (1, H, W)
        if "ground_truth" in changed:
            width = changed["ground_truth"].shape[-1]
            changed["ground_truth"] = changed["ground_truth"].flip(-1)  # (Hg, Wg)
            fixations = changed["fixations"].clone()  # (N, 2): row, column
            fixations[:, 1] = width - 1 - fixations[:, 1]
            changed["fixations"] = fixations
        return changed

    def recolour(self, video: Tensor) -> Tensor:
        """Change colours of frames, uint8 (T, H, W, 3): brightness, then contrast, then saturation."""
        if self.brightness == self.contrast == self.saturation == 1:
            return video
        grey = torch.tensor(_GREY)
        pixels = video.reshape(-1, 3).float()
        # around the mean of the whole clip: around that of each frame, as image libraries do, a video would flicker
        mean = self.brightness * float(pixels.mean(dim=0) @ grey)
        # all three are linear, so one matrix does them with one rounding:
        # x -> s (c (b x - m) + m) + (1 - s) grey(the same), m: mean grey of the brightened clip
        matrix = self.saturation * torch.eye(3) + (1 - self.saturation) * grey[:, None].expand(3, 3)
        matrix = self.contrast * self.brightness * matrix
        offset = torch.full((3,), (1 - self.contrast) * mean)  # grey, so saturation leaves it
        changed = torch.addmm(offset, pixels, matrix).clamp_(0, 255).round_()
        return changed.to(torch.uint8).view(video.shape)
