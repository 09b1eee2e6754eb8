"""Sources of a video's frames, maps and fixations: their interfaces, and sources of numbered files.

Frames count from 1. Sources are small, hashable and picklable: dataloader workers get copies, and open files
themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lightning_avsp.data.maps import (
    FIXATION_KEY,
    read_fixation_lists,
    read_fixation_picture,
    read_fixations,
    read_map,
)
from lightning_avsp.data.numbered_files import NumberedFiles
from lightning_avsp.errors import InputError
from lightning_avsp.media.images import image_size, read_image


class FrameSource(Protocol):
    """Frames of one video."""

    def read(self, numbers: Sequence[int], size: tuple[int, int]) -> np.ndarray:
        """Read distinct frames by number, in the given order: uint8 (T, H, W, 3), RGB, at (height, width) ``size``.

        Raises:
            InputError: If a frame cannot be read; the message names file and frame.
        """

    def name(self, number: int) -> str:
        """Name one frame, for messages."""


class MapSource(Protocol):
    """Continuous saliency maps of one video."""

    def map(self, number: int, deep: bool = False) -> Tensor:
        """Read the map of a frame at its own size: uint8 (Hg, Wg), or of its own depth, in proportion, if ``deep``."""

    def size(self, number: int) -> tuple[int, int]:
        """Return (Hg, Wg) of a frame's map."""

    def name(self, number: int) -> str:
        """Name one map, for messages."""


class FixationSource(Protocol):
    """Fixated pixels of one video."""

    def points(self, number: int, size: tuple[int, int]) -> Tensor:
        """Read the fixations of a frame as points int64 (N, 2), (row, column), in the grid of its map of this size."""

    def name(self, number: int) -> str:
        """Name the fixations of one frame, for messages."""


@dataclass(frozen=True)
class PictureFrames(NumberedFiles):
    """Frames in numbered image files, e.g. ``img_00001.jpg``."""

    def read(self, numbers: Sequence[int], size: tuple[int, int]) -> np.ndarray:
        """Read frames, see :class:`FrameSource`."""
        return np.stack([read_image(self.path(number), size) for number in numbers])


@dataclass(frozen=True)
class PictureMaps(NumberedFiles):
    """Maps in numbered grey images, e.g. ``eyeMap_00001.jpg``."""

    def map(self, number: int, deep: bool = False) -> Tensor:
        """Read the map of a frame."""
        return read_map(self.path(number), deep)

    def size(self, number: int) -> tuple[int, int]:
        """Read the size of a frame's map, from its header alone."""
        return image_size(self.path(number))


@dataclass(frozen=True)
class MatFixations(NumberedFiles):
    """Fixated pixels as numbered MATLAB matrices, e.g. ``fixMap_00001.mat``."""

    key: str = FIXATION_KEY
    """Name of the matrix."""

    def points(self, number: int, size: tuple[int, int]) -> Tensor:
        """Read the fixations of a frame."""
        return read_fixations(self.path(number), size, self.key)


@dataclass(frozen=True)
class PictureFixations(NumberedFiles):
    """Fixated pixels as numbered black and white images, e.g. ``0001.png``."""

    def points(self, number: int, size: tuple[int, int]) -> Tensor:
        """Read the fixations of a frame."""
        return read_fixation_picture(self.path(number), size)


@dataclass(frozen=True)
class JsonFixations:
    """Fixations of a whole video in one file of ``[row, column]`` pairs; a pixel fixated twice is there twice."""

    path: Path

    def count(self) -> int:
        """Return the number of frames with a list."""
        return len(read_fixation_lists(self.path))

    def points(self, number: int, size: tuple[int, int]) -> Tensor:
        """Read the fixations of a frame, repeats included.

        Raises:
            InputError: If there is no such frame, or a point lies outside the map.
        """
        lists = read_fixation_lists(self.path)
        if not 1 <= number <= len(lists):
            raise InputError(f"{self.path} has no frame {number}; its frames are 1 to {len(lists)}")
        points = lists[number - 1]
        outside = points[((points < 0) | (points >= np.array(size))).any(axis=1)]
        if len(outside):
            raise InputError(
                f"{self.name(number)}: fixation {outside[0].tolist()} (row, column) lies outside the map of "
                f"{size[0]} x {size[1]}; unpack the annotations again"
            )
        return torch.from_numpy(points.copy())

    def name(self, number: int) -> str:
        """Name the fixations of one frame, for messages."""
        return f"{self.path}, frame {number}"


@dataclass(frozen=True)
class NoFixations:
    """Missing fixations: frames are trained on, and scored by what needs none (CC, SIM, KL divergence)."""

    tried: Path
    """Path at which they were looked for."""

    def points(self, number: int, size: tuple[int, int]) -> Tensor:
        """Return no point: metrics of fixations leave the frame out and count it."""
        return torch.zeros(0, 2, dtype=torch.int64)

    def name(self, number: int) -> str:
        """Name the path, for messages."""
        return str(self.tried)
