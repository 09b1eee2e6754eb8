"""Map-style datasets: training clips, sampled anew each epoch, and every frame of a video for evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from lightning_avsp.data.augmentation import Augmentation, Change
from lightning_avsp.data.clips import Clip, evaluation_clips, training_clip, training_count
from lightning_avsp.data.entries import VideoEntry
from lightning_avsp.data.reader import ClipReader, Sample
from lightning_avsp.data.samplers import Balance, BalancedMix
from lightning_avsp.errors import InputError
from lightning_avsp.structures import ClipPolicy

EpochIndex = int | tuple[int, int]
"""Index from a sampler: an index (epoch 0), or (index, epoch)."""

_REDRAWS = 50  # a video without a single map would otherwise be searched forever
_AUGMENTATION = 1  # separates its random numbers from those of clips; 0 would seed as without it


class TrainingClips(Dataset[Sample]):
    """Clips of training videos.

    The sample of ``(index, epoch)`` depends on seed, epoch and index alone, not on the number of dataloader workers
    or on earlier reads, so a run that resumes in mid-epoch sees the same clips as one that never stopped.

    Args:
        videos: The videos.
        policy: Sampling of clips.
        reader: Reader of clips.
        seed: Seed of all random choices.
        blank_maps: Rule for target frames without any gaze: ``redraw`` another clip (as the field's released code
            does), or ``keep`` it. Under ``draw: one_per_video`` it is first sought in the
            same video (ViNet), in a balanced mix in the same corpus.
        balance: Weight of each corpus (:class:`~lightning_avsp.data.samplers.BalancedMix`); the number of clips
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
        """Balanced mix of corpora, if any."""
        if balance != "none":
            of_clips = [video.corpus for video, n in zip(self.videos, counts, strict=True) for _ in range(n)]
            self.mix = BalancedMix(of_clips, balance, seed=seed)

    def __len__(self) -> int:
        """Return the number of clips per epoch."""
        return self._ends[-1] if self._ends else 0

    def clip(self, index: int, epoch: int = 0) -> tuple[VideoEntry, Clip]:
        """Return video and clip of an index in an epoch, without reading frames or audio.

        Raises:
            InputError: If blank maps are redrawn and all that were tried are blank.
        """
        entry, clip, _, _ = self._choose(index, epoch)
        return entry, clip

    def __getitem__(self, index: EpochIndex) -> Sample:
        """Read the sample of an index, or of (index, epoch)."""
        number, epoch = (index, 0) if isinstance(index, int) else index
        entry, clip, target_map, redrawn = self._choose(number, epoch)
        change = Change()
        if self.augmentation.active:
            change = self.augmentation.sample(
                np.random.default_rng([self.seed, epoch, number, _AUGMENTATION])
            )
        # The gain precedes the logarithm of log-mel slices, so the reader applies it
        sample = change.apply(self.reader.read(entry, clip, gain=change.gain, target_map=target_map))
        sample["redrawn"] = redrawn
        return sample

    def _choose(self, index: int, epoch: int) -> tuple[VideoEntry, Clip, Tensor | None, bool]:
        """Return video, clip, its map where it was read to see if it is blank, and True if the clip was redrawn."""
        # not by the clip: a clip that a balanced epoch has twice is cut differently each time
        generator = np.random.default_rng([self.seed, epoch, index])
        slot = index if self.mix is None else self.mix.clip(index, epoch)
        entry, clip = self._draw(slot, generator)
        if self.blank_maps == "keep":
            return entry, clip, None, False
        for attempt in range(_REDRAWS):
            # handed on to the reader, which would decode it again
            target_map = self.reader.target_map(entry, clip)
            if bool(target_map.any()):
                return entry, clip, target_map, attempt > 0
            # the first half of the tries stays in the video, as ViNet's code does
            if self.policy.draw != "one_per_video" or attempt >= _REDRAWS // 2:
                others = len(self) if self.mix is None else self.mix.corpus_clips(index)
                slot = int(generator.choice(others))
            entry, clip = self._draw(slot, generator)
        raise InputError(
            f"{_REDRAWS} target maps in a row are blank, the last is {entry.maps.name(clip.target)}; "
            "check the annotations, or set blank_maps: keep"
        )

    def _draw(self, slot: int, generator: np.random.Generator) -> tuple[VideoEntry, Clip]:
        # ends, not a list of all clips: every worker gets a copy
        place = int(np.searchsorted(self._ends, slot, side="right"))
        entry = self.videos[place]
        number = slot - (self._ends[place - 1] if place else 0)
        return entry, training_clip(number, entry.n_frames, self.policy, generator)


class EvaluationFrames(Dataset[Sample]):
    """Frames to score, video after video, each exactly once, with ground truth at its own size.

    Args:
        videos: The videos.
        policy: Length of clips and position of the target.
        reader: Reader of clips.
        mode: Selection of frames (:func:`~lightning_avsp.data.clips.evaluation_clips`).
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
        """Return the number of frames to score."""
        return self._ends[-1] if self._ends else 0

    def clip(self, index: int) -> tuple[VideoEntry, Clip]:
        """Return video and clip of an index."""
        place = int(np.searchsorted(self._ends, index, side="right"))
        if self._current[0] != place:
            # One video's clips at a time: those of a whole test list would take some 100 MB in every worker.
            self._current = (place, self._clips_of(place))
        return self.videos[place], self._current[1][index - (self._ends[place - 1] if place else 0)]

    def __getitem__(self, index: int) -> Sample:
        """Read the sample of an index."""
        return self.reader.read(*self.clip(index), with_ground_truth=True)

    def _clips_of(self, place: int) -> list[Clip]:
        return evaluation_clips(self.videos[place].n_frames, self.policy, self.mode, self.every)
