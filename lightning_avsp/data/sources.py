"""Where a video's pictures, maps and fixations come from: what every source answers, and sources of numbered files.

Frames count from 1. Sources are small, hashable and picklable: loader processes get copies, and open files for
themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from lightning_avsp.data.frames import image_size, read_image
from lightning_avsp.data.maps import read_fixations, read_map
from lightning_avsp.data.numbered import NumberedFiles


class FrameSource(Protocol):
    """Pictures of one video."""

    def pictures(self, numbers: Sequence[int], size: tuple[int, int]) -> list[np.ndarray]:
        """Frames by number, in the order asked for, each uint8 (H, W, 3), RGB, at the given (height, width).

        Raises:
            InputError: If a frame cannot be read; the message names file and frame.
        """

    def name(self, number: int) -> str:
        """Where one frame is, for messages."""


class MapSource(Protocol):
    """Continuous saliency maps of one video."""

    def map(self, number: int) -> Tensor:
        """Map of a frame at its own size: uint8 (Hg, Wg)."""

    def size(self, number: int) -> tuple[int, int]:
        """(Hg, Wg) of a frame's map."""

    def name(self, number: int) -> str:
        """Where one map is, for messages."""


class FixationSource(Protocol):
    """Fixated pixels of one video."""

    def points(self, number: int, size: tuple[int, int]) -> Tensor:
        """Fixations of a frame as points int64 (N, 2), (row, column), in the grid of its map of the given size."""

    def name(self, number: int) -> str:
        """Where the fixations of one frame are, for messages."""


@dataclass(frozen=True)
class PictureFrames(NumberedFiles):
    """Pictures in numbered files, e.g. ``img_00001.jpg``."""

    def pictures(self, numbers: Sequence[int], size: tuple[int, int]) -> list[np.ndarray]:
        """Frames by number, see :class:`FrameSource`."""
        return [read_image(self.path(number), size) for number in numbers]


@dataclass(frozen=True)
class PictureMaps(NumberedFiles):
    """Maps in numbered grey pictures, e.g. ``eyeMap_00001.jpg``."""

    def map(self, number: int) -> Tensor:
        """Map of a frame."""
        return read_map(self.path(number))

    def size(self, number: int) -> tuple[int, int]:
        """Size of a frame's map, from its header alone."""
        return image_size(self.path(number))


@dataclass(frozen=True)
class MatFixations(NumberedFiles):
    """Fixated pixels as numbered MATLAB matrices, e.g. ``fixMap_00001.mat``."""

    def points(self, number: int, size: tuple[int, int]) -> Tensor:
        """Fixations of a frame."""
        return read_fixations(self.path(number), size)
