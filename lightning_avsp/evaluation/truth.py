"""Ground truth of one video, frame by frame: from an annotated corpus, or from some of known observers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from lightning_avsp.curation.importing.store import VideoPaths, read_record
from lightning_avsp.curation.importing.writing import (
    OBSERVERS,
    as_image,
    fixated_pixels,
    gaussian_sum,
    read_observers,
)
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.manifest import read_manifest
from lightning_avsp.synthetic.record import read_video_record, saliency_maps
from lightning_avsp.synthetic.spec import SyntheticSpec

OTHER_FRAMES = 10  # as many as DHF1K's own evaluation takes


@dataclass(frozen=True)
class AnnotatedTruth:
    """Ground truth of a corpus: merged maps and fixated pixels; frames count from 1."""

    entry: VideoEntry

    def map(self, number: int, deep: bool = False) -> Tensor:
        """Read the continuous map of a frame: uint8 (Hg, Wg), or of its own depth if ``deep``."""
        return self.entry.maps.map(number, deep)

    def size(self, number: int) -> tuple[int, int]:
        """Read (Hg, Wg) of a frame's map from its header."""
        return self.entry.maps.size(number)

    def points(self, number: int) -> Tensor:
        """Read the fixated pixels of a frame: int64 (N, 2), (row, column)."""
        return self.entry.fixations.points(number, self.size(number))


@dataclass(frozen=True)
class SomeObservers:
    """Some observers of a video whose gaze is known one by one: ground truth for, or prediction by, the others."""

    root: Path
    folder: str
    video: str
    chosen: tuple[int, ...]
    """Numbers of the observers, from 0."""

    @cached_property
    def _known(self) -> tuple[list[np.ndarray], tuple[int, int], Callable[[np.ndarray], np.ndarray]]:
        """Positions of each frame, the size of maps, and the map of positions."""
        corpora = read_manifest(self.root)["corpora"]
        if self.folder in corpora:
            spec = SyntheticSpec.from_dict(corpora[self.folder]["spec"])
            pixels = read_video_record(self.root, self.folder, self.video).fixations[:, list(self.chosen)]
            return list(pixels), spec.map_size, lambda points: saliency_maps(spec, points[None])[0]
        paths = VideoPaths(self.root, self.folder, self.video)
        record, (table, _) = read_record(paths), read_observers(paths.annotation)
        assert record is not None  # count_observers has asked
        height, width = record["map_size"]
        table = table[table["observer"].isin(self.chosen)]
        # the table is sorted by frame, and frames without gaze have no row
        edges = np.searchsorted(table["frame"], np.arange(record["frames"] + 1))
        places = np.split(table[["x", "y"]].to_numpy(), edges[1:-1])
        sigma = (float(record["sigma"][0]), float(record["sigma"][1]))
        return places, (height, width), lambda points: as_image(gaussian_sum(points, (height, width), sigma))

    def frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Compute the maps of these observers, as a prediction of the others'."""
        for number in wanted:
            yield number, self.map(number)

    def map(self, number: int, deep: bool = False) -> Tensor:
        """Compute the map of these observers: uint8 (H, W), ``deep`` or not; blank where none of them has gaze."""
        places, _, draw = self._known
        return torch.from_numpy(draw(places[number - 1]))

    def size(self, number: int) -> tuple[int, int]:
        """Return the size of the maps."""
        return self._known[1]

    def points(self, number: int) -> Tensor:
        """Return the fixated pixels of these observers, each once, as in fixation maps: int64 (N, 2)."""
        places = self._known[0][number - 1]
        if places.dtype.kind == "f":  # shares of an imported video
            places = np.argwhere(fixated_pixels(places, self._known[1]))
        # each once, as in the fixation maps of merged observers
        return torch.from_numpy(np.unique(places, axis=0).astype(np.int64))


def count_observers(root: Path, folder: str, video: str) -> int:
    """Return the number of a video's observers whose gaze is known one by one; 0 if it was merged."""
    if folder in read_manifest(root)["corpora"]:
        return read_video_record(root, folder, video).fixations.shape[1]
    # published corpora come merged: nobody knows who looked where
    annotation = VideoPaths(root, folder, video).annotation
    return len(read_observers(annotation)[1]) if (annotation / OBSERVERS).is_file() else 0


Truth = AnnotatedTruth | SomeObservers


def video_negatives(points: Sequence[Tensor]) -> Tensor:
    """Collect the negatives of STAViS's shuffled AUC: everything fixated in a video, int64 (M, 2), sorted.

    Args:
        points: Fixations of every frame of the video, (N, 2) each.
    """
    return torch.cat([torch.zeros(0, 2, dtype=torch.int64), *points]).unique(dim=0)


def without(negatives: Tensor, current: Tensor) -> Tensor:
    """Remove the fixations (N, 2) of one frame from the negatives of its video: int64 (K, 2)."""
    # two numbers to one, so that rows can be looked up
    base = 1 + max((int(one[:, 1].max()) for one in (negatives, current) if len(one)), default=0)
    keys, gone = (one[:, 0] * base + one[:, 1] for one in (negatives, current))
    return negatives[~torch.isin(keys, gone)]


def corpus_negatives(entry: VideoEntry, others: Sequence[VideoEntry], size: tuple[int, int]) -> Tensor:
    """Sample the negatives of DHF1K's shuffled AUC: fixations of ten frames of other videos, scaled to this one's size.

    Args:
        entry: The video that is scored; its name is the seed.
        others: The videos to sample from.
        size: (rows, columns) of its ground truth.

    Returns:
        int64 (M, 2), sorted, the same for every frame.
    """
    # hash() differs between processes
    generator = np.random.default_rng([crc32(entry.corpus.encode()), crc32(entry.video.encode())])
    drawn = []
    for _ in range(OTHER_FRAMES if others else 0):
        # with replacement, as ten frames of a corpus of four videos must
        other = others[int(generator.integers(len(others)))]
        truth, number = AnnotatedTruth(other), int(generator.integers(other.n_frames)) + 1
        scale = torch.tensor(size) / torch.tensor(truth.size(number))
        drawn.append(((truth.points(number) + 0.5) * scale).floor().to(torch.int64))
    return video_negatives(drawn)
