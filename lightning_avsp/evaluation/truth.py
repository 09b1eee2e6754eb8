"""Ground truth of one video, frame by frame: from an annotated corpus, or from half of known observers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.manifest import read_manifest
from lightning_avsp.evaluation.prediction_files import PredictedVideo
from lightning_avsp.synthetic.observers import saliency_maps
from lightning_avsp.synthetic.record import read_video_record
from lightning_avsp.synthetic.spec import SyntheticSpec

OTHER_FRAMES = 10
"""Frames of other videos whose fixations are the negatives of DHF1K's shuffled AUC."""


@dataclass(frozen=True)
class AnnotatedTruth:
    """Ground truth of a corpus: merged maps and fixated pixels; frames count from 1."""

    entry: VideoEntry

    def map(self, number: int) -> Tensor:
        """Read the continuous map of a frame: uint8 (Hg, Wg)."""
        return self.entry.maps.map(number)

    def size(self, number: int) -> tuple[int, int]:
        """Read (Hg, Wg) of a frame's map from its header."""
        return self.entry.maps.size(number)

    def points(self, number: int) -> Tensor:
        """Read the fixated pixels of a frame: int64 (N, 2), (row, column)."""
        return self.entry.fixations.points(number, self.size(number))


@dataclass(frozen=True)
class ObserverHalf(PredictedVideo):
    """Every second observer of a synthetic video: ground truth for, or prediction by, the others."""

    root: Path
    folder: str
    video: str
    half: int
    """0 or 1."""

    @cached_property
    def _known(self) -> tuple[SyntheticSpec, np.ndarray]:
        spec = SyntheticSpec.from_dict(read_manifest(self.root)["corpora"][self.folder]["spec"])
        record = read_video_record(self.root, self.folder, self.video)
        return spec, record.fixations[:, self.half :: 2]  # (T, O / 2, 2)

    @property
    def numbers(self) -> Sequence[int]:
        """All frames."""
        return range(1, len(self._known[1]) + 1)

    def frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Compute the maps of these observers, as a prediction of the others'."""
        for number in wanted:
            yield number, self.map(number)

    def map(self, number: int) -> Tensor:
        """Compute the map of these observers."""
        spec, pixels = self._known
        return torch.from_numpy(saliency_maps(spec, pixels[number - 1 : number])[0])

    def size(self, number: int) -> tuple[int, int]:
        """Return the size of the maps."""
        return self._known[0].map_size

    def points(self, number: int) -> Tensor:
        """Return the fixated pixels of these observers, each once, as in fixation maps."""
        return torch.from_numpy(np.unique(self._known[1][number - 1], axis=0))


Truth = AnnotatedTruth | ObserverHalf


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
    generator = np.random.default_rng([crc32(entry.corpus.encode()), crc32(entry.video.encode())])
    drawn = []
    for _ in range(OTHER_FRAMES if others else 0):
        other = others[int(generator.integers(len(others)))]
        truth, number = AnnotatedTruth(other), int(generator.integers(other.n_frames)) + 1
        scale = torch.tensor(size) / torch.tensor(truth.size(number))
        drawn.append(((truth.points(number) + 0.5) * scale).floor().to(torch.int64))
    return video_negatives(drawn)
