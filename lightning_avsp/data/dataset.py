"""Map-style data sets: training clips drawn anew each epoch, and every frame of a video to be scored."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from lightning_avsp.data.augmentation import Augmentation
from lightning_avsp.data.balance import Balance, BalancedMix
from lightning_avsp.data.clips import (
    Clip,
    evaluation_clips,
    training_clip,
    training_count,
)
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.reader import ClipReader, Sample
from lightning_avsp.errors import InputError
from lightning_avsp.structures import ClipPolicy

EpochIndex = int | tuple[int, int]
"""What a sampler gives: an index (epoch 0), or (index, epoch)."""

_REDRAWS = 50  # a video without a single map would otherwise be searched for ever
_AUGMENTATION = 1  # separates the draws of changes from those of clips; not 0, which seeds nothing of its own


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
            released code of the field does), or ``keep`` it. Under ``draw: one_per_video`` it is first sought in the
            same video (ViNet), in a balanced mix in the same corpus.
        balance: How much each corpus weighs (:class:`~lightning_avsp.data.balance.BalancedMix`); the number of clips
            of an epoch stays.
        augmentation: Random changes of clips.
    """

    def __init__(
        self,
        videos: Sequence[VideoEntry],
        policy: ClipPolicy,
        reader: ClipReader,
        *,
        seed: int = 0,
        blank_maps: Literal["redraw", "keep"] = "redraw",
        balance: Balance = "none",
        augmentation: Augmentation = Augmentation(),  # noqa: B008  # frozen
    ) -> None:
        self.videos = list(videos)
        self.policy = policy
        self.reader = reader
        self.seed = seed
        self.blank_maps = blank_maps
        self.augmentation = augmentation
        counts = [training_count(video.n_frames, policy) for video in self.videos]
        self._ends = list(accumulate(counts))
        self.mix: BalancedMix | None = None
        """The balanced mix of corpora, where there is one."""
        if balance != "none":
            of_clips = [video.corpus for video, n in zip(self.videos, counts, strict=True) for _ in range(n)]
            self.mix = BalancedMix(of_clips, balance, seed=seed)

    def __len__(self) -> int:
        """Clips per epoch."""
        return self._ends[-1] if self._ends else 0

    def clip(self, index: int, epoch: int = 0) -> tuple[VideoEntry, Clip]:
        """Video and clip of an index in an epoch, without reading pictures or sound.

        Raises:
            InputError: If maps are to be redrawn and all that were tried are blank.
        """
        entry, clip, _ = self._clip(index, epoch)
        return entry, clip

    def __getitem__(self, index: EpochIndex) -> Sample:
        """The sample of an index, in epoch 0 unless said."""
        return self._sample(index, None)

    def __getitems__(self, indices: Sequence[EpochIndex]) -> list[Sample]:
        """The samples of a batch, as a data loader asks for them: their frames lie side by side."""
        places = self.reader.places(len(indices), self.policy.frames)
        return [self._sample(index, place) for index, place in zip(indices, places, strict=True)]

    def _sample(self, index: EpochIndex, into: Tensor | None) -> Sample:
        number, epoch = (index, 0) if isinstance(index, int) else index
        entry, clip, redrawn = self._clip(number, epoch)
        if self.augmentation.active:
            generator = np.random.default_rng([self.seed, epoch, number, _AUGMENTATION])
            change = self.augmentation.draw(generator)
            sample = change.apply(self.reader.read(entry, clip, sound_gain=change.gain, into=into))
            if into is not None and sample["video"] is not into:
                sample["video"] = into.copy_(sample["video"])
        else:
            sample = self.reader.read(entry, clip, into=into)
        sample["redrawn"] = redrawn
        return sample

    def _clip(self, index: int, epoch: int) -> tuple[VideoEntry, Clip, bool]:
        """Video, clip, and whether another clip came first whose map was blank."""
        generator = np.random.default_rng([self.seed, epoch, index])
        slot = index if self.mix is None else self.mix.clip(index, epoch)
        entry, clip = self._draw(slot, generator)
        if self.blank_maps == "keep":
            return entry, clip, False
        for tried in range(_REDRAWS):
            if not self.reader.is_blank(entry, clip):
                return entry, clip, tried > 0
            if self.policy.draw != "one_per_video" or tried >= _REDRAWS // 2:
                slot = self._another(index, generator)
            entry, clip = self._draw(slot, generator)
        raise InputError(
            f"{_REDRAWS} target maps in a row are blank, the last is {entry.maps.name(clip.target)}; "
            "check the annotations, or set blank_maps: keep"
        )

    def _another(self, index: int, generator: np.random.Generator) -> int:
        if self.mix is None:
            return int(generator.integers(len(self)))
        return int(generator.choice(self.mix.corpus_clips(index)))

    def _draw(self, slot: int, generator: np.random.Generator) -> tuple[VideoEntry, Clip]:
        place = int(np.searchsorted(self._ends, slot, side="right"))
        entry = self.videos[place]
        number = slot - (self._ends[place - 1] if place else 0)
        return entry, training_clip(number, entry.n_frames, self.policy, generator)


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
        self.policy = policy
        self.reader = reader
        self.mode = mode
        self.every = every
        self._ends = list(accumulate(len(self._clips_of(place)) for place in range(len(self.videos))))
        self._current: tuple[int, list[Clip]] = (-1, [])

    def __len__(self) -> int:
        """Frames to be scored."""
        return self._ends[-1] if self._ends else 0

    def clip(self, index: int) -> tuple[VideoEntry, Clip]:
        """Video and clip of an index."""
        place = int(np.searchsorted(self._ends, index, side="right"))
        if self._current[0] != place:
            # One video's clips at a time: those of a whole test list would weigh some 100 MB in every loader process.
            self._current = (place, self._clips_of(place))
        return self.videos[place], self._current[1][index - (self._ends[place - 1] if place else 0)]

    def __getitem__(self, index: int) -> Sample:
        """The sample of an index."""
        return self.reader.read(*self.clip(index), with_ground_truth=True)

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        """The samples of a batch, as a data loader asks for them: their frames lie side by side."""
        places = self.reader.places(len(indices), self.policy.frames)
        return [
            self.reader.read(*self.clip(index), with_ground_truth=True, into=place)
            for index, place in zip(indices, places, strict=True)
        ]

    def _clips_of(self, place: int) -> list[Clip]:
        return evaluation_clips(self.videos[place].n_frames, self.policy, self.mode, self.every)
