"""Map-style data sets: training clips drawn anew each epoch, and every frame of a video to be scored."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

import numpy as np
from torch.utils.data import Dataset

from lightning_avsp.data.clips import (
    Clip,
    ClipPolicy,
    evaluation_clips,
    training_clip,
    training_count,
)
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.reader import ClipReader, Sample
from lightning_avsp.errors import InputError

EpochIndex = int | tuple[int, int]
"""What a sampler gives: an index (epoch 0), or (index, epoch)."""

_REDRAWS = 50  # a video without a single map would otherwise be searched for ever


class TrainingClips(Dataset[Sample]):
    """Clips of training videos.

    What ``(index, epoch)`` gives depends on seed, epoch and index alone: not on the number of loader
    processes, nor on what was read before, so a run that is resumed in mid-epoch sees what it would have
    seen.

    Args:
        videos: The videos.
        policy: How clips are drawn.
        reader: Reads them.
        seed: Seed of all draws.
        blank_maps: What to do when nobody was recorded at the target frame: ``redraw`` another clip (as the
            released code of the field does), or ``keep`` it.
    """

    def __init__(
        self,
        videos: Sequence[VideoEntry],
        policy: ClipPolicy,
        reader: ClipReader,
        *,
        seed: int = 0,
        blank_maps: Literal["redraw", "keep"] = "redraw",
    ) -> None:
        self.videos = list(videos)
        self.policy = policy
        self.reader = reader
        self.seed = seed
        self.blank_maps = blank_maps
        self._ends = list(accumulate(training_count(video.n_frames, policy) for video in self.videos))

    def __len__(self) -> int:
        """Clips per epoch."""
        return self._ends[-1] if self._ends else 0

    def clip(self, index: int, epoch: int = 0) -> tuple[VideoEntry, Clip]:
        """Video and clip of an index in an epoch, without reading pictures or sound.

        Raises:
            InputError: If maps are to be redrawn and all that were tried are blank.
        """
        generator = np.random.default_rng([self.seed, epoch, index])
        entry, clip = self._draw(index, generator)
        if self.blank_maps == "keep":
            return entry, clip
        for _ in range(_REDRAWS):
            if not self.reader.is_blank(entry, clip):
                return entry, clip
            entry, clip = self._draw(int(generator.integers(len(self))), generator)
        raise InputError(
            f"{_REDRAWS} target maps in a row are blank, the last is {entry.maps.name(clip.target)}; "
            "check the annotations, or set blank_maps: keep"
        )

    def __getitem__(self, index: EpochIndex) -> Sample:
        """The sample of an index, in epoch 0 unless said."""
        number, epoch = (index, 0) if isinstance(index, int) else index
        return self.reader.read(*self.clip(number, epoch))

    def _draw(self, index: int, generator: np.random.Generator) -> tuple[VideoEntry, Clip]:
        place = int(np.searchsorted(self._ends, index, side="right"))
        entry = self.videos[place]
        slot = index - (self._ends[place - 1] if place else 0)
        return entry, training_clip(slot, entry.n_frames, self.policy, generator)


class EvaluationFrames(Dataset[Sample]):
    """Frames to be scored, video after video, each exactly once, with ground truth at its own size.

    Args:
        videos: The videos.
        policy: Length of clips and place of the target.
        reader: Reads them.
        mode: Which frames of a video (:func:`~lightning_avsp.data.clips.evaluation_clips`).
        every: Score only every k-th of them.
    """

    def __init__(
        self,
        videos: Sequence[VideoEntry],
        policy: ClipPolicy,
        reader: ClipReader,
        *,
        mode: Literal["all", "released"] = "all",
        every: int = 1,
    ) -> None:
        self.videos = list(videos)
        self.reader = reader
        self._clips = [evaluation_clips(video.n_frames, policy, mode, every) for video in self.videos]
        self._ends = list(accumulate(len(clips) for clips in self._clips))

    def __len__(self) -> int:
        """Frames to be scored."""
        return self._ends[-1] if self._ends else 0

    def clip(self, index: int) -> tuple[VideoEntry, Clip]:
        """Video and clip of an index."""
        place = int(np.searchsorted(self._ends, index, side="right"))
        return self.videos[place], self._clips[place][index - (self._ends[place - 1] if place else 0)]

    def __getitem__(self, index: int) -> Sample:
        """The sample of an index."""
        return self.reader.read(*self.clip(index), with_ground_truth=True)
